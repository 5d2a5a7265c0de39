"""The real recordings: an4 and noise."""

import math

import numpy as np
import pytest

from lottery_train.augment import add_noise, power
from lottery_train.corpora import draw_noise, find_corpus, load_audio, load_noise, read_manifest
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


def test_noise_mixes_into_an4_at_the_stated_ratio(shared_data):
    recordings = load_noise(shared_data("noise") / "test.jsonl")
    # Three of the eight have Ogg pages whose granule positions libsndfile 1.2 refuses; ffmpeg decodes them.
    assert 5 <= len(recordings) <= 8
    clip = load_audio(read_manifest(shared_data("an4") / "test.jsonl")[0][0])
    rng = np.random.default_rng(0)
    for snr_db in (0, 10, 20):
        noise = draw_noise(recordings, rng=rng)
        mixed = add_noise(clip, noise=noise, snr_db=snr_db, rng=rng)
        added = mixed.astype(np.float64) - clip
        measured_db = 10 * math.log10(np.dot(clip.astype(np.float64), clip) / np.dot(added, added))
        assert measured_db == pytest.approx(snr_db, abs=1e-3)
