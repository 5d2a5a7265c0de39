"""Noise manifests."""

import json

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import draw_noise, load_noise, read_manifest
from lottery_train.errors import CorpusError


@pytest.fixture
def manifest(tmp_path):
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", np.full(800 * (number + 1), 0.25), 8000, subtype="FLOAT")
    lines = [json.dumps({"audio_filepath": f"{n}.wav", "duration": 0.1 * (n + 1), "kind": "rain"}) for n in range(3)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    return tmp_path / "train.jsonl"


def test_noise_needs_no_words_and_arrives_at_16_khz(manifest):
    recordings = load_noise(manifest)
    assert [len(samples) for samples in recordings] == [1600, 3200, 4800]
    assert all(samples.dtype == np.float32 for samples in recordings)
    with pytest.raises(CorpusError, match="'text' is missing"):
        read_manifest(manifest)


def test_every_recording_is_as_likely_as_any_other(manifest):
    recordings = load_noise(manifest)
    rng = np.random.default_rng(0)
    drawn = [len(draw_noise(recordings, rng=rng)) // 1600 for _ in range(3000)]
    # 1000 each; 4 standard deviations are 103.
    assert all(abs(drawn.count(number) - 1000) < 103 for number in (1, 2, 3))


def test_corrupt_recordings_are_left_out_and_counted(manifest, capsys):
    (manifest.parent / "1.wav").write_bytes(b"RIFF")
    assert [len(samples) for samples in load_noise(manifest)] == [1600, 4800]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"1 of 3 recordings left out, the first: {manifest}:2: " in captured.err


def test_a_manifest_without_one_usable_recording_is_an_error(manifest):
    for number in range(3):
        (manifest.parent / f"{number}.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"train\.jsonl:1: .*0\.wav"):
        load_noise(manifest)
