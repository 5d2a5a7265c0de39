"""Invisible characters and white space, against Unicode's own names and Python's idea of printable."""

import sys
import unicodedata

import pytest

from runtime.text import clean_text

INVISIBLE_NAMES = (
    "SOFT HYPHEN", "ZERO WIDTH SPACE", "ZERO WIDTH NON-JOINER", "ZERO WIDTH JOINER", "LEFT-TO-RIGHT MARK",
    "RIGHT-TO-LEFT MARK", "RIGHT-TO-LEFT OVERRIDE", "FIRST STRONG ISOLATE", "ZERO WIDTH NO-BREAK SPACE", "WORD JOINER",
    "COMBINING GRAPHEME JOINER", "HANGUL FILLER", "HALFWIDTH HANGUL FILLER", "VARIATION SELECTOR-1",
    "VARIATION SELECTOR-16", "VARIATION SELECTOR-17", "MONGOLIAN VOWEL SEPARATOR", "TAG LATIN SMALL LETTER A",
    "INVISIBLE TIMES",
)  # fmt: skip
SPACE_NAMES = ("NO-BREAK SPACE", "LINE SEPARATOR", "PARAGRAPH SEPARATOR", "IDEOGRAPHIC SPACE", "THIN SPACE")


@pytest.mark.parametrize("name", INVISIBLE_NAMES)
def test_an_invisible_character_is_removed_and_separates_nothing(name):
    assert clean_text(f"kranken{unicodedata.lookup(name)}haus") == "krankenhaus"


@pytest.mark.parametrize("character", [*map(unicodedata.lookup, SPACE_NAMES), *"\t\n\v\f\r\x1c\x85"])
def test_white_space_of_every_kind_is_one_space(character):
    assert clean_text(f" {character}turn{character} {character}left{character}") == "turn left"


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x9b"])
def test_control_characters_are_removed(character):
    assert clean_text(f"ye{character}s") == "yes"


def test_what_is_left_prints_unless_it_is_no_character_at_all():
    """Python's own list of what prints: only surrogates, private use and unassigned code points are left to refuse."""
    everything = clean_text("".join(map(chr, range(sys.maxunicode + 1))))
    left = {unicodedata.category(character) for character in everything if not character.isprintable()}
    assert left == {"Cs", "Co", "Cn"}


@pytest.mark.parametrize("text", ["don't stop", "école Straße", "हिन्दी", "日本語", "e\u0301", ""])
def test_visible_text_stays(text):
    assert clean_text(text) == text
