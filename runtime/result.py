"""Results: decoded symbols as words with times and confidence, and whether they are to be acted upon."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Word:
    """One recognised word.

    Args:
        text: its spelling.
        start_s, end_s: seconds since the start of the stream, in steps of 40 ms: where its first symbol begins, and
            where its last symbol was decided.
        confidence: probability that the word is right, 0 to 1, where the bundle is calibrated; else the mean
            probability of its symbols.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a stream has recognised since its last segment ended.

    Args:
        text: words with single spaces; empty where is_rejected, since it is what a program acts upon.
        words: what was heard, with times, rejected or not.
        ids: symbol ids, blanks and repeats removed.
        is_final: nothing in this result will change any more.
        confidence: probability that this is speech of the kind that the recogniser is for, 0 to 1, where the bundle is
            calibrated; else the mean confidence of the words. 0 without words.
        is_rejected: there are words, and the confidence is below the threshold. Before is_final: as things stand.
    """

    text: str
    words: tuple[Word, ...]
    ids: tuple[int, ...]
    is_final: bool
    confidence: float = 0.0
    is_rejected: bool = False


class ResultMaker:
    """Makes the Results of a stream.

    Args:
        tokenizer: its symbols.
        calibration: Calibration of the bundle, or None.
        min_confidence: results below it are rejected, 0 to 1.
    """

    def __init__(self, tokenizer, *, calibration, min_confidence):
        self._tokenizer, self._calibration, self._min_confidence = tokenizer, calibration, min_confidence

    def __call__(self, symbols, *, count, nats, time_s, is_final):
        """Return the Result of the first `count` of Symbols.

        Args:
            nats: what FrameEntropy says of their frames.
            time_s: function from a frame to seconds since the start of the stream.
            is_final: as for Result.
        """
        ids = symbols.ids[:count]
        words = tuple(
            Word(
                text=word.text,
                start_s=time_s(symbols.frames[word.first]),
                end_s=time_s(symbols.frames[word.last] + 1),
                confidence=self._word_confidence(symbols.logprobs[word.first : word.last + 1]),
            )
            for word in self._tokenizer.words(ids)
        )
        confidence = self._confidence(words, nats=nats)
        is_rejected = bool(words) and confidence < self._min_confidence
        return Result(
            text="" if is_rejected else " ".join(word.text for word in words),
            words=words,
            ids=ids,
            is_final=is_final,
            confidence=confidence,
            is_rejected=is_rejected,
        )

    def _word_confidence(self, logprobs):
        probability = float(np.exp(logprobs).mean())
        return self._calibration.word_confidence(probability) if self._calibration else probability

    def _confidence(self, words, *, nats):
        if not words:
            return 0.0
        if self._calibration is None:
            return sum(word.confidence for word in words) / len(words)
        return self._calibration.utterance_confidence(nats / len(words))
