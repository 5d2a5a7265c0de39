"""A mix is its corpora one after another: train as often as it says, dev and test once."""

import json

import pytest

from lottery_train.corpora import find_mix, open_corpus, parse_mix, read_manifest, read_mix
from lottery_train.errors import CorpusError
from tests.lottery_train.tiny import write_tones


@pytest.fixture
def packs(tmp_path):
    write_tones(tmp_path / "packs" / "one", num_train=5, num_dev=2, num_test=3, seed=1)
    write_tones(tmp_path / "packs" / "two", num_train=4, num_dev=1, num_test=2, seed=2)
    return tmp_path / "packs"


def test_parts_and_times():
    assert parse_mix("an4") == (("an4", 1),)
    assert parse_mix("an4*2 + my pack+fsdd*10") == (("an4", 2), ("my pack", 1), ("fsdd", 10))


@pytest.mark.parametrize("text", ["", "an4+", "an4*0", "an4*x", "an4**2", "an4+an4", "*2"])
def test_what_is_no_mix_is_refused(text):
    with pytest.raises(CorpusError, match="corpus"):
        parse_mix(text)


def test_a_mix_is_its_corpora_one_after_another(packs):
    splits = read_mix("one*2+two", data_dir=packs)
    alone = {
        name: {split: read_manifest(path)[0] for split, path in open_corpus(packs / name, name=name).splits.items()}
        for name in ("one", "two")
    }
    assert splits["train"][0] == [*alone["one"]["train"], *alone["one"]["train"], *alone["two"]["train"]]
    assert splits["dev"][0] == [*alone["one"]["dev"], *alone["two"]["dev"]]
    assert splits["test"][0] == [*alone["one"]["test"], *alone["two"]["test"]]
    assert [(corpus.name, times) for corpus, times in find_mix("one*2+two", data_dir=packs)] == [("one", 2), ("two", 1)]


def test_skipped_lines_are_counted_once_a_corpus(packs):
    manifest = packs / "one" / "train.jsonl"
    line = json.loads(manifest.read_text().splitlines()[0]) | {"audio_filepath": "audio/nowhere.wav"}
    manifest.write_text(manifest.read_text() + json.dumps(line) + "\n")
    utterances, skipped = read_mix("one*3", data_dir=packs)["train"]
    assert (len(utterances), len(skipped)) == (15, 1)
    assert "nowhere.wav" in str(skipped[0])


def test_one_corpus_is_not_taken_for_two(packs):
    assert len(read_mix("one*2", data_dir=packs / "one")["train"][0]) == 10
    with pytest.raises(CorpusError, match="is one corpus") as caught:
        find_mix("one+two", data_dir=packs / "one")
    assert "above" in caught.value.hint


def test_a_missing_split_is_named(packs):
    (packs / "two" / "dev.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"corpus 'two' has no dev\.jsonl"):
        read_mix("one+two", data_dir=packs)
