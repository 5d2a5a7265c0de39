"""The negatives corpus: synthetic speech that is not for the recogniser, so every transcript is empty.

Other languages, English outside the vocabulary of letters, numbers and commands, and words that do not exist. A
recogniser trained with it learns to stay silent. dev has other languages, sentences, words and voices than train.
"""

import numpy as np

from lottery_train.corpora.corpus import SPLITS
from lottery_train.corpora.english_sentences import ENGLISH_SENTENCES, ENGLISH_WORDS
from lottery_train.corpora.foreign_sentences import FOREIGN_SENTENCES
from lottery_train.corpora.synthetic import Line, build_corpus, draw_request
from lottery_train.corpora.voices import ACCENTS, draw_voice

NAME = "negatives"
# Raise it whenever other samples come out of the same parameters: cached corpora of older versions are then remade.
RECIPE_VERSION = 1

# What is drawn, and how often.
_KINDS = (("foreign", 0.45), ("english", 0.15), ("words", 0.15), ("pseudo", 0.25))
# Shares of 1, 2, 3 and 4 English words in a row: codes and commands of the domain are as short.
_NUM_WORDS_SHARES = (0.35, 0.35, 0.15, 0.15)
# Share of utterances of two sentences; words a minute, faster than codes, so that two end within 8 s.
_TWO_SENTENCES_SHARE = 0.35
_SENTENCE_RATE_WPM = (130, 191)

# Phoneme mnemonics of espeak-ng: those of English, and those that all voices of _PSEUDO_VOICES share.
# fmt: off
_ENGLISH_SYLLABLES = {
    "onsets": (
        "p", "b", "t", "d", "k", "g", "f", "v", "s", "z", "S", "tS", "dZ", "m", "n", "l", "r", "w", "h", "pl", "br",
        "st", "kr", "gl", "sp", "dr", "fl", "tr",
    ),
    "nuclei": (
        "I", "E", "a", "V", "0", "U", "@", "O:", "3:", "OI", "aU", "i:", "u:", "A:", "eI", "aI", "oU",
    ),
    "codas": ("n", "l", "s", "k", "m", "t", "p", "d", "f", "g", "S"),
}
_COMMON_SYLLABLES = {
    "onsets": ("p", "b", "t", "d", "k", "g", "f", "v", "s", "m", "n", "l", "r"),
    "nuclei": ("a", "e", "i", "o", "u"),
    "codas": ("n", "l", "s", "k", "m", "t"),
}
# fmt: on
# In an open syllable these sound like the names of letters: b, d, k, q, r, y, o.
_CLOSED_NUCLEI = frozenset({"i:", "u:", "A:", "eI", "aI", "oU", "i", "u", "e"})
_CODA_SHARE = 0.3
_PSEUDO_VOICES = {"train": ("it", "pl", "el", "fi", "cs", "tr", "ro", "hu", "id"), "dev": ("ca", "uk")}


def _draw_pseudo_word(rng, *, num_syllables, syllables):
    """Return the mnemonics of a word that does not exist, stressed on a random syllable."""
    stressed = rng.integers(num_syllables)
    word = ""
    for number in range(num_syllables):
        nucleus = rng.choice(syllables["nuclei"])
        is_closed = nucleus in _CLOSED_NUCLEI or rng.random() < _CODA_SHARE
        stress = "'" if number == stressed else ""
        coda = rng.choice(syllables["codas"]) if is_closed else ""
        word += f"{rng.choice(syllables['onsets'])}{stress}{nucleus}{coda}"
    return f"[[{word}]]"


def _draw_pseudo_words(rng, *, syllables):
    """Return 2 to 10 syllables as words of at least two: a single syllable could be the name of a letter."""
    remaining = int(rng.integers(2, 11))
    words = []
    while remaining:
        num_syllables = min(int(rng.integers(2, 5)), remaining)
        if remaining - num_syllables == 1:
            num_syllables += 1
        words.append(_draw_pseudo_word(rng, num_syllables=num_syllables, syllables=syllables))
        remaining -= num_syllables
    return " ".join(words)


def _draw_sentences(rng, *, sentences):
    """Return one sentence, or two different ones."""
    num_sentences = 2 if rng.random() < _TWO_SENTENCES_SHARE else 1
    return " ".join(rng.choice(sentences, size=num_sentences, replace=False))


def _draw_negative(rng, *, split):
    """Return (language tag, Request) of one utterance."""
    names, shares = zip(*_KINDS, strict=True)
    kind = names[rng.choice(len(names), p=shares)]
    if kind == "foreign":
        voices = FOREIGN_SENTENCES[split]
        lang = tuple(voices)[rng.integers(len(voices))]
        text = _draw_sentences(rng, sentences=voices[lang])
        voice = draw_voice(rng, split=split, accents=(lang,))
        return lang, draw_request(rng, text=text, voice=voice, rate_wpm=_SENTENCE_RATE_WPM)
    if kind == "english":
        text = _draw_sentences(rng, sentences=ENGLISH_SENTENCES[split])
        return "en", draw_request(rng, text=text, voice=draw_voice(rng, split=split), rate_wpm=_SENTENCE_RATE_WPM)
    if kind == "words":
        num_words = 1 + rng.choice(len(_NUM_WORDS_SHARES), p=_NUM_WORDS_SHARES)
        text = " ".join(rng.choice(ENGLISH_WORDS[split], size=num_words))
        return "en", draw_request(rng, text=text, voice=draw_voice(rng, split=split))
    is_english = rng.random() < 0.5
    accents = ACCENTS if is_english else _PSEUDO_VOICES[split]
    text = _draw_pseudo_words(rng, syllables=_ENGLISH_SYLLABLES if is_english else _COMMON_SYLLABLES)
    return "zxx", draw_request(rng, text=text, voice=draw_voice(rng, split=split, accents=accents))


def _write_script(*, sizes, seed):
    """Draw every utterance of every split; a split's lines do not depend on the sizes of the others."""
    lines = []
    for split in sizes:
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        for number in range(sizes[split]):
            lang, request = _draw_negative(rng, split=split)
            lines.append(Line(split=split, number=number, text="", lang=lang, request=request))
    return lines


def build(out_dir, *, num_train=1500, num_dev=150, seed=0):
    """Synthesise the corpus, or return it where it is already there with the same parameters.

    Args:
        out_dir: folder for train.jsonl, dev.jsonl, corpus.json and audio/ (16 kHz FLAC). A negatives corpus with other
            parameters is replaced; anything else there is not.
        num_train, num_dev: utterances per split, >= 1.
        seed: >= 0. The same parameters give the same files, bit for bit, on the same machine and package versions.
    Returns:
        Corpus without a test split. Every text is empty: read it with `read_manifest(path, needs_text=False)`. The
        speaker is the name of the voice; the language is "zxx" (no linguistic content) for words that do not exist.
    Raises:
        CorpusError: out_dir holds something else, or synthesis failed.
        MissingExtraError: espeakng-loader is not installed.
        LotteryError: out_dir cannot be written; nothing stays behind.
    """
    return build_corpus(
        out_dir,
        name=NAME,
        noun="a negatives corpus",
        recipe_version=RECIPE_VERSION,
        sizes={"train": num_train, "dev": num_dev},
        seed=seed,
        write_script=_write_script,
    )
