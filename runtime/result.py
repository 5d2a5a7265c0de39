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
    """Makes the Results of a stream; a word that another follows is made once, however often the text is asked for.

    Args:
        tokenizer: its symbols.
        calibration: Calibration of the bundle, or None.
        min_confidence: results below it are rejected, 0 to 1.
    """

    def __init__(self, tokenizer, *, calibration, min_confidence):
        self._tokenizer, self._calibration, self._min_confidence = tokenizer, calibration, min_confidence
        self.forget()

    def forget(self):
        """Drop the words that are known: a segment ended."""
        # Closed words, their texts, the index of their last symbol, and the confidences of the first 0, 1, 2, ... of
        # them, added up.
        self._words, self._texts, self._lasts, self._confidences = [], [], [], [0.0]

    def __call__(self, symbols, *, count, nats, time_s, is_final, num_same=0):
        """Return the Result of the first `count` of Symbols.

        Args:
            nats: per spoken frame, as FrameEntropy says.
            time_s: function from a frame to seconds since the start of the stream.
            is_final: as for Result.
            num_same: so many symbols at the start are those of the last call.
        """
        self._forget_words(min(num_same, count))
        ids = symbols.ids[:count]
        first = self._lasts[-1] + 1 if self._lasts else 0
        spelled = self._tokenizer.words(ids[first:])
        for word in spelled:
            self._add(word, symbols=symbols, first=first, time_s=time_s)
        words, text, total = tuple(self._words), " ".join(self._texts), self._confidences[-1]
        if spelled:
            # The last one may still grow.
            self._forget_words(self._lasts[-1] + 1)
        confidence = self._confidence(total, num_words=len(words), nats=nats)
        is_rejected = bool(words) and confidence < self._min_confidence
        return Result(
            text="" if is_rejected else text,
            words=words,
            ids=ids,
            is_final=is_final,
            confidence=confidence,
            is_rejected=is_rejected,
        )

    def _add(self, word, *, symbols, first, time_s):
        """Add a SpelledWord whose symbols are counted from `first`."""
        begin, last = first + word.first, first + word.last
        confidence = self._word_confidence(symbols.logprobs[begin : last + 1])
        start_s, end_s = time_s(symbols.frames[begin]), time_s(symbols.frames[last] + 1)
        self._words.append(Word(text=word.text, start_s=start_s, end_s=end_s, confidence=confidence))
        self._texts.append(word.text)
        self._lasts.append(last)
        self._confidences.append(self._confidences[-1] + confidence)

    def _forget_words(self, num_symbols):
        """Forget the words that are not closed within the first symbols: by the start of the word after them."""
        while self._lasts and self._lasts[-1] + 2 > num_symbols:
            for known in (self._words, self._texts, self._lasts, self._confidences):
                known.pop()

    def _word_confidence(self, logprobs):
        probability = float(np.exp(logprobs).mean())
        return self._calibration.word_confidence(probability) if self._calibration else probability

    def _confidence(self, total, *, num_words, nats):
        """Return the confidence of so many words whose confidences add up to `total`."""
        if not num_words:
            return 0.0
        if self._calibration is None:
            return total / num_words
        return self._calibration.utterance_confidence(nats)
