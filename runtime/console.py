"""What a live session shows: a partial line that updates in place on stderr, final lines on stdout."""

import json
import shutil
import unicodedata

import numpy as np

_ERASE_TO_END = "\x1b[K"
_METER = " ▁▂▃▄▅▆▇█"
_METER_FLOOR_DB = -60.0
# A chunk or two may always wait for the recogniser; more is a machine that does not keep up.
MIN_BEHIND_S = 1.0


class Console:
    """A live display for people.

    Args:
        out: text stream for final lines.
        status: text stream for the line in place; used only when it is a terminal.
    """

    def __init__(self, *, out, status):
        self._out, self._status = out, status
        self._is_live = status.isatty()
        self._shown = ""
        self._level_db = _METER_FLOOR_DB
        self._lost = []
        self._behind = []

    def note(self, text):
        """Print a line about the session, such as the microphone's name, on stderr."""
        self._clear()
        print(text, file=self._status, flush=True)

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

    def partial(self, result):
        """Show the segment so far, in place; the newest words stay visible when the terminal is too narrow."""
        if not self._is_live:
            return
        steps = len(_METER) - 1
        meter = _METER[round(steps * min(1.0, 1 - self._level_db / _METER_FLOOR_DB))]
        room = shutil.get_terminal_size().columns - 1
        warnings = ", ".join(self._behind + self._lost)
        head = f"{meter} [{warnings}] " if warnings else f"{meter} "
        line = head + result.text
        if _width(line) > room:
            head += "…"
            line = head + _last_columns(result.text, columns=room - _width(head))
        if line != self._shown:
            # One write, erasing only behind the new text: the line never flickers.
            self._status.write(f"\r{line}{_ERASE_TO_END}")
            self._status.flush()
            self._shown = line

    def final(self, result):
        """Print a finished segment, if it holds any word."""
        self._clear()
        if result.text:
            print(result.text, file=self._out, flush=True)

    def _clear(self):
        if self._shown:
            self._status.write(f"\r{_ERASE_TO_END}")
            self._status.flush()
            self._shown = ""


class JsonLines:
    """The same session for programs: one JSON object a line on stdout, `type` is partial or final.

    Args:
        out: text stream for the objects.
        status: text stream for notes.
    """

    def __init__(self, *, out, status):
        self._out, self._status = out, status
        self._partial = ""
        self._lost = {"num_overflows": 0, "dropped_s": 0.0}
        self._behind_s, self._told_behind_s = 0.0, 0.0

    def note(self, text):
        """Print a line about the session on stderr."""
        print(text, file=self._status, flush=True)

    def level(self, samples):
        """Nothing: a program has no use for the meter."""

    def lost(self, *, num_overflows, dropped_s):
        """Remember how much audio was lost so far; every object says it."""
        self._lost = {"num_overflows": num_overflows, "dropped_s": round(dropped_s, 3)}

    def behind(self, behind_s):
        """Remember how far the text is behind what is being said; every object says it: 0 up to MIN_BEHIND_S."""
        self._behind_s = round(behind_s, 3) if behind_s > MIN_BEHIND_S else 0.0

    def partial(self, result):
        """Write the segment so far, when its text changed, or when it came to be another whole second behind."""
        if result.text != self._partial or int(self._behind_s) != int(self._told_behind_s):
            self._partial = result.text
            self._write("partial", result)

    def final(self, result):
        """Write a finished segment, if it holds any word."""
        self._partial = ""
        if result.text:
            self._write("final", result)

    def _write(self, kind, result):
        self._told_behind_s = self._behind_s
        value = {"type": kind, **result_json(result), **self._lost, "behind_s": self._behind_s}
        print(json.dumps(value), file=self._out, flush=True)


def result_json(result):
    """Return a Result as a JSON object: text, start_s, end_s, words with times and confidence."""
    return {
        "text": result.text,
        "start_s": result.words[0].start_s if result.words else None,
        "end_s": result.words[-1].end_s if result.words else None,
        "words": [word_json(word) for word in result.words],
    }


def word_json(word):
    """Return a Word as a JSON object."""
    return {"word": word.text, "start_s": word.start_s, "end_s": word.end_s, "confidence": round(word.confidence, 4)}


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
