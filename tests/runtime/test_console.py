"""The live display: what a terminal holds after every write, and what a pipe gets."""

import io
import os

import numpy as np
import pytest

from runtime.console import Console
from runtime.conversation import Reason, Summary
from runtime.recognizer import Result, Word
from runtime.stability import Partial


class Terminal(io.StringIO):
    """A text stream that says it is a terminal and can be asked for its last row."""

    def isatty(self):
        return True

    @property
    def row(self):
        row = self.getvalue().rpartition("\n")[2].rpartition("\r")[2]
        return row.removesuffix("\x1b[K")


def words(text):
    return tuple(Word(text=word, start_s=1.0, end_s=1.4, confidence=0.9) for word in text.split())


def partial(text):
    return Partial(words=words(text))


def final(text):
    return Result(text=text, words=words(text), ids=(), is_final=True)


@pytest.fixture
def columns(monkeypatch):
    def resize(count):
        monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((count, 24)))

    resize(80)
    return resize


@pytest.mark.usefixtures("columns")
def test_partial_text_updates_in_place_and_final_text_goes_to_stdout():
    out, status = io.StringIO(), Terminal()
    console = Console(out=out, status=status)
    for text in ("one", "one two", "one two three"):
        console.partial(partial(text))
        assert status.row.endswith(text)
    assert "\n" not in status.getvalue()
    console.final(final("one two three"), reason=Reason.SILENCE)
    assert status.row == ""
    assert out.getvalue() == "one two three\n"


@pytest.mark.usefixtures("columns")
def test_an_unchanged_line_is_not_written_again_and_nothing_is_erased_before_it_is_replaced():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.partial(partial("one"))
    written = status.getvalue()
    console.partial(partial("one"))
    assert status.getvalue() == written
    console.partial(partial("one two"))
    update = status.getvalue().removeprefix(written)
    assert update.startswith("\r")
    assert update.endswith("one two\x1b[K"), "text first, then the erasure of what is behind it: no flicker"


@pytest.mark.parametrize("count", [20, 40, 79])
@pytest.mark.parametrize("text", [" ".join(["word"] * 40) + " newest", "\u4e2d\u6587" * 60])
def test_a_long_line_stays_on_one_row_and_shows_its_end(columns, count, text):
    columns(count)
    status = Terminal()
    Console(out=io.StringIO(), status=status).partial(partial(text))
    wide = sum(2 if character >= "\u4e00" else 1 for character in status.row)
    assert count - 3 <= wide <= count - 1
    assert text.endswith(status.row.partition("…")[2])


def test_without_a_terminal_only_final_lines_are_written():
    out, status = io.StringIO(), io.StringIO()
    console = Console(out=out, status=status)
    console.level(np.ones(100, np.float32))
    console.partial(partial("one"))
    console.final(final("one two"), reason=Reason.SILENCE)
    console.final(final(""), reason=Reason.SILENCE)
    assert status.getvalue() == ""
    assert out.getvalue() == "one two\n"


@pytest.mark.usefixtures("columns")
def test_the_meter_follows_the_level():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    meters = []
    for amplitude in (0.0, 0.01, 1.0):
        console.level(np.full(480, amplitude, np.float32))
        console.partial(partial("x"))
        meters.append(status.row[0])
    assert meters == sorted(meters)
    assert len(set(meters)) == 3
    assert meters[-1] == "█"
    for _ in range(60):
        console.level(np.zeros(480, np.float32))
    console.partial(partial("x"))
    assert status.row[0] == " "


@pytest.mark.usefixtures("columns")
def test_lost_audio_is_shown():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.lost(num_overflows=0, dropped_s=0.0)
    console.partial(partial("x"))
    assert "[" not in status.row.removeprefix("\x1b[")
    console.lost(num_overflows=1, dropped_s=0.0)
    console.partial(partial("x"))
    assert "[1 overflow]" in status.row
    console.lost(num_overflows=2, dropped_s=1.25)
    console.partial(partial("x"))
    assert "[2 overflows, 1.2 s dropped]" in status.row


