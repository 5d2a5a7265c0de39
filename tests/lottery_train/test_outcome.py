"""When a model is said to have learnt nothing."""

import pytest

from lottery_train.outcome import failure_note


@pytest.mark.parametrize(
    ("record", "is_said"),
    [
        ({"metrics": {"dev": {"wer": 1.0}}}, True),
        ({"metrics": {"dev": {"wer": 0.901}}}, True),
        ({"metrics": {"dev": {"wer": 0.9}}}, False),
        ({"metrics": {"dev": {"wer": 0.05}, "test": {"wer": 1.0}}}, False),
        ({"metrics": {"dev": {"wer": "many"}}}, False),
        ({"metrics": None}, False),
        ({}, False),
    ],
)
def test_a_dev_error_rate_above_nine_tenths_is_said(record, is_said):
    note = failure_note(record)
    assert (note is not None) == is_said
    assert not is_said or "learnt next to nothing" in note
