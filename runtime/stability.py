"""Which words of a growing text are settled, for decoders that only append and for those that revise."""

from dataclasses import dataclass

NUM_CHUNKS = 2
# A word this long ago is complete, although none follows it: longer than a pause between two syllables.
CLOSED_AFTER_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A line that is still being spoken, as it is shown.

    Args:
        words: Word; the first `num_stable` of them are settled.
        num_stable: words that no later Partial of the line changes.
        confidence: of the line so far.
        is_rejected: the line so far is below the threshold: it may turn out not to be meant.
    """

    words: tuple = ()
    num_stable: int = 0
    confidence: float = 0.0
    is_rejected: bool = False

    @property
    def text(self):
        """The words with single spaces."""
        return " ".join(word.text for word in self.words)


class StableText:
    """Settles the words of one line: what stood in the results of NUM_CHUNKS chunks in a row does not change any more.

    Words are settled from left to right, and the newest word only once another follows or CLOSED_AFTER_S of silence
    do: until then it is growing, not changing. What a decoder says later about the time of settled words is not
    shown. The final result of the line is the decoder's own, whatever was shown before.

    Source: LocalAgreement-2 of Liu, Spanakis, Niehues, "Low-latency sequence-to-sequence speech recognition and
    translation by partial hypothesis selection", Interspeech 2020.
    """

    def __init__(self):
        self._stable, self._unsettled = (), ()

    def update(self, result, *, silence_s=0.0):
        """Take the result after another chunk and return the Partial to show.

        Args:
            result: Result of the line so far.
            silence_s: seconds since its last symbol.
        """
        words = self._following(result.words)
        num_closed = len(words) if silence_s >= CLOSED_AFTER_S else len(words) - 1
        unsettled, is_same = [], True
        for index, word in enumerate(words):
            before, age = self._unsettled[index] if index < len(self._unsettled) else (None, 0)
            # A change anywhere makes everything behind it as young as itself.
            is_same = is_same and word.text == before
            unsettled.append((word.text, 0 if index >= num_closed else age + 1 if is_same else 1))
        num_new = next((index for index, (_, age) in enumerate(unsettled) if age < NUM_CHUNKS), len(words))
        self._stable += words[:num_new]
        self._unsettled = unsettled[num_new:]
        return Partial(
            words=self._stable + words[num_new:],
            num_stable=len(self._stable),
            confidence=result.confidence,
            is_rejected=result.is_rejected,
        )

    def _following(self, words):
        """Return the words that begin when the settled ones have ended."""
        if not self._stable:
            return words
        return tuple(word for word in words if word.start_s >= self._stable[-1].end_s)
