"""Other voices, rooms' ends and lines: perturbations of log-mel features, drawn anew for every example.

They act on features, not on samples, so that one cached copy of a recording gives endless variants at no cost.
Shapes: T frames, F mel bins.
"""

import numpy as np

from runtime.features import HIGH_HZ, LOW_HZ, NUM_MELS, PADDING_VALUE

NEPER_PER_DB = np.log(10) / 10
_TEMPO = (0.85, 1.2)
_WARP = (0.85, 1.18)
_BAND_LIMIT_CHANCE = 0.35
_SELF_NOISE_CHANCE = 0.5


def _mel(hz):
    return 1127.0 * np.log1p(np.asarray(hz, np.float64) / 700.0)


# Centre frequency of every bin, as `runtime.features` places its filters.
_CENTRES_HZ = 700.0 * np.expm1(np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), NUM_MELS + 2)[1:-1] / 1127.0)


def change_tempo(features_TF, *, factor):
    """Speak faster (factor > 1) or slower at the same pitch: frames are interpolated along time.

    Args:
        features_TF: float32 (T, F), T >= 1.
    Returns:
        float32 (about T / factor, F).
    """
    num_frames = len(features_TF)
    places = np.linspace(0, num_frames - 1, max(1, round(num_frames / factor)))
    below = places.astype(np.int64)
    above = np.minimum(below + 1, num_frames - 1)
    share = (places - below).astype(np.float32)[:, None]
    return features_TF[below] * (1 - share) + features_TF[above] * share


def warp_frequency(features_TF, *, factor):
    """Speak with a longer (factor < 1) or shorter vocal tract: energy at f moves to factor * f.

    Args:
        features_TF: float32 (T, 80) log-mel features; not changed.
    Source: Jaitly & Hinton 2013, vocal tract length perturbation; here by interpolation between mel bins.
    """
    places = np.interp(_CENTRES_HZ / factor, _CENTRES_HZ, np.arange(NUM_MELS))
    below = places.astype(np.int64)
    above = np.minimum(below + 1, NUM_MELS - 1)
    share = (places - below).astype(np.float32)
    return features_TF[:, below] * (1 - share) + features_TF[:, above] * share


def _slope_db(cutoff_hz, *, db_per_octave, is_low_pass):
    """Return (F,) attenuation of a filter beyond its cutoff, dB."""
    octaves = np.log2(_CENTRES_HZ / cutoff_hz)
    return db_per_octave * np.maximum(octaves if is_low_pass else -octaves, 0)


def change_channel(features_TF, *, rng):
    """Send the voice through another microphone or line: a smooth response, often a band limit, often its noise.

    Args:
        features_TF: float32 (T, 80) log-mel features; not changed.
        rng: numpy Generator. Draws a response of up to 8 dB either way between four corners; a band of 80 ... 400 Hz
            to 3.2 ... 7 kHz (telephones, headsets) in a third of the calls; and in half of them stationary noise 30
            to 65 dB below the loudest bin.
    """
    corners = np.linspace(0, NUM_MELS - 1, 4)
    response_db = np.interp(np.arange(NUM_MELS), corners, rng.uniform(-8, 8, len(corners)))
    if rng.random() < _BAND_LIMIT_CHANCE:
        low_hz, high_hz = rng.uniform(80, 400), rng.uniform(3200, 7000)
        response_db = response_db - _slope_db(low_hz, db_per_octave=rng.uniform(6, 24), is_low_pass=False)
        response_db = response_db - _slope_db(high_hz, db_per_octave=rng.uniform(24, 96), is_low_pass=True)
    changed_TF = features_TF + (response_db * NEPER_PER_DB).astype(np.float32)
    if rng.random() < _SELF_NOISE_CHANCE:
        level = changed_TF.max() - rng.uniform(30, 65) * NEPER_PER_DB
        noise_TF = level + rng.normal(0, 0.35, changed_TF.shape)
        changed_TF = np.logaddexp(changed_TF, noise_TF.astype(np.float32))
    return np.maximum(changed_TF, np.float32(PADDING_VALUE))


def perturb(features_TF, *, rng):
    """Return the same words from another voice, at another tempo, over another channel: float32 (T', 80).

    Args:
        features_TF: float32 (T, 80) log-mel features, T >= 1; not changed.
        rng: numpy Generator.
    """
    features_TF = change_tempo(features_TF, factor=np.exp(rng.uniform(*np.log(_TEMPO))))
    features_TF = warp_frequency(features_TF, factor=np.exp(rng.uniform(*np.log(_WARP))))
    return change_channel(features_TF, rng=rng).astype(np.float32)


def change_level(features_TF, *, gain_db):
    """Return the features of the same samples at another gain, exactly: the floor of the logarithm included.

    Source: the filter bank is linear in power, so that a gain is a constant in the logarithm.
    """
    return np.maximum(features_TF + np.float32(gain_db * NEPER_PER_DB), np.float32(PADDING_VALUE))
