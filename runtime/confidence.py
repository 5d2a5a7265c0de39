"""How far a result can be trusted: the entropy of its spoken frames, and the logistic functions of a bundle."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from runtime.fields import Fields
from runtime.foreign import short

# Keeps the logit finite for probabilities of 0 and 1 in float32.
_MIN_PROBABILITY = 1e-6
# Nats per spoken frame added before the logarithm: below it no speech is clearer than another.
ENTROPY_FLOOR = 0.1
# Of a segment without any.
_MIN_SPOKEN_FRAMES = 1e-3
# A log-probability below this adds nothing to an entropy, and -inf would make it NaN.
_MIN_LOGPROB = -80.0
MAX_COEFFICIENT = 1000.0


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """The function x -> 1 / (1 + exp(-(bias + weight * x))).

    Args:
        bias, weight: finite, within ±MAX_COEFFICIENT.
    """

    bias: float
    weight: float

    def __call__(self, x):
        """Return the probability at a float x."""
        z = self.bias + self.weight * x
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a bundle knows about its own confidence, fitted on dev sets alone by `lottery-export`.

    Args:
        word: from the logit of a word's mean symbol probability to the probability that the word is right.
        utterance: from the natural log of the nats per spoken frame (see FrameEntropy) to the probability that the
            speech is of the kind that the recogniser is for.
        min_confidence: an utterance below it is rejected, 0 to 1.
    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    word: Logistic
    utterance: Logistic
    min_confidence: float

    def word_confidence(self, probability):
        """Return the calibrated confidence of a word from the mean probability of its symbols, 0 to 1."""
        return self.word(logit(probability))

    def utterance_confidence(self, nats_per_frame):
        """Return the calibrated confidence of an utterance from its entropy, 0 or more."""
        return self.utterance(log_entropy(nats_per_frame))

    def to_json(self):
        """Return the field `confidence` of `manifest.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value, *, source, hint):
        """Check the field `confidence` of an untrusted manifest and return the Calibration.

        Args:
            value: what the JSON parser returned.
            source, hint: as for Fields.
        Raises:
            BundleError: a number is missing, of another type, not finite or out of range.
        """
        fields = Fields(value, source=source, key="confidence", hint=hint)
        parts = {}
        for name in ("word", "utterance"):
            part = Fields(fields.get(name, dict), source=source, key=f"confidence.{name}", hint=hint)
            parts[name] = Logistic(
                **{key: _number(part, key, low=-MAX_COEFFICIENT, high=MAX_COEFFICIENT) for key in ("bias", "weight")}
            )
        return cls(**parts, min_confidence=_number(fields, "min_confidence", low=0, high=1))


# Confidences from which logit() and log_entropy() can be read back: what a calibration is fitted on.
UNCALIBRATED = Calibration(
    word=Logistic(bias=0.0, weight=1.0), utterance=Logistic(bias=0.0, weight=-1.0), min_confidence=0.0
)


def logit(probability):
    """Return log(p / (1 - p)) of a float, 0 to 1, with p kept _MIN_PROBABILITY away from both ends."""
    probability = min(max(probability, _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)
    return math.log(probability / (1 - probability))


def log_entropy(nats_per_frame):
    """Return ln(nats_per_frame + ENTROPY_FLOOR)."""
    return math.log(nats_per_frame + ENTROPY_FLOOR)


class FrameEntropy:
    """Adds up how undecided the model is over the frames of a segment, in nats per spoken frame.

    The entropy of a frame is 0 where the model gives one symbol all the probability, and grows with every other symbol
    that may be meant; a frame is spoken as far as it is not the blank. Silence that the model knows adds next to
    nothing to either, so pauses do not matter. A decoder may choose a symbol that is not the most probable one of its
    frame; what it is less probable by (natural log) is added.

    Args:
        blank: index of the CTC blank.
    """

    def __init__(self, *, blank):
        self._blank = blank
        self._first = 0
        # Of the first 0, 1, 2, ... frames.
        self._totals, self._spoken, self._bests = [0.0], [0.0], []
        # What the first 0, 1, 2, ... symbols add, as of the last call.
        self._shortfalls = [0.0]

    def accept(self, logprobs_TV):
        """Take the next frames: float32 (T, V), natural-log probabilities."""
        bounded_TV = np.maximum(logprobs_TV, _MIN_LOGPROB)
        entropy_T = -(np.exp(bounded_TV) * bounded_TV).sum(axis=1)
        blanks = np.exp(bounded_TV[:, self._blank]).tolist()
        for entropy, blank, best in zip(entropy_T.tolist(), blanks, logprobs_TV.max(axis=1).tolist(), strict=True):
            self._totals.append(self._totals[-1] + max(entropy, 0.0))
            self._spoken.append(self._spoken[-1] + max(1.0 - blank, 0.0))
            self._bests.append(best)

    def nats_per_frame(self, symbols, *, count, end, num_same=0):
        """Return the entropy of the frames before `end`, with what the first `count` of the chosen Symbols add.

        Args:
            end: frame, counted from the start of the stream.
            num_same: so many symbols at the start are those of the last call.
        """
        shortfalls = self._shortfalls
        del shortfalls[num_same + 1 :]
        for index in range(len(shortfalls) - 1, count):
            place = symbols.frames[index] - self._first
            is_known = 0 <= place < len(self._bests)
            added = max(0.0, self._bests[place] - symbols.logprobs[index]) if is_known else 0.0
            shortfalls.append(shortfalls[-1] + added)
        place = self._place(end)
        return (self._totals[place] + shortfalls[count]) / max(self._spoken[place], _MIN_SPOKEN_FRAMES)

    def forget(self, frame):
        """Drop the frames before `frame`: a segment ended there."""
        count = self._place(frame)
        for sums in (self._totals, self._spoken):
            base = sums[count]
            sums[:] = [total - base for total in sums[count:]]
        del self._bests[:count]
        self._first += count
        self._shortfalls = [0.0]

    def _place(self, frame):
        return min(max(frame - self._first, 0), len(self._bests))


def _number(fields, name, *, low, high):
    number = fields.get(name, int, float)
    # NaN fails the comparison, too.
    if not low <= number <= high:
        fields.fail(f"is {short(number)}, expected {low:g} to {high:g}", name=name)
    return float(number)
