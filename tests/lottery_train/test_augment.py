"""Augmentation against independent calculations."""

import math

import numpy as np
import pytest

from lottery_train.augment import add_noise, join, spec_augment, speed


def _noise(seed, num_samples):
    return np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


@pytest.mark.parametrize("snr_db", [-5, 0, 7.5, 20, 40])
@pytest.mark.parametrize("num_noise_samples", [1, 100, 16000, 16001, 80000])
def test_the_signal_to_noise_ratio_is_exact(snr_db, num_noise_samples):
    clip = 0.1 * _noise(1, 16000)
    noise = 3 * _noise(2, num_noise_samples)
    before = clip.copy()
    mixed = add_noise(clip, noise=noise, snr_db=snr_db, rng=np.random.default_rng(3))
    assert mixed.dtype == np.float32
    assert mixed.shape == clip.shape
    np.testing.assert_array_equal(clip, before)
    added = [float(m) - float(c) for m, c in zip(mixed, clip, strict=True)]
    measured_db = 10 * math.log10(math.fsum(float(c) ** 2 for c in clip) / math.fsum(a**2 for a in added))
    # float32 rounding of the mixture reaches 1e-4 dB where the noise is 40 dB down.
    assert abs(measured_db - snr_db) < 1e-3


def test_the_stretch_is_the_noise_itself_and_its_place_is_drawn():
    clip, noise = 0.1 * _noise(1, 400), _noise(2, 1000)
    firsts = set()
    for seed in range(20):
        mixed = add_noise(clip, noise=noise, snr_db=0, rng=np.random.default_rng(seed))
        added = mixed - clip
        matches = np.correlate(noise, added, mode="valid")
        first = int(matches.argmax())
        firsts.add(first)
        stretch = noise[first : first + 400]
        np.testing.assert_allclose(added / added.std(), stretch / stretch.std(), atol=1e-4)
    assert len(firsts) > 10
    again = [add_noise(clip, noise=noise, snr_db=0, rng=np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_short_noise_is_repeated():
    added = add_noise(np.ones(300, np.float32), noise=_noise(2, 100), snr_db=0, rng=np.random.default_rng(0)) - 1
    np.testing.assert_allclose(added[:200], added[100:], atol=1e-6)


@pytest.mark.parametrize(
    ("clip", "noise"), [(np.zeros(50), np.ones(50)), (np.ones(50), np.zeros(80)), (np.ones(0), np.ones(3))]
)
def test_silence_has_no_ratio_and_stays_as_it_is(clip, noise):
    mixed = add_noise(clip.astype(np.float32), noise=noise.astype(np.float32), snr_db=5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(mixed, clip)


def test_noise_without_samples_is_refused():
    with pytest.raises(ValueError):
        add_noise(np.ones(5, np.float32), noise=np.ones(0, np.float32), snr_db=5, rng=np.random.default_rng(0))


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 2.0])
def test_speed_changes_length_and_pitch_by_the_factor(factor):
    times = np.arange(32000) / 16000
    tone = np.sin(2 * np.pi * 500 * times).astype(np.float32)
    faster = speed(tone, factor=factor)
    assert faster.dtype == np.float32
    assert abs(len(faster) - 32000 / factor) <= 1
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster))))
    # The peak's bin is 0.25 .. 1 Hz wide.
    assert spectrum.argmax() * 16000 / len(faster) == pytest.approx(500 * factor, abs=1)
    # Play time changes, level does not.
    assert np.sqrt(np.mean(faster**2)) == pytest.approx(np.sqrt(0.5), rel=5e-3)


def test_speed_refuses_factors_that_are_not_positive():
    with pytest.raises(ValueError):
        speed(np.ones(5, np.float32), factor=0)


def test_join_keeps_every_sample():
    clips = [np.array([1, 2], np.float32), np.array([3], np.float32), np.array([], np.float32)]
    np.testing.assert_array_equal(join(clips), [1, 2, 3])
    np.testing.assert_array_equal(join(clips, gap_samples=2), [1, 2, 0, 0, 3, 0, 0])
    assert join([]).shape == (0,)


def _hidden(features_TF, **settings):
    masked_TF = spec_augment(features_TF, fill=-1e9, **settings)
    hidden_TF = masked_TF == -1e9
    np.testing.assert_array_equal(masked_TF[~hidden_TF], features_TF[~hidden_TF])
    return hidden_TF


@pytest.mark.parametrize("seed", range(30))
def test_spec_augment_hides_whole_bands_and_stretches_within_its_bounds(seed):
    features_TF = _noise(seed, 300 * 80).reshape(300, 80)
    before = features_TF.copy()
    hidden_TF = _hidden(
        features_TF,
        rng=np.random.default_rng(seed),
        num_freq_masks=2,
        max_freq_bins=10,
        time_masks_per_s=1.0,
        max_time_frames=25,
        max_time_fraction=0.05,
    )
    np.testing.assert_array_equal(features_TF, before)
    whole_bins_F, whole_frames_T = hidden_TF.all(axis=0), hidden_TF.all(axis=1)
    np.testing.assert_array_equal(hidden_TF, whole_bins_F[None, :] | whole_frames_T[:, None])
    assert whole_bins_F.sum() <= 2 * 10
    # Three seconds: 3 or 4 stretches of at most min(25, 5 % of 300) frames.
    assert whole_frames_T.sum() <= 4 * 15


def test_spec_augment_hides_as_much_as_its_widths_say():
    features_TF = np.zeros((1000, 80), np.float32) + 1
    share_bins, share_frames = [], []
    for seed in range(300):
        hidden_TF = _hidden(
            features_TF, rng=np.random.default_rng(seed), num_freq_masks=1, max_freq_bins=20, time_masks_per_s=0.1,
            max_time_frames=100, max_time_fraction=1.0,
        )  # fmt: skip
        share_bins.append(hidden_TF.all(axis=0).sum())
        share_frames.append(hidden_TF.all(axis=1).sum())
    # One band, mean 10 of 0 .. 20; one stretch a ten-second clip, mean 50 of 0 .. 100. Bounds are 4 standard errors.
    assert np.mean(share_bins) == pytest.approx(10, abs=4 * 6.06 / math.sqrt(300))
    assert np.mean(share_frames) == pytest.approx(50, abs=4 * 29.2 / math.sqrt(300))


def test_spec_augment_at_strength_zero_and_on_empty_input_changes_nothing():
    features_TF = _noise(0, 400).reshape(50, 8)
    np.testing.assert_array_equal(spec_augment(features_TF, rng=np.random.default_rng(0), strength=0.0), features_TF)
    assert spec_augment(features_TF[:0], rng=np.random.default_rng(0)).shape == (0, 8)
    with pytest.raises(ValueError):
        spec_augment(features_TF, rng=np.random.default_rng(0), strength=1.5)


def test_spec_augment_fills_with_the_mean_of_each_bin():
    features_TF = _noise(0, 4000).reshape(50, 80)
    masked_TF = spec_augment(features_TF, rng=np.random.default_rng(1))
    changed_TF = masked_TF != features_TF
    assert changed_TF.any()
    means_TF = np.broadcast_to(features_TF.mean(axis=0), (50, 80))
    np.testing.assert_array_equal(masked_TF[changed_TF], means_TF[changed_TF])
