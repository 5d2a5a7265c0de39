"""What other synthesisers say: spelled letters, digits and commands, with the form that a synthesiser is given."""

import dataclasses

from lottery_train.corpora import find_corpus, read_manifest
from lottery_train.corpora.sentences import DIGITS, LETTERS, draw_sentence

KINDS = ("letters", "digits", "commands")
_COMMAND_CORPORA = ("an4", "coffee_commands")
# The share of pauses between spelled letters or digits; one is drawn per utterance.
_PAUSE_SHARES = (0.0, 0.5, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """A sentence to draw: its text, and whether a lone "a" or "i" in it is a letter rather than a word."""

    text: str
    is_spelled: bool


def read_commands(data_dir):
    """Return the sentences of the training splits of AN4 and coffee_commands that hold more than letters and digits.

    Args:
        data_dir: folder of corpora, or None: see `find_corpus`.
    Returns:
        list of Command per corpus, in manifest order, without repetitions.
    Raises:
        CorpusError: a corpus is not there.
    """
    found = []
    for name in _COMMAND_CORPORA:
        utterances, _ = read_manifest(find_corpus(name, data_dir=data_dir).splits["train"])
        texts = dict.fromkeys(utterance.text for utterance in utterances)
        found.append([Command(text=text, is_spelled=name == "an4") for text in texts if is_command(text)])
    return found


def is_command(text):
    """Return whether a text holds more than letters and digits."""
    return not set(text.split()) <= {*LETTERS, *DIGITS, "oh"}


def _draw_command(rng, commands):
    """Return a sentence of the embedded corpus's grammar (1 of 4) or of one of the corpora."""
    if rng.random() >= 0.25:
        corpus = commands[rng.integers(len(commands))]
        return corpus[rng.integers(len(corpus))]
    while True:
        text = draw_sentence(rng)
        if is_command(text):
            return Command(text=text, is_spelled=True)


def _spoken_words(words, *, is_spelled):
    """Return the words as a synthesiser reads them: letters are capitals, articles and pronouns are not."""
    spoken = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        # AN4 says "fifty and a half".
        is_letter = len(word) == 1 and is_spelled and following != "half"
        spoken.append(word.upper() if is_letter or word == "i" else word)
    return spoken


def draw_line(rng, *, kind, commands):
    """Draw one utterance.

    Args:
        rng: numpy Generator.
        kind: "letters" (3 to 6 of them), "digits" (3 to 7) or "commands".
        commands: what `read_commands` returns.
    Returns:
        (text, spoken): the transcript, lower-case words with single spaces, and what the synthesiser is given.
    """
    if kind == "commands":
        command = _draw_command(rng, commands)
        return command.text, " ".join(_spoken_words(command.text.split(), is_spelled=command.is_spelled))
    symbols, most = (LETTERS, 6) if kind == "letters" else (DIGITS, 7)
    words = [symbols[rng.integers(len(symbols))] for _ in range(rng.integers(3, most + 1))]
    pause_share = _PAUSE_SHARES[rng.integers(len(_PAUSE_SHARES))]
    spoken = _spoken_words(words, is_spelled=True)
    marked = [word + ("," if rng.random() < pause_share else "") for word in spoken[:-1]]
    return " ".join(words), " ".join([*marked, spoken[-1]])
