"""The events of a live session for programs."""

import io
import json
from dataclasses import asdict

import numpy as np

from runtime.conversation import Reason, Summary
from runtime.events import JsonLines
from runtime.recognizer import Result, Word
from runtime.stability import Partial


def words(text):
    return tuple(Word(text=word, start_s=1.0, end_s=1.4, confidence=0.9) for word in text.split())


def partial(text, *, num_stable=0):
    return Partial(words=words(text), num_stable=num_stable)


def final(text):
    return Result(text=text, words=words(text), ids=(), is_final=True)


def parse(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_text_stands_still_and_the_distance_is_told_at_every_whole_second():
    out = io.StringIO()
    display = JsonLines(out=out, status=io.StringIO())
    for behind_s in (0.0, 0.9, 3.21, 3.18, 2.5, 1.5, 0.9, 0.0):
        display.behind(behind_s)
        display.partial(partial("one"))
    display.behind(4.0)
    display.final(final("one"), reason=Reason.SILENCE)
    lines = parse(out)
    assert [line["behind_s"] for line in lines] == [0, 3.21, 2.5, 1.5, 0, 4.0]
    assert {line["text"] for line in lines} == {"one"}


def test_every_change_is_written_once():
    out, status = io.StringIO(), io.StringIO()
    display = JsonLines(out=out, status=status)
    display.note("listening")
    display.heard(2.0)
    for text, num_stable in (("", 0), ("one", 0), ("one", 0), ("one", 1), ("one two", 1)):
        display.level(np.zeros(10))
        display.partial(partial(text, num_stable=num_stable))
    display.lost(num_overflows=1, dropped_s=0.5)
    display.heard(3.5)
    display.final(final("one two"), reason=Reason.MAX_LENGTH)
    display.final(final(""), reason=Reason.SILENCE)
    lines = parse(out)
    assert [(line["type"], line["text"], line.get("num_stable_words")) for line in lines] == [
        ("partial", "one", 0),
        ("partial", "one", 1),
        ("partial", "one two", 1),
        ("final", "one two", None),
    ]
    assert [line["heard_s"] for line in lines] == [2.0, 2.0, 2.0, 3.5]
    assert lines[-1]["reason"] == "max_length"
    assert lines[-1]["words"][0] == {"word": "one", "start_s": 1.0, "end_s": 1.4, "confidence": 0.9}
    assert (lines[-1]["start_s"], lines[-1]["end_s"]) == (1.0, 1.4)
    assert (lines[0]["num_overflows"], lines[-1]["num_overflows"], lines[-1]["dropped_s"]) == (0, 1, 0.5)
    assert status.getvalue() == "listening\n"


def test_a_line_that_begins_like_the_one_before_is_written():
    out = io.StringIO()
    display = JsonLines(out=out, status=io.StringIO())
    display.partial(partial("one"))
    display.final(final("one"), reason=Reason.SILENCE)
    display.partial(partial("one"))
    assert [line["type"] for line in parse(out)] == ["partial", "final", "partial"]


def test_devices_and_the_gate_are_events():
    out = io.StringIO()
    display = JsonLines(out=out, status=io.StringIO())
    display.lost_device("USB mic", at_s=3.0)
    display.found_device("USB mic", at_s=3.0, gap_s=2.3456)
    display.gate(is_open=False, at_s=5.25)
    assert parse(out) == [
        {"type": "device_lost", "source": "USB mic", "at_s": 3.0},
        {"type": "device_found", "source": "USB mic", "at_s": 3.0, "gap_s": 2.346},
        {"type": "gate", "is_open": False, "at_s": 5.25},
    ]


def test_the_end_holds_the_whole_summary():
    summary = Summary(
        heard_s=60.0,
        recognised_s=12.5,
        num_overflows=1,
        dropped_s=0.03,
        num_gaps=2,
        gap_s=7.0,
        most_behind_s=0.3,
        wall_s=61.0,
        cpu_s=0.5,
    )
    out = io.StringIO()
    JsonLines(out=out, status=io.StringIO()).end(summary)
    assert parse(out) == [{"type": "end", **asdict(summary)}]
