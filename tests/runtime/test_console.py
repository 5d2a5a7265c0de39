"""The live display: what a terminal holds after every write, and what a pipe gets."""

import io
import json
import os

import numpy as np
import pytest

from runtime.console import Console, JsonLines
from runtime.recognizer import Result, Word


class Terminal(io.StringIO):
    """A text stream that says it is a terminal and can be asked for its last row."""

    def isatty(self):
        return True

    @property
    def row(self):
        row = self.getvalue().rpartition("\n")[2].rpartition("\r")[2]
        return row.removesuffix("\x1b[K")


def result(text, *, is_final=False):
    words = tuple(Word(text=word, start_s=1.0, end_s=1.4, confidence=0.9) for word in text.split())
    return Result(text=text, words=words, ids=(), is_final=is_final)


@pytest.fixture
def columns(monkeypatch):
    def resize(count):
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((count, 24)))

    resize(80)
    return resize


@pytest.mark.usefixtures("columns")
def test_partial_text_updates_in_place_and_final_text_goes_to_stdout():
    out, status = io.StringIO(), Terminal()
    console = Console(out=out, status=status)
    for text in ("one", "one two", "one two three"):
        console.partial(result(text))
        assert status.row.endswith(text)
    assert "\n" not in status.getvalue()
    console.final(result("one two three", is_final=True))
    assert status.row == ""
    assert out.getvalue() == "one two three\n"


@pytest.mark.usefixtures("columns")
def test_an_unchanged_line_is_not_written_again_and_nothing_is_erased_before_it_is_replaced():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.partial(result("one"))
    written = status.getvalue()
    console.partial(result("one"))
    assert status.getvalue() == written
    console.partial(result("one two"))
    update = status.getvalue().removeprefix(written)
    assert update.startswith("\r")
    assert update.endswith("one two\x1b[K"), "text first, then the erasure of what is behind it: no flicker"


@pytest.mark.parametrize("count", [20, 40, 79])
@pytest.mark.parametrize("text", ["word " * 40 + "newest", "\u4e2d\u6587" * 60])
def test_a_long_line_stays_on_one_row_and_shows_its_end(columns, count, text):
    columns(count)
    status = Terminal()
    Console(out=io.StringIO(), status=status).partial(result(text))
    wide = sum(2 if character >= "\u4e00" else 1 for character in status.row)
    assert count - 3 <= wide <= count - 1
    assert text.endswith(status.row.partition("…")[2])


def test_without_a_terminal_only_final_lines_are_written():
    out, status = io.StringIO(), io.StringIO()
    console = Console(out=out, status=status)
    console.level(np.ones(100, np.float32))
    console.partial(result("one"))
    console.final(result("one two"))
    console.final(result(""))
    assert status.getvalue() == ""
    assert out.getvalue() == "one two\n"


@pytest.mark.usefixtures("columns")
def test_the_meter_follows_the_level():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    meters = []
    for amplitude in (0.0, 0.01, 1.0):
        console.level(np.full(480, amplitude, np.float32))
        console.partial(result("x"))
        meters.append(status.row[0])
    assert meters == sorted(meters)
    assert len(set(meters)) == 3
    assert meters[-1] == "█"
    for _ in range(60):
        console.level(np.zeros(480, np.float32))
    console.partial(result("x"))
    assert status.row[0] == " "


@pytest.mark.usefixtures("columns")
def test_lost_audio_is_shown():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.lost(num_overflows=0, dropped_s=0.0)
    console.partial(result("x"))
    assert "[" not in status.row.removeprefix("\x1b[")
    console.lost(num_overflows=1, dropped_s=0.0)
    console.partial(result("x"))
    assert "[1 overflow]" in status.row
    console.lost(num_overflows=2, dropped_s=1.25)
    console.partial(result("x"))
    assert "[2 overflows, 1.2 s dropped]" in status.row


@pytest.mark.usefixtures("columns")
def test_how_far_behind_is_shown_beside_what_was_lost_until_it_is_caught_up():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)

    def row(behind_s):
        console.behind(behind_s)
        console.partial(result("x"))
        return status.row

    assert row(0.99) == "  x"
    assert row(3.21) == "  [behind 3.2 s] x"
    console.lost(num_overflows=0, dropped_s=0.5)
    assert row(9.97) == "  [behind 10.0 s, 0.5 s dropped] x"
    assert row(0.3) == "  [0.5 s dropped] x"


def test_json_lines_say_how_far_behind_they_are_even_while_the_text_stands_still():
    out = io.StringIO()
    display = JsonLines(out=out, status=io.StringIO())
    for behind_s in (0.0, 0.9, 3.21, 3.18, 2.5, 1.5, 0.9, 0.0):
        display.behind(behind_s)
        display.partial(result("one"))
    display.behind(4.0)
    display.final(result("one"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["behind_s"] for line in lines] == [0, 3.21, 2.5, 1.5, 0, 4.0]
    assert {line["text"] for line in lines} == {"one"}


def test_json_lines_hold_every_change_once():
    out, status = io.StringIO(), io.StringIO()
    display = JsonLines(out=out, status=status)
    display.note("listening")
    for text in ("", "one", "one", "one two"):
        display.level(np.zeros(10))
        display.partial(result(text))
    display.lost(num_overflows=1, dropped_s=0.5)
    display.final(result("one two"))
    display.final(result(""))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["type"], line["text"]) for line in lines] == [
        ("partial", "one"),
        ("partial", "one two"),
        ("final", "one two"),
    ]
    assert lines[-1]["words"][0] == {"word": "one", "start_s": 1.0, "end_s": 1.4, "confidence": 0.9}
    assert (lines[-1]["start_s"], lines[-1]["end_s"]) == (1.0, 1.4)
    assert (lines[0]["num_overflows"], lines[-1]["num_overflows"], lines[-1]["dropped_s"]) == (0, 1, 0.5)
    assert status.getvalue() == "listening\n"
