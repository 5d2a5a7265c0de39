"""Transcripts of official corpora in the form the recogniser learns."""

import pytest

from lottery_train.corpora import normalize_transcript


@pytest.mark.parametrize(
    ("written", "normalized"),
    [
        ("HE TOLD HIM", "he told him"),
        ("Don\u2019t over-do \u2018it\u2019!", "don't over do it"),
        ("  \u201cWell,\u201d she said\u2014\tno. ", "well she said no"),
        ("the dogs' 'tis o'clock", "the dogs tis o'clock"),
        ("Stra\u00dfe, E\u0301cole;", "stra\u00dfe \u00e9cole"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940\u0964", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("route 66", "route 66"),
        ("snake_case", "snake case"),
        ("''' ... \u2014", ""),
    ],
)
def test_normalize_transcript(written, normalized):
    assert normalize_transcript(written) == normalized
    assert normalize_transcript(normalized) == normalized
