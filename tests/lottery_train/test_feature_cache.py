"""Cached features: what is damaged is noticed and computed again, what has no features is named."""

import json

import numpy as np
import pytest
import soundfile

from lottery_train import feature_cache
from lottery_train.corpora import Utterance, read_manifest
from lottery_train.dataset import Recipe, Variant, load_dataset
from lottery_train.errors import CorpusError
from tests.lottery_train.tiny import write_tones

RECIPE = Recipe(variants=(Variant(), Variant(speed=0.9)), dtype="float16")


@pytest.fixture
def utterances(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    return read_manifest(write_tones(tmp_path / "tones", num_train=5) / "train.jsonl")[0]


def _rewrite(path, **changes):
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, **changes}))


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "cut in half": (lambda data, index: data.write_bytes(data.read_bytes()[: data.stat().st_size // 2]), "bytes, exp"),
    "one bit": (lambda data, index: _flip(data), "SHA-256"),
    "data missing": (lambda data, index: data.unlink(), "cannot read: No such file"),
    "index cut": (lambda data, index: index.write_bytes(index.read_bytes()[:-9]), "not JSON"),
    "index empty": (lambda data, index: index.write_text("{}"), "not an index"),
    "index a list": (lambda data, index: index.write_text("[]"), "not an index"),
    "no checksum": (lambda data, index: _rewrite(index, sha256=None), "SHA-256"),
    "an utterance less": (lambda data, index: _rewrite(index, utterances=[0, 1, 2, 3]), "does not describe 5"),
    "one twice": (lambda data, index: _rewrite(index, utterances=[0, 1, 2, 3, 3]), "does not describe 5"),
    "other starts": (lambda data, index: _rewrite(index, starts=[[0, 9]] * 5), "does not describe 5"),
    "huge starts": (lambda data, index: _rewrite(index, starts=[[0, 2**70]] * 5), "not an index"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_features_are_computed_again_with_a_message(utterances, tmp_path, damage, capsys):
    first = load_dataset(utterances, recipe=RECIPE, name="train")
    expected = [first.frames(number, variant=variant) for number in range(5) for variant in range(2)]
    [data] = tmp_path.glob("cache/features/*/features.bin")
    spoil, reason = DAMAGES[damage]
    spoil(data, data.with_name("index.json"))
    assert capsys.readouterr().err == ""
    again = load_dataset(utterances, recipe=RECIPE, name="train")
    said = capsys.readouterr().err
    assert "train: the cached features cannot be used and are computed again: " in said
    assert reason in said
    found = [again.frames(number, variant=variant) for number in range(5) for variant in range(2)]
    for frames, whole in zip(found, expected, strict=True):
        np.testing.assert_array_equal(frames, whole)
    load_dataset(utterances, recipe=RECIPE, name="train")
    assert capsys.readouterr().err == ""


def test_features_are_hashed_once_by_a_process(utterances, monkeypatch):
    load_dataset(utterances, recipe=RECIPE)
    monkeypatch.setattr(feature_cache, "sha256_file", lambda path: pytest.fail("hashed again"))
    load_dataset(utterances, recipe=RECIPE)


@pytest.mark.parametrize("peak", [1e30, 1e20, 1e19])
def test_a_recording_without_finite_features_is_skipped_and_named(utterances, tmp_path, peak):
    samples = np.full(8000, 0.1)
    samples[4000] = peak
    soundfile.write(tmp_path / "loud.wav", samples, 16000, subtype="FLOAT")
    loud = Utterance(audio_path=tmp_path / "loud.wav", duration_s=0.5, text="a", manifest=tmp_path / "m", line=9)
    dataset = load_dataset([utterances[0], loud, utterances[1]], recipe=RECIPE)
    assert (dataset.texts, dataset.origins) == (
        [utterances[0].text, utterances[1].text],
        [utterances[0].origin, utterances[1].origin],
    )
    [reason] = dataset.skipped
    assert reason.startswith(f"{tmp_path / 'm'}:9: {tmp_path / 'loud.wav'}: samples reach {peak:g}, expected ")
    for number in range(2):
        assert np.isfinite(dataset.frames(number, variant=1)).all()
    assert all(np.isfinite(part).all() for part in dataset.statistics())
    with pytest.raises(CorpusError, match=r"none of 1 recordings can be used; the first: .*m:9: .*loud.wav: samples"):
        load_dataset([loud], recipe=RECIPE)
    with pytest.raises(CorpusError, match="none of 0 recordings can be used$"):
        load_dataset([], recipe=RECIPE)


def test_a_skipped_recording_is_named_where_it_stands_today(utterances, tmp_path):
    utterances[2].audio_path.write_bytes(b"no sound")
    assert ".jsonl:3: " in load_dataset(utterances).skipped[0]
    manifest = utterances[0].manifest
    manifest.write_text("\n\n" + manifest.read_text())
    moved, _ = read_manifest(manifest)
    assert ".jsonl:5: " in load_dataset(moved).skipped[0]
