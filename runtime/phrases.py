"""Words and phrases that a user lists, checked against what a model can spell."""

from pathlib import Path

from runtime.errors import LotteryError
from runtime.foreign import short
from runtime.text import clean_text, decode_utf8
from runtime.tokenizer import WORD_START

MAX_PHRASES = 100_000


def read_phrases(path):
    """Return the lines of a UTF-8 text file, one phrase each, without empty lines and lines that begin with `#`.

    Raises:
        LotteryError: the file cannot be read, or holds no phrase or too many.
    """
    try:
        lines = decode_utf8(Path(path).read_bytes(), source=path).split("\n")
    except OSError as error:
        raise LotteryError(f"{path}: cannot read: {error.strerror or error}") from error
    phrases = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not 0 < len(phrases) <= MAX_PHRASES:
        raise LotteryError(
            f"{path}: {len(phrases)} phrases, expected 1 to {MAX_PHRASES}", hint="write one word or phrase a line"
        )
    return phrases


class Speller:
    """Checks phrases against the symbols of a model.

    Every way to cut a phrase into symbols is a way to say it, whichever the model was trained with: a bundle holds the
    symbols, not the rules that chose among them.

    Args:
        tokenizer: Tokenizer.
    """

    def __init__(self, tokenizer):
        self._symbols = frozenset(tokenizer.symbols[tokenizer.blank + 1 :])
        self._characters = {character for symbol in self._symbols for character in symbol} - {WORD_START}
        self._longest = max(map(len, self._symbols), default=0)

    def spell(self, phrase):
        """Return a phrase as the characters that symbols are made of: its words, each after U+2581.

        Raises:
            LotteryError: it is empty, or no sequence of symbols spells it; the message names the characters at fault.
        """
        words = clean_text(phrase).split()
        if not words:
            raise LotteryError(f"phrase {short(phrase)} is empty", hint="write at least one word")
        for word in words:
            if not self._can_spell(word):
                raise LotteryError(f"phrase {short(phrase)}: {self._reason(word)}", hint=self._hint(phrase))
        return "".join(WORD_START + word for word in words)

    def _can_spell(self, word):
        """Whether symbols, one after the other, make the word; with or without the mark that begins it."""
        text = WORD_START + word
        # From behind the mark as well: the first word of a character model has none.
        is_reached = [True, True] + [False] * len(word)
        for end in range(1, len(text) + 1):
            is_reached[end] = is_reached[end] or any(
                is_reached[start] and text[start:end] in self._symbols
                for start in range(max(0, end - self._longest), end)
            )
        return is_reached[-1] and WORD_START not in word

    def _reason(self, word):
        missing = sorted(set(word) - self._characters)
        if missing:
            return f"the model has no symbol with {short(' '.join(missing), is_quoted=False)}"
        return f"the model's symbols cannot be put together to {short(word)}"

    def _hint(self, phrase):
        for other in (phrase.lower(), phrase.upper()):
            if all(map(self._can_spell, other.split())):
                return f"the model writes {short(other)}"
        return f"the model's symbols are made of {short(''.join(sorted(self._characters)), is_quoted=False)}"
