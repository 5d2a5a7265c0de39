"""One live session: audio through gate, recogniser and endpoint rules to a display, with its gaps and losses."""

import functools
import time
from dataclasses import dataclass, replace
from enum import Enum

from runtime.endpoint import Endpoint, Endpointer
from runtime.stability import Partial, StableText

# The meter moves this often, whatever the block length.
_REFRESH_S = 0.09


class Reason(Enum):
    """Why a line is final."""

    SILENCE = "silence"
    MAX_LENGTH = "max_length"
    GATE = "gate"
    GAP = "gap"
    END = "end"


_OF_ENDPOINT = {
    Endpoint.SILENCE: Reason.SILENCE,
    # It ends lines without text, which no display shows.
    Endpoint.IDLE: Reason.SILENCE,
    Endpoint.MAX_LENGTH: Reason.MAX_LENGTH,
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a session came to.

    Args:
        heard_s: seconds of audio that the source delivered.
        recognised_s: seconds of it that the recogniser heard: less, where a gate was closed.
        num_overflows, dropped_s, num_gaps, gap_s: see Source.
        most_behind_s: how far the text was behind what was being said, at worst.
        wall_s, cpu_s: time it took, and processor time of the whole process in that time.
    """

    heard_s: float
    recognised_s: float
    num_overflows: int
    dropped_s: float
    num_gaps: int
    gap_s: float
    most_behind_s: float
    wall_s: float
    cpu_s: float


class Conversation:
    """Turns blocks of audio into calls of a display.

    Times are seconds of audio heard since the session began; what a gap or a full queue lost is not counted, so that
    they are positions in the audio as it was recorded.

    Args:
        source: a Source that is recording.
        recognizer: a Recognizer.
        rules: EndpointRules that end a line.
        display: Console or JsonLines.
        gate: Gate that lets the recogniser rest, or None.
        recording: Recording that keeps what the recogniser hears, or None.
    """

    def __init__(self, source, *, recognizer, rules, display, gate=None, recording=None):
        self._source, self._recognizer, self._rules = source, recognizer, rules
        self._display, self._gate, self._recording = display, gate, recording
        self._heard_s = self._recognised_s = self._most_behind_s = self._refreshed_s = 0.0
        self._num_gaps, self._gap_s, self._is_lost = 0, 0.0, False
        self._stream, self._begin_s = None, 0.0
        self._partial = Partial()
        self._wall_start_s, self._cpu_start_s = time.monotonic(), time.process_time()

    def hear(self, block):
        """Take a block, float32 (n,), of the source; an empty one while its device is lost."""
        source, display = self._source, self._display
        if source.is_lost and not self._is_lost:
            self._end_at_gap()
            display.lost_device(source.name, at_s=self._heard_s)
        self._is_lost = source.is_lost
        if source.num_gaps > self._num_gaps:
            # The device may have come back before the reader had caught up.
            self._end_at_gap()
            display.found_device(source.name, at_s=self._heard_s, gap_s=source.gap_s - self._gap_s)
            self._num_gaps, self._gap_s = source.num_gaps, source.gap_s
        if not len(block):
            return
        self._heard_s += len(block) / source.sample_rate_hz
        display.heard(self._heard_s)
        is_new = self._hear_through_gate(block)
        # Blocks that nobody waits for, behind a closed gate, may wait (see Source.rest).
        behind_s = source.behind_s if self._stream is not None else 0.0
        self._most_behind_s = max(self._most_behind_s, behind_s)
        display.level(block)
        if is_new or self._heard_s - self._refreshed_s >= _REFRESH_S:
            self._refreshed_s = self._heard_s
            display.behind(behind_s)
            display.lost(num_overflows=source.num_overflows, dropped_s=source.dropped_s)
            display.partial(self._partial)

    def finish(self):
        """Finalise the last words; return the Summary."""
        self._end_line(Reason.END)
        source = self._source
        return Summary(
            heard_s=self._heard_s,
            recognised_s=self._recognised_s,
            num_overflows=source.num_overflows,
            dropped_s=source.dropped_s,
            num_gaps=source.num_gaps,
            gap_s=source.gap_s,
            most_behind_s=self._most_behind_s,
            wall_s=time.monotonic() - self._wall_start_s,
            cpu_s=time.process_time() - self._cpu_start_s,
        )

    def _hear_through_gate(self, block):
        """Recognise what the gate lets through; a gate that closes ends the line. Return whether text may be new."""
        gate, source = self._gate, self._source
        if gate is None:
            return self._recognise([block])
        was_open = gate.is_open
        blocks = gate.accept(block, sample_rate_hz=source.sample_rate_hz)
        if gate.is_open and not was_open:
            source.rest(is_urgent=None)
            self._display.gate(is_open=True, at_s=self._heard_s)
        is_new = self._recognise(blocks)
        if was_open and not gate.is_open:
            self._end_line(Reason.GATE)
            source.rest(is_urgent=functools.partial(gate.may_open, sample_rate_hz=source.sample_rate_hz))
            self._display.gate(is_open=False, at_s=self._heard_s)
        return is_new

    def _recognise(self, blocks):
        """Hand blocks to the stream; return whether the text may have changed."""
        if not blocks:
            return False
        rate = self._source.sample_rate_hz
        if self._stream is None:
            self._begin_stream(begin_s=self._heard_s - sum(map(len, blocks)) / rate)
        is_new = False
        for block in blocks:
            self._recognised_s += len(block) / rate
            if self._recording is not None:
                self._recording.add(block)
            if self._stream.accept(block):
                is_new = True
                segment = self._endpointer.poll()
                if segment is not None:
                    self._final(segment, _OF_ENDPOINT[self._endpointer.endpoint])
                partial = self._text.update(self._stream.result(), silence_s=self._stream.silence_s)
                self._partial = replace(partial, words=self._in_session(partial.words))
        return is_new

    def _begin_stream(self, *, begin_s):
        self._begin_s = begin_s
        self._stream = self._recognizer.stream(sample_rate_hz=self._source.sample_rate_hz)
        self._endpointer = Endpointer(self._stream, rules=self._rules)
        self._text = StableText()
        if self._recording is not None:
            self._recording.begin(sample_rate_hz=self._source.sample_rate_hz)

    def _end_line(self, reason):
        """Finalise what the stream holds; the audio after it is not continuous with the audio before."""
        if self._stream is not None:
            self._final(self._stream.finish(), reason)
            self._stream = None

    def _end_at_gap(self):
        self._end_line(Reason.GAP)
        if self._gate is not None:
            self._gate.forget()

    def _final(self, result, reason):
        if self._recording is not None:
            self._recording.add_line(result, is_cut=reason is Reason.MAX_LENGTH)
        self._display.final(replace(result, words=self._in_session(result.words)), reason=reason)
        self._text = StableText()
        self._partial = Partial()

    def _in_session(self, words):
        if not self._begin_s:
            return words
        return tuple(
            replace(word, start_s=round(word.start_s + self._begin_s, 3), end_s=round(word.end_s + self._begin_s, 3))
            for word in words
        )
