"""A room and a microphone around a synthetic voice: reverberation, pauses, level, background noise."""

import numpy as np

from lottery_train.augment import add_noise
from runtime.features import SAMPLE_RATE_HZ

_MAX_PAUSE_S = 0.3


def _fast_length(num_samples):
    """Return the next power of two: other lengths take numpy's transform several times as long."""
    return 1 << (num_samples - 1).bit_length()


def _impulse_response(rng):
    """Return (k,) a direct path followed by noise that decays by 60 dB in 0.1 to 0.4 s."""
    decay_s = rng.uniform(0.1, 0.4)
    num_samples = int(decay_s * SAMPLE_RATE_HZ)
    response = rng.standard_normal(num_samples) * 10 ** (-3 * np.arange(num_samples) / num_samples)
    direct_to_reverberant_db = rng.uniform(3, 20)
    response *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt(np.sum(response**2))
    response[0] = 1.0
    return response


def _hum(num_samples, *, rng):
    """Return (n,) noise whose power falls with frequency, by 0 (white) to 6 dB an octave (brown)."""
    length = _fast_length(num_samples)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    slope = rng.uniform(0.0, 1.0)
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1.0) ** slope, length)[:num_samples]


def reverberate(samples, *, rng):
    """Return a clip with the reverberation of a drawn room: float64 (n,)."""
    response = _impulse_response(rng)
    length = _fast_length(len(samples) + len(response))
    return np.fft.irfft(np.fft.rfft(samples, length) * np.fft.rfft(response, length), length)[: len(samples)]


def place_in_room(samples, *, rng):
    """Return a clean utterance as a microphone in a quiet room would hear it.

    Args:
        samples: float32 (n,), 16 kHz.
        rng: numpy Generator; draws the pauses before and after, the room, the peak level (-24 to -3 dB of full
            scale) and the signal-to-noise ratio (15 to 40 dB).
    Returns:
        float32 (m,), m > n, within [-1, 1].
    """
    pauses = rng.integers(round(0.05 * SAMPLE_RATE_HZ), round(_MAX_PAUSE_S * SAMPLE_RATE_HZ), size=2)
    padded = np.concatenate([np.zeros(pauses[0]), samples, np.zeros(pauses[1])])
    wet = reverberate(padded, rng=rng)
    noisy = add_noise(wet, noise=_hum(len(wet), rng=rng), snr_db=rng.uniform(15, 40), rng=rng)
    peak = np.abs(noisy).max()
    return (noisy * (10 ** (rng.uniform(-24, -3) / 20) / peak if peak else 1.0)).astype(np.float32)
