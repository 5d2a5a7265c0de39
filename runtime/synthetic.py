"""A speech-like test signal, so that a benchmark needs no recording: syllables of voiced harmonics, hiss and pauses."""

import numpy as np

from runtime.features import SAMPLE_RATE_HZ

DEFAULT_DURATION_S = 10.0
# First three formants of five vowels, Hz. Source: Peterson & Barney 1952, male averages, rounded.
_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
_FORMANT_WIDTH_HZ = 120.0
_NUM_HARMONICS = 40


def speech_like(duration_s=DEFAULT_DURATION_S, *, seed=0):
    """Return a deterministic signal with the rhythm and spectrum of speech; it says nothing.

    Args:
        duration_s: length, > 0.
        seed: another seed gives another utterance.
    Returns:
        float32 (n,), n = round(16000 * duration_s), within ±0.5.
    """
    rng = np.random.default_rng(seed)
    num_samples = round(duration_s * SAMPLE_RATE_HZ)
    signal = rng.normal(0, 1e-3, num_samples)
    start = round(0.2 * SAMPLE_RATE_HZ)
    while start < num_samples:
        length = round(rng.uniform(0.12, 0.28) * SAMPLE_RATE_HZ)
        syllable = _syllable(length, rng=rng)[: num_samples - start]
        signal[start : start + len(syllable)] += syllable
        # One syllable in five ends a word or a phrase.
        pause_s = rng.uniform(0.15, 0.5) if rng.random() < 0.2 else rng.uniform(0.0, 0.04)
        start += length + round(pause_s * SAMPLE_RATE_HZ)
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def _syllable(length, *, rng):
    """Return float64 (length,): a short hiss, then a vowel whose pitch falls."""
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    pitch_hz = rng.uniform(95, 180) * (1 - 0.15 * time_s / time_s[-1])
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    formants = np.array(_VOWELS_HZ[rng.integers(len(_VOWELS_HZ))])
    vowel = np.zeros(length)
    for harmonic in range(1, _NUM_HARMONICS + 1):
        distance = (harmonic * pitch_hz.mean() - formants) / _FORMANT_WIDTH_HZ
        gain = (np.array([1.0, 0.6, 0.3]) / (1 + distance**2)).sum()
        vowel += gain * np.sin(harmonic * phase)
    hiss = np.diff(rng.normal(0, 1, length + 1)) * np.clip(1 - time_s / 0.06, 0, 1)
    return vowel * np.sin(np.pi * np.arange(length) / length) ** 2 + 0.3 * hiss
