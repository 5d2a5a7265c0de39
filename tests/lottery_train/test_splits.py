"""Splits made by the tool: deterministic, disjoint, never empty."""

import random
from pathlib import Path

import pytest

from lottery_train.corpora import Utterance
from lottery_train.corpora.splits import complete_splits, hold_out
from lottery_train.errors import CorpusError


def _utterances(num_speakers, num_each=3):
    return [
        Utterance(audio_path=Path(f"s{speaker}_{number}.wav"), duration_s=1.0, text="a", speaker=f"s{speaker}")
        for speaker in range(num_speakers)
        for number in range(num_each)
    ]


@pytest.mark.parametrize("num_speakers", [3, 4, 10, 57])
def test_speakers_are_divided_not_files(num_speakers):
    utterances = _utterances(num_speakers)
    divided = hold_out(utterances)
    speakers = {split: {item.speaker for item in items} for split, items in divided.items()}
    expected = max(1, round(num_speakers / 10))
    assert {split: len(found) for split, found in speakers.items()} == {
        "train": num_speakers - 2 * expected,
        "dev": expected,
        "test": expected,
    }
    assert set.union(*speakers.values()) == {item.speaker for item in utterances}
    assert sum(len(items) for items in divided.values()) == len(utterances)


def test_the_order_given_does_not_matter():
    utterances = _utterances(20)
    shuffled = random.Random(0).sample(utterances, len(utterances))
    for split, items in hold_out(utterances).items():
        assert set(hold_out(shuffled)[split]) == set(items)


@pytest.mark.parametrize("speaker", [None, "only"])
def test_files_are_divided_where_speakers_cannot_be(speaker):
    utterances = [
        Utterance(audio_path=Path(f"{number}.wav"), duration_s=1.0, text="a", speaker=speaker) for number in range(40)
    ]
    assert {split: len(items) for split, items in hold_out(utterances).items()} == {"train": 32, "dev": 4, "test": 4}


def test_too_few_files_are_an_error():
    with pytest.raises(CorpusError, match="2 recordings cannot be divided"):
        hold_out(_utterances(1, num_each=2))


def test_only_missing_splits_are_held_out():
    test = _utterances(2)
    done = complete_splits({"train": _utterances(20), "test": test})
    assert done["test"] == test
    assert len({item.speaker for item in done["dev"]}) == 2
    assert not {item.speaker for item in done["dev"]} & {item.speaker for item in done["train"]}
    with pytest.raises(CorpusError, match="no utterance for training"):
        complete_splits({"train": [], "test": test})
