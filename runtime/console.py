"""What a live session shows: a partial line that updates in place on stderr, final lines on stdout."""

import os
import shutil
import unicodedata

import numpy as np

from runtime.events import MIN_BEHIND_S

__all__ = ["Console", "word_line"]

_ERASE_TO_END = "\x1b[K"
_DIM, _NOT_DIM = "\x1b[2m", "\x1b[22m"
NOT_UNDERSTOOD = "(not understood)"
_METER = " ▁▂▃▄▅▆▇█"
_METER_FLOOR_DB = -60.0
_ELLIPSIS, _RESTING = "…", "·"
# For terminals whose encoding has no blocks.
_PLAIN = str.maketrans(f"{_METER}{_ELLIPSIS}{_RESTING}", " .:-=+*#@~_")


class Console:
    """A live display for people.

    Args:
        out: text stream for final lines.
        status: text stream for the line in place; used only when it is a terminal.
        has_timestamps: final text is one line a word, with times and confidence.
    """

    def __init__(self, *, out, status, has_timestamps=False):
        self._out, self._status, self._has_timestamps = out, status, has_timestamps
        self._is_live = status.isatty()
        self._is_plain = not _can_spell(_METER, encoding=status.encoding)
        self._shown = ""
        self._level_db = _METER_FLOOR_DB
        self._lost = []
        self._behind = []
        self._is_resting = False

    def note(self, text):
        """Print a line about the session, such as the microphone's name, on stderr."""
        self._clear()
        print(text, file=self._status, flush=True)

    def start(self, source):
        """Say what is listened to."""
        self.note(f"listening to {source.name} at {source.sample_rate_hz} Hz, Ctrl-C ends")

    def end(self, summary):
        """Say what went wrong in the session, if anything did, and what a gate has saved."""
        if summary.most_behind_s > MIN_BEHIND_S:
            self.note(f"recognition was up to {summary.most_behind_s:.1f} s behind what was being said")
        if summary.num_overflows or summary.dropped_s:
            self.note(
                f"audio was lost: {summary.num_overflows} overflows of the audio system, "
                f"{summary.dropped_s:.1f} s dropped because this machine did not keep up"
            )
        if summary.num_gaps:
            self.note(f"the microphone was away {summary.num_gaps} times, {summary.gap_s:.1f} s in all")
        if summary.recognised_s < summary.heard_s:
            self.note(
                f"the gate let {summary.recognised_s:.1f} s of {summary.heard_s:.1f} s through; "
                f"processor time {summary.cpu_s / max(summary.wall_s, 1e-3):.2%} of one core"
            )

    def heard(self, heard_s):
        """Nothing: a person knows how long it has been."""

    def gate(self, *, is_open, at_s):
        """Show whether the recogniser listens."""
        self._is_resting = not is_open

    def lost_device(self, name, *, at_s):
        """Say that the device is gone."""
        self.note(f"{name} is gone: waiting for it, Ctrl-C ends")

    def found_device(self, name, *, at_s, gap_s):
        """Say that the device is back, and how long it was not heard."""
        self.note(f"{name} is back: {gap_s:.1f} s were not heard")

    def level(self, samples):
        """Take the loudness of a block (float32 (n,)) into the meter; falls 3 dB a block."""
        power = float(np.mean(np.square(samples))) if len(samples) else 0.0
        self._level_db = max(_METER_FLOOR_DB, self._level_db - 3.0, 10 * np.log10(max(power, 1e-12)))

    def lost(self, *, num_overflows, dropped_s):
        """Show how much audio was lost so far."""
        self._lost = [f"{num_overflows} overflow{'s' if num_overflows != 1 else ''}"] if num_overflows else []
        self._lost += [f"{dropped_s:.1f} s dropped"] if dropped_s else []

    def behind(self, behind_s):
        """Show how far the text is behind what is being said, once that is more than MIN_BEHIND_S."""
        self._behind = [f"behind {behind_s:.1f} s"] if behind_s > MIN_BEHIND_S else []

    def partial(self, partial):
        """Show a Partial in place; the newest words stay visible when the terminal is too narrow.

        It is dim while its confidence is below the threshold: it may turn out not to be meant.
        """
        if not self._is_live:
            return
        steps = len(_METER) - 1
        meter = _METER[round(steps * min(1.0, 1 - self._level_db / _METER_FLOOR_DB))]
        room = shutil.get_terminal_size(fallback=self._status_size()).columns - 1
        warnings = ", ".join(self._behind + self._lost)
        mark = _RESTING if self._is_resting else meter
        head = f"{mark} [{warnings}] " if warnings else f"{mark} "
        text = partial.text
        if _width(head + text) > room:
            head += _ELLIPSIS
            text = _last_columns(text, columns=room - _width(head))
        if self._is_plain:
            head = head.translate(_PLAIN)
        line = head + (f"{_DIM}{text}{_NOT_DIM}" if partial.is_rejected else text)
        if line != self._shown:
            # One write, erasing only behind the new text: the line never flickers.
            self._status.write(f"\r{line}{_ERASE_TO_END}")
            self._status.flush()
            self._shown = line

    def final(self, result, *, reason):
        """Print a finished line, if it holds any word; one that is rejected is a dim note on the terminal alone.

        Args:
            result: Result.
            reason: the Reason why it is finished.
        """
        self._clear()
        if result.is_rejected:
            if self._is_live:
                self.note(f"{_DIM}{NOT_UNDERSTOOD}{_NOT_DIM}")
        elif result.text:
            text = "\n".join(map(word_line, result.words)) if self._has_timestamps else result.text
            print(text, file=self._out, flush=True)

    def _status_size(self):
        """Return the size of the terminal that shows the line: stdout need not be one."""
        try:
            return os.get_terminal_size(self._status.fileno())
        except OSError:
            return 80, 24

    def _clear(self):
        if self._shown:
            self._status.write(f"\r{_ERASE_TO_END}")
            self._status.flush()
            self._shown = ""


def word_line(word):
    """Return a Word as start_s, end_s, confidence and text, tabs between, as `lottery-transcribe --timestamps` does."""
    return f"{word.start_s:.2f}\t{word.end_s:.2f}\t{word.confidence:.3f}\t{word.text}"


def _can_spell(text, *, encoding):
    """Whether a stream of an encoding (None: any) can hold a text."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width(text):
    """Return the terminal columns that text takes: wide East Asian characters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _last_columns(text, *, columns):
    start, taken = len(text), 0
    while start and (taken := taken + _width(text[start - 1])) <= columns:
        start -= 1
    return text[start:]
