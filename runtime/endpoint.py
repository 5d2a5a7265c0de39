"""Endpointing: when a live line is finished, by the silence rules of Kaldi and sherpa-onnx."""

from dataclasses import dataclass
from enum import Enum


class Endpoint(Enum):
    """Why a segment ended."""

    IDLE = "nothing was said"
    SILENCE = "silence after speech"
    MAX_LENGTH = "the longest segment"


@dataclass(frozen=True, kw_only=True)
class EndpointRules:
    """Limits on what a stream has decoded; silence is a run of blank frames up to the newest one.

    Args:
        idle_silence_s: rule 1, silence that ends a segment without text.
        silence_s: rule 2, silence that ends a segment with text.
        max_segment_s: rule 3, length that ends any segment.
    Raises:
        ValueError: a limit is not above zero.
    Source: kaldi/src/online2/online-endpoint.h; the values are sherpa-onnx's defaults.
    """

    idle_silence_s: float = 2.4
    silence_s: float = 1.2
    max_segment_s: float = 20.0

    def __post_init__(self):
        for name in ("idle_silence_s", "silence_s", "max_segment_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")

    def reached(self, *, silence_s, segment_s, has_text):
        """Return the Endpoint that applies, or None.

        Args:
            silence_s, segment_s, has_text: the properties of a Stream of the same names.
        """
        if has_text and silence_s >= self.silence_s:
            return Endpoint.SILENCE
        if not has_text and silence_s >= self.idle_silence_s:
            return Endpoint.IDLE
        if segment_s >= self.max_segment_s:
            return Endpoint.MAX_LENGTH
        return None


class Endpointer:
    """Ends the segments of one stream by rules.

    Args:
        stream: a Stream.
        rules: EndpointRules.
    Attributes:
        endpoint: the Endpoint that ended the latest segment, None before the first.
    """

    def __init__(self, stream, *, rules):
        self._stream, self._rules = stream, rules
        self.endpoint = None

    def poll(self):
        """Return the final Result of the segment if it just ended, else None; call after every accept()."""
        endpoint = self._rules.reached(
            silence_s=self._stream.silence_s, segment_s=self._stream.segment_s, has_text=self._stream.has_text
        )
        if endpoint is None:
            return None
        self.endpoint = endpoint
        # Only silence proves that the last word is complete.
        return self._stream.end_segment(keep_open_word=endpoint is Endpoint.MAX_LENGTH)
