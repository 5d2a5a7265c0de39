"""Arrays of samples as users hold them, as the recogniser wants them."""

import numpy as np

# 40 dB beyond full scale: a recording may be too loud, but nothing is loud enough for this.
MAX_SAMPLE = 100.0
_EXPECTED = "expected floats in ±1, or integers of 8, 16 or 32 bits as sound files have them"


def to_float32(samples):
    """Return a copy of mono samples as float32 (n,), ±1.

    Args:
        samples: (n,); floats as they are, int8, int16 and int32 divided by their full scale, uint8 around 128.
    Raises:
        ValueError: samples is not 1-D, has another type, holds NaN or infinity, or lies so far beyond ±1 that another
            scale is meant.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"samples has shape {samples.shape}, expected (n,): mix the channels down first")
    kind, num_bytes = samples.dtype.kind, samples.dtype.itemsize
    if kind == "i" and num_bytes <= 4:
        return samples.astype(np.float32) / np.float32(2 ** (8 * num_bytes - 1))
    if kind == "u" and num_bytes == 1:
        return (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
    if kind != "f":
        raise ValueError(f"samples has type {samples.dtype}, {_EXPECTED}")
    if samples.size:
        # One pass for both: NaN and infinity come through.
        peak = max(samples.max(), -samples.min())
        if not np.isfinite(peak):
            raise ValueError("samples holds NaN or infinity")
        if peak > MAX_SAMPLE:
            raise ValueError(
                f"samples reach {peak:g}, expected ±1: divide them by full scale (32768 for 16 bits), or pass integers"
            )
    return np.array(samples, np.float32)