@pytest.mark.usefixtures("columns")
def test_how_far_behind_is_shown_beside_what_was_lost_until_it_is_caught_up():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)

    def row(behind_s):
        console.behind(behind_s)
        console.partial(partial("x"))
        return status.row

    assert row(0.99) == "  x"
    assert row(3.21) == "  [behind 3.2 s] x"
    console.lost(num_overflows=0, dropped_s=0.5)
    assert row(9.97) == "  [behind 10.0 s, 0.5 s dropped] x"
    assert row(0.3) == "  [0.5 s dropped] x"


@pytest.mark.usefixtures("columns")
def test_a_resting_recogniser_is_a_dot_in_the_place_of_the_meter():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.level(np.ones(480, np.float32))
    console.gate(is_open=False, at_s=1.0)
    console.partial(partial(""))
    assert status.row == "· "
    console.gate(is_open=True, at_s=2.0)
    console.partial(partial("x"))
    assert status.row == "█ x"


def test_timestamps_are_one_line_a_word():
    out = io.StringIO()
    console = Console(out=out, status=io.StringIO(), has_timestamps=True)
    console.final(final("one two"), reason=Reason.SILENCE)
    assert out.getvalue() == "1.00\t1.40\t0.900\tone\n1.00\t1.40\t0.900\ttwo\n"


@pytest.mark.usefixtures("columns")
def test_a_microphone_that_goes_and_comes_is_told():
    status = Terminal()
    console = Console(out=io.StringIO(), status=status)
    console.partial(partial("x"))
    console.lost_device("USB mic", at_s=3.0)
    console.found_device("USB mic", at_s=3.0, gap_s=2.34)
    assert status.getvalue().rpartition("\x1b[K")[2].splitlines() == [
        "USB mic is gone: waiting for it, Ctrl-C ends",
        "USB mic is back: 2.3 s were not heard",
    ]


def summary(**fields):
    clean = {
        "heard_s": 60.0,
        "recognised_s": 60.0,
        "num_overflows": 0,
        "dropped_s": 0.0,
        "num_gaps": 0,
        "gap_s": 0.0,
        "most_behind_s": 0.3,
        "wall_s": 60.0,
        "cpu_s": 0.3,
    }
    return Summary(**{**clean, **fields})


@pytest.mark.parametrize(
    ("fields", "notes"),
    [
        ({}, []),
        ({"most_behind_s": 4.84}, ["recognition was up to 4.8 s behind what was being said"]),
        (
            {"num_overflows": 3, "dropped_s": 0.5},
            ["audio was lost: 3 overflows of the audio system, 0.5 s dropped because this machine did not keep up"],
        ),
        ({"num_gaps": 2, "gap_s": 7.0}, ["the microphone was away 2 times, 7.0 s in all"]),
        (
            {"recognised_s": 1.5},
            ["the gate let 1.5 s of 60.0 s through; processor time 0.50% of one core"],
        ),
    ],
)
def test_the_end_tells_what_went_wrong_and_nothing_else(fields, notes):
    status = io.StringIO()
    Console(out=io.StringIO(), status=status).end(summary(**fields))
    assert status.getvalue().splitlines() == notes


def test_a_terminal_without_blocks_gets_a_meter_of_the_same_width(columns):
    class Ascii(Terminal):
        encoding = "ascii"

    rows = []
    for terminal in (Terminal(), Ascii()):
        console = Console(out=io.StringIO(), status=terminal)
        console.level(np.full(480, 0.1, np.float32))
        columns(12)
        console.partial(partial("a long line of words"))
        rows.append(terminal.row)
    assert rows[1].isascii()
    assert rows[1].endswith("~of words")
    assert len(rows[0]) == len(rows[1]) == 11
