"""What a message shows of others' text: printable, short, and never the memory of the machine."""

import pytest

from runtime.errors import LotteryError
from runtime.foreign import MAX_SHOWN_CHARACTERS, escape, short

NESTED = []
for _ in range(100_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "'plain'"),
        ("\x1b[2J", "'\\x1b[2J'"),
        ("\u202egnp", "'\\u202egnp'"),
        ("\udcff", "'\\udcff'"),
        (b"\x1b", "b'\\x1b'"),
        (10**4000, "a number of more than 30 digits"),
        ((8, 7), "(8, 7)"),
        (ValueError("two\n\tlines \x1b"), "two lines \\x1b"),
    ],
)
def test_what_is_shown(value, shown):
    assert short(value) == shown


LONG = {
    "text": "x" * 10**6,
    "control characters": "\x1b" * 10**6,
    "bytes": b"z" * 10**6,
    "a list": ["x" * 10**6] * 1000,
    "an object": {str(number): number for number in range(10**5)},
    "nested": NESTED,
    "an error": ValueError("y" * 10**6),
}


@pytest.mark.parametrize("kind", LONG)
def test_what_is_shown_is_short_and_printable(kind):
    shown = short(LONG[kind])
    assert 3 < len(shown) <= MAX_SHOWN_CHARACTERS
    assert shown.isprintable()
    assert "..." in shown


def test_text_can_stand_without_quotes():
    assert short("a\x1bb", is_quoted=False) == "a\\x1bb"


def test_printable_text_is_left_alone():
    assert escape("über 東京 ▁a") == "über 東京 ▁a"


def test_no_control_character_leaves_an_error():
    error = LotteryError("file\x1b]0;x\x07: bad\nmore\x00", hint="try \u202eother")
    assert str(error) == "file\\x1b]0;x\\x07: bad\nmore\\x00"
    assert error.hint == "try \\u202eother"
