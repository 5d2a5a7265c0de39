"""A live session for programs: one JSON object a line; docs/formats.md describes them."""

import json
import os
import re
from dataclasses import asdict

SCHEMA_VERSION = 1
# A chunk or two may always wait for the recogniser; more is a machine that does not keep up.
MIN_BEHIND_S = 1.0
_NOTHING = ("", 0, False)


class JsonLines:
    """Writes the events of a live session: `start`, `partial`, `final`, `gate`, `device_lost`, `device_found`, `end`.

    Args:
        out: text stream for the objects.
        status: text stream for notes.
    """

    def __init__(self, *, out, status):
        self._out, self._status = out, status
        self._shown = _NOTHING
        self._lost = {"num_overflows": 0, "dropped_s": 0.0}
        self._heard_s = 0.0
        self._behind_s, self._told_behind_s = 0.0, 0.0

    def note(self, text):
        """Print a line about the session on stderr."""
        print(text, file=self._status, flush=True)

    def start(self, source):
        """Write what is listened to."""
        name = unicode_name(source.name)
        self._write("start", schema_version=SCHEMA_VERSION, source=name, sample_rate_hz=source.sample_rate_hz)

    def end(self, summary):
        """Write what the session came to: the fields of a Summary."""
        rounded = {name: round(value, 3) for name, value in asdict(summary).items()}
        self._write("end", **rounded)

    def level(self, samples):
        """Nothing: a program has no use for the meter."""

    def heard(self, heard_s):
        """Remember how much audio was heard so far; every result says it."""
        self._heard_s = round(heard_s, 3)

    def lost(self, *, num_overflows, dropped_s):
        """Remember how much audio was lost so far; every result says it."""
        self._lost = {"num_overflows": num_overflows, "dropped_s": round(dropped_s, 3)}

    def behind(self, behind_s):
        """Remember how far the text is behind what is being said; every result says it: 0 up to MIN_BEHIND_S."""
        self._behind_s = round(behind_s, 3) if behind_s > MIN_BEHIND_S else 0.0

    def gate(self, *, is_open, at_s):
        """Write that the gate opened or closed."""
        self._write("gate", is_open=is_open, at_s=round(at_s, 3))

    def lost_device(self, name, *, at_s):
        """Write that the device is gone."""
        self._write("device_lost", source=unicode_name(name), at_s=round(at_s, 3))

    def found_device(self, name, *, at_s, gap_s):
        """Write that the device is back, and how long it was not heard."""
        self._write("device_found", source=unicode_name(name), at_s=round(at_s, 3), gap_s=round(gap_s, 3))

    def partial(self, partial):
        """Write the line so far, when it changed, or came to be another whole second behind.

        It changes where its text does, where more of it settles, and where its confidence passes the threshold.
        """
        shown = (partial.text, partial.num_stable, partial.is_rejected)
        if shown != self._shown or int(self._behind_s) != int(self._told_behind_s):
            self._shown = shown
            self._write_result("partial", partial, num_stable_words=partial.num_stable)

    def final(self, result, *, reason):
        """Write a finished line, if it holds any word, rejected or not.

        Args:
            result: Result.
            reason: the Reason why it is finished.
        """
        self._shown = _NOTHING
        if result.words:
            self._write_result("final", result, reason=reason.value)

    def _write_result(self, kind, result, **fields):
        self._told_behind_s = self._behind_s
        self._write(kind, **result_json(result), **fields, heard_s=self._heard_s, **self._lost, behind_s=self._behind_s)

    def _write(self, kind, **fields):
        print(json.dumps({"type": kind, **fields}), file=self._out, flush=True)


def file_json(path):
    """Return how JSON names a file: `file`, and `file_bytes`, its bytes in hex, where the name is not Unicode text."""
    name = unicode_name(path)
    return {"file": name} | ({} if name == path else {"file_bytes": os.fsencode(path).hex()})


def unicode_name(name):
    """Return a name as text that every JSON parser takes: U+FFFD stands for each byte that is not UTF-8."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name)


def result_json(result):
    """Return a Result or Partial as a JSON object.

    `text` is what a program acts upon: empty where the result is rejected. `words` are what was heard.
    """
    return {
        "text": "" if result.is_rejected else result.text,
        "confidence": round(result.confidence, 4),
        "is_rejected": result.is_rejected,
        "start_s": result.words[0].start_s if result.words else None,
        "end_s": result.words[-1].end_s if result.words else None,
        "words": [word_json(word) for word in result.words],
    }


def word_json(word):
    """Return a Word as a JSON object."""
    return {"word": word.text, "start_s": word.start_s, "end_s": word.end_s, "confidence": round(word.confidence, 4)}
