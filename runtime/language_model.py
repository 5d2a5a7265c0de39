"""An n-gram language model, ARPA or KenLM binary, that scores words as they end."""

import math
import os
import re
from pathlib import Path

import numpy as np

from runtime.errors import LotteryError, require_extra
from runtime.foreign import short
from runtime.text import decode_utf8
from runtime.tokenizer import WORD_START

# Tuned on AN4's dev split: benchmarks/results/decoding.json.
DEFAULT_WEIGHT = 0.4
DEFAULT_WORD_BONUS = 2.0
_NATURAL = math.log(10)
# What an ARPA text begins with; comments may stand before it.
_ARPA_MARK, _HEAD_BYTES = b"\\data\\", 1 << 16


class LanguageModel:
    """A scorer for BeamDecoder: adds `weight * ln p(word | words before) + word_bonus` at the end of each word.

    Words are looked up as the model spells them, capitals included; what the file does not know is its `<unk>`.

    Args:
        path: ARPA text or KenLM binary.
        weight: of the language model beside the sound, 0 or more.
        word_bonus: natural log, added for each word: a language model alone prefers few words.
    Raises:
        ValueError: weight or word_bonus is out of range.
    """

    def __init__(self, path, *, weight=DEFAULT_WEIGHT, word_bonus=DEFAULT_WORD_BONUS):
        if not 0 <= weight < math.inf or not math.isfinite(word_bonus):
            raise ValueError(f"weight is {weight}, word_bonus {word_bonus}: expected 0 or more, and a number")
        self.path, self.weight, self.word_bonus = Path(path), weight, word_bonus

    def prepare(self, tokenizer):
        """Return the Scorer.

        Raises:
            MissingExtraError: the package that reads language models is not installed.
            LotteryError: the file is missing or no language model.
        """
        kenlm = require_extra("kenlm", extra="lm")
        if not self.path.is_file():
            raise LotteryError(f"{self.path}: no such file", hint="name an ARPA file or a KenLM binary")
        _check_arpa(self.path)
        config = kenlm.Config()
        config.show_progress = False
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            model = kenlm.Model(os.fsencode(self.path), config)
        except (OSError, RuntimeError, UnicodeDecodeError) as error:  # the last from a message that quotes the file
            # What stands before is the library's source line.
            reason = re.split(r"threw \w+\W*(?:because\W)?", str(error))[-1].rstrip(").")
            where = f"{self.path}{_line_of(reason, path=self.path)}"
            raise LotteryError(
                f"{where}: not a language model: {short(reason, is_quoted=False)}",
                hint="name an ARPA file or a KenLM binary",
            ) from error
        return LanguageModelScorer(
            model, new_state=kenlm.State, weight=self.weight, word_bonus=self.word_bonus, tokenizer=tokenizer
        )


def _check_arpa(path):
    """Raise LotteryError where an ARPA text is not UTF-8: its words would never be those of a model."""
    try:
        with open(path, "rb") as file:
            if _ARPA_MARK not in file.read(_HEAD_BYTES):
                return  # a KenLM binary, or compressed
            file.seek(0)
            for number, line in enumerate(file, start=1):
                decode_utf8(line, source=path, first_line=number)
    except OSError as error:
        raise LotteryError(f"{path}: cannot read: {error.strerror}") from error


def _line_of(reason, *, path):
    """Return `:LINE` of the byte that the library complains of, where it says one of an ARPA text."""
    found = re.search(r"Byte: (\d+)$", reason)
    with open(path, "rb") as file:
        before = file.read(int(found[1])) if found else b""
    line = before.count(b"\n") + 1
    return f":{line}" if _ARPA_MARK in before[:_HEAD_BYTES] else ""


class LanguageModelScorer:
    """The model as a Scorer; a state is (KenLM's state behind the last whole word, letters of the word being said).

    Args:
        model: kenlm.Model.
        new_state: kenlm.State.
        weight, word_bonus: as for LanguageModel.
        tokenizer: Tokenizer.
    """

    def __init__(self, model, *, new_state, weight, word_bonus, tokenizer):
        self._model, self._new_state = model, new_state
        self._scale, self._word_bonus = weight * _NATURAL, word_bonus
        self._starts_word = [symbol.startswith(WORD_START) for symbol in tokenizer.symbols]
        self._letters = [symbol.removeprefix(WORD_START) for symbol in tokenizer.symbols]
        self.limits_V = np.zeros(len(tokenizer))

    def start(self):
        """See Scorer: the beginning of a sentence."""
        context = self._new_state()
        self._model.BeginSentenceWrite(context)
        return context, ""

    def step(self, state, symbol):
        """See Scorer; nothing is forbidden."""
        context, word = state
        if not self._starts_word[symbol]:
            return (context, word + self._letters[symbol]), 0.0
        context, score = self._end_word(context, word)
        return (context, self._letters[symbol]), score

    def is_complete(self, state):
        """See Scorer: always."""
        return True

    def finish(self, state):
        """See Scorer: the last word, and the end of the sentence."""
        context, score = self._end_word(*state)
        return score + self._scale * self._model.BaseScore(context, "</s>", self._new_state())

    def resume(self, state):
        """See Scorer: the sentence goes on."""
        return state

    def _end_word(self, context, word):
        if not word:
            return context, 0.0
        after = self._new_state()
        return after, self._scale * self._model.BaseScore(context, word, after) + self._word_bonus
