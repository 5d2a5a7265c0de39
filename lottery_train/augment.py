"""Augmentation: pure functions of samples (or features) and a numpy Generator."""

import numpy as np
import soxr


def speed(samples, *, factor):
    """Play a recording faster or slower; pitch moves along, as with a tape.

    Args:
        samples: float32 (n,).
        factor: > 0; 1.1 is a tenth faster.
    Returns:
        float32 (about n / factor,).
    Source: Ko et al. 2015, "Audio Augmentation for Speech Recognition" (0.9, 1.0 and 1.1).
    """
    if factor <= 0:
        raise ValueError(f"factor must be above 0, found {factor}")
    samples = np.asarray(samples, np.float32)
    return samples if factor == 1 else soxr.resample(samples, factor, 1.0)


def power(samples):
    """Return the mean square over the clip, computed in float64 (0 for no samples)."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def add_noise(samples, *, noise, snr_db, rng):
    """Mix in noise at an exact signal-to-noise ratio.

    A stretch as long as the clip is cut from the noise at a random place; noise that is too short is repeated,
    starting at a random place. Both powers are measured over the whole clip, pauses included.

    Args:
        samples: float32 (n,), the clean clip.
        noise: float32 (m,), m >= 1.
        snr_db: ratio of the powers in dB.
        rng: numpy Generator.
    Returns:
        float32 (n,); may exceed [-1, 1]. Where the clip or the stretch is digital silence no ratio exists, and the
        clip is returned unchanged.
    """
    num_samples = len(samples)
    if not len(noise):
        raise ValueError("the noise has no samples")
    if len(noise) > num_samples:
        first = rng.integers(len(noise) - num_samples + 1)
        stretch = noise[first : first + num_samples]
    else:
        stretch = np.resize(np.roll(noise, -rng.integers(len(noise))), num_samples)
    signal_power, noise_power = power(samples), power(stretch)
    if signal_power == 0 or noise_power == 0:
        return np.asarray(samples, np.float32)
    gain = np.sqrt(signal_power / noise_power * 10 ** (-snr_db / 10))
    return (samples + gain * stretch).astype(np.float32)


def join(clips, *, gap_samples=0):
    """Concatenate clips (list of float32 (n,)) with `gap_samples` of silence between them."""
    gap = np.zeros(gap_samples, np.float32)
    parts = [part for clip in clips for part in (gap, np.asarray(clip, np.float32))]
    return np.concatenate(parts[1:]) if parts else gap[:0]


def spec_augment(
    features_TF,
    *,
    rng,
    num_freq_masks=2,
    max_freq_bins=27,
    time_masks_per_s=0.7,
    max_time_frames=40,
    max_time_fraction=0.2,
    hop_ms=10.0,
    strength=1.0,
    fill=None,
):
    """Hide random bands of frequencies and stretches of time.

    Args:
        features_TF: float32 (T, F) log-mel features; not changed.
        rng: numpy Generator.
        num_freq_masks: bands hidden.
        max_freq_bins: widest band; widths are uniform on 0 .. max_freq_bins.
        time_masks_per_s: stretches hidden a second of audio; the count is rounded at random to that mean.
        max_time_frames: longest stretch; lengths are uniform on 0 .. max_time_frames.
        max_time_fraction: longest stretch as a share of the clip.
        hop_ms: time from frame to frame.
        strength: 0 .. 1, scales the largest widths; 0 hides nothing. For ramping augmentation in.
        fill: value (or (F,) values) of what is hidden; None: the clip's own mean of each bin.
    Returns:
        float32 (T, F).
    Source: Park et al. 2019, "SpecAugment"; 2020 for stretches in proportion to the length ("adaptive").
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be within 0 .. 1, found {strength}")
    hidden_TF = np.array(features_TF, dtype=np.float32)
    num_frames, num_bins = hidden_TF.shape
    if not num_frames:
        return hidden_TF
    fill_F = np.broadcast_to(hidden_TF.mean(axis=0) if fill is None else np.asarray(fill, np.float32), (num_bins,))
    widest = min(round(strength * max_freq_bins), num_bins)
    for _ in range(num_freq_masks):
        width = rng.integers(widest + 1)
        first = rng.integers(num_bins - width + 1)
        hidden_TF[:, first : first + width] = fill_F[first : first + width]
    longest = int(min(round(strength * max_time_frames), max_time_fraction * num_frames))
    num_time_masks = int(num_frames * hop_ms / 1000 * time_masks_per_s + rng.random())
    for _ in range(num_time_masks):
        length = rng.integers(longest + 1)
        first = rng.integers(num_frames - length + 1)
        hidden_TF[first : first + length] = fill_F
    return hidden_TF
