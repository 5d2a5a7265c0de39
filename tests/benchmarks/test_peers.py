"""Whisper writes; the packs spell: both sides must be in words before errors are counted."""

import pytest

from benchmarks.peers import as_words


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Enter 42.", "enter forty two"),
        (" R-U-B-O-U-T, G, M.", "r u b o u t g m"),
        ("4-1-2, 268", "four one two two six eight"),
        ("20 and 11 and 07", "twenty and eleven and zero seven"),
        ("I’d like a 12-ounce coffee!", "i'd like a twelve ounce coffee"),
        ("RUBOUT G, MEF 39.", "r u b o u t g m e f thirty nine"),
        ("GMEF39", "g m e f thirty nine"),
        ("Enter 1127", "enter one one two seven"),
        ("I am", "i am"),
        ("", ""),
    ],
)
def test_words_as_the_packs_spell_them(written, spoken):
    assert as_words(written) == spoken
