"""Perturbations of features, against the features of samples that were changed instead."""

import numpy as np
import pytest

from lottery_train.perturb import change_channel, change_level, change_tempo, perturb, warp_frequency
from runtime.features import PADDING_VALUE, SAMPLE_RATE_HZ, fbank


def speech_like(seconds=1.0):
    rng = np.random.default_rng(0)
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    voice = sum(np.sin(2 * np.pi * 120 * harmonic * time_s) / harmonic for harmonic in range(1, 30))
    return (0.05 * voice * (1 + np.sin(2 * np.pi * 3 * time_s)) + 1e-4 * rng.standard_normal(len(time_s))).astype(
        np.float32
    )


def tone(hz):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize("gain_db", [-60, -40, -20, 0])
def test_a_lower_level_of_features_is_that_of_the_samples(gain_db):
    samples = speech_like()
    expected = fbank(samples * np.float32(10 ** (gain_db / 20)))
    found = change_level(fbank(samples), gain_db=gain_db)
    # float32: energies near the floor differ in their last digits.
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found.min() == np.float32(PADDING_VALUE) or gain_db == 0


def test_a_higher_level_is_that_of_the_samples_where_no_floor_was_met():
    samples = speech_like()
    features = fbank(samples)
    is_heard = features > PADDING_VALUE
    np.testing.assert_allclose(
        change_level(features, gain_db=20)[is_heard], fbank(samples * np.float32(10))[is_heard], atol=2e-3
    )


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.18])
def test_the_warp_moves_a_tone_as_playing_another_tone_does(factor):
    middle = slice(20, -20)
    warped = warp_frequency(fbank(tone(1000)), factor=factor)[middle].mean(0)
    expected = fbank(tone(1000 * factor))[middle].mean(0)
    # Interpolation between bins: the peak lies within a bin of the other tone's.
    assert abs(int(warped.argmax()) - int(expected.argmax())) <= 1


def test_the_factors_of_1_change_nothing():
    features = fbank(speech_like())
    np.testing.assert_allclose(warp_frequency(features, factor=1.0), features, atol=1e-5)
    np.testing.assert_array_equal(change_tempo(features, factor=1.0), features)


def test_tempo_keeps_the_order_and_changes_the_length():
    ramp_TF = np.repeat(np.linspace(0, 1, 100, dtype=np.float32)[:, None], 80, axis=1)
    for factor in (0.8, 1.25):
        changed = change_tempo(ramp_TF, factor=factor)
        assert len(changed) == round(100 / factor)
        np.testing.assert_allclose(changed[:, 0], np.linspace(0, 1, len(changed)), atol=1e-6)
    assert change_tempo(ramp_TF[:1], factor=1.2).shape == (1, 80)


def test_a_channel_keeps_what_is_silent_at_the_floor_or_above():
    features = fbank(speech_like())
    for seed in range(20):
        changed = change_channel(features, rng=np.random.default_rng(seed))
        assert changed.shape == features.shape
        assert changed.min() >= np.float32(PADDING_VALUE)
        assert not np.array_equal(changed, features)


def test_perturbations_are_drawn_from_the_generator_alone():
    features = fbank(speech_like())
    before = features.copy()
    first, second, other = (perturb(features, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert first.shape != other.shape or not np.array_equal(first, other)
    np.testing.assert_array_equal(features, before)
    assert first.dtype == np.float32
