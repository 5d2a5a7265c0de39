"""The real recordings: an4 and noise."""

import math
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from lottery_train.augment import add_noise, power
from lottery_train.corpora import (
    Utterance,
    draw_noise,
    find_corpus,
    load_audio,
    load_noise,
    measure_duration_s,
    read_manifest,
)
from lottery_train.corpora.an4 import DEV_SPEAKERS


def test_an4_is_as_published(shared_data):
    corpus = find_corpus("an4", data_dir=shared_data("an4"))
    utterances = {split: read_manifest(path)[0] for split, path in corpus.splits.items()}
    # 948 + 130 utterances of 74 + 10 speakers: http://www.speech.cs.cmu.edu/databases/an4/
    assert {split: len(items) for split, items in utterances.items()} == {"train": 846, "dev": 102, "test": 130}
    speakers = {split: {item.speaker for item in items} for split, items in utterances.items()}
    assert {split: len(names) for split, names in speakers.items()} == {"train": 66, "dev": 8, "test": 10}
    assert len(set.union(*speakers.values())) == 84
    # The importer holds out the same speakers, so that numbers from the official archive are comparable.
    assert speakers["dev"] == DEV_SPEAKERS
    assert find_corpus("an4", data_dir=shared_data("an4").parent) == corpus


def test_an4_recordings_are_as_long_as_the_manifest_says(shared_data):
    utterances, _ = read_manifest(shared_data("an4") / "dev.jsonl")
    for utterance in utterances:
        samples = load_audio(utterance)
        assert samples.dtype == np.float32
        # The manifest gives three decimals.
        assert len(samples) / 16000 == pytest.approx(utterance.duration_s, abs=1e-3)
        assert power(samples) > 1e-8


def test_noise_that_libsndfile_stops_in_is_what_opusdec_hears(shared_data, tmp_path):
    if not (opusdec := shutil.which("opusdec")):
        pytest.skip("opusdec (opus-tools) is not installed")
    for name in ("city", "coffee-shop", "storm"):
        path = shared_data("noise") / "audio" / f"blanket_{name}.opus"
        heard = load_audio(Utterance(audio_path=path, duration_s=measure_duration_s(path), text=""))
        command = [opusdec, "--quiet", "--float", "--rate", "16000", path, tmp_path / "a.wav"]
        subprocess.run(command, check=True, timeout=60)
        expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
        assert heard.shape == expected.shape
        # opusdec decodes at 48 kHz and filters what lies above 8 kHz in its own way: equal below 6 kHz.
        low = [np.fft.rfft(samples)[: len(samples) * 3 // 8] for samples in (heard, expected)]
        difference = np.abs(low[0] - low[1])
        assert np.square(difference).sum() < 1e-5 * np.square(np.abs(low[1])).sum()


def test_noise_mixes_into_an4_at_the_stated_ratio(shared_data):
    recordings = load_noise(shared_data("noise") / "test.jsonl")
    assert len(recordings) == 8
    clip = load_audio(read_manifest(shared_data("an4") / "test.jsonl")[0][0])
    rng = np.random.default_rng(0)
    for snr_db in (0, 10, 20):
        noise = draw_noise(recordings, rng=rng)
        mixed = add_noise(clip, noise=noise, snr_db=snr_db, rng=rng)
        added = mixed.astype(np.float64) - clip
        measured_db = 10 * math.log10(np.dot(clip.astype(np.float64), clip) / np.dot(added, added))
        assert measured_db == pytest.approx(snr_db, abs=1e-3)
