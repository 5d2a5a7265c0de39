"""A look at all samples of a sound file before they are used: do its channels cancel, and is full scale 1?"""

from dataclasses import dataclass

import numpy as np

# Samples up to here are a recording that is a little too loud; beyond it, full scale is not 1.
_MAX_PLAIN_PEAK = 2.0
# Full scale of integers that were written as floats.
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)
# The mean of n channels has 1/n of their mean power where they have nothing in common. This much below it they cancel:
# 2 channels with a correlation under -0.9.
_CANCELLED = 0.1
# Share of the sound (by energy) in which they must.
_MIN_CANCELLED_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Survey:
    """How samples of several channels become mono, in ±1.

    Args:
        channel: the only one to use, or None for the mean of all.
        scale: what samples are divided by.
        peak: the largest finite sample, without its sign.
    """

    channel: int | None = None
    scale: float = 1.0
    peak: float = 0.0

    def mono(self, block):
        """Return float32 (n, channels) samples as float32 (n,)."""
        has_one = self.channel is not None or block.shape[1] == 1
        mixed = block[:, self.channel or 0] if has_one else _mean(block)
        return mixed if self.scale == 1.0 else mixed / np.float32(self.scale)


def survey(blocks, *, is_float):
    """Return the Survey of float32 (n, channels) blocks of about a second.

    Args:
        blocks: iterable of them, of one number of channels.
        is_float: whether samples were stored as floats.
    """
    peak, is_integral = 0.0, True
    channel_energy, cancelled = 0.0, 0.0
    for block in blocks:
        block = np.where(np.isfinite(block), block, np.float32(0)) if is_float else block
        energy = np.array([_energy(channel) for channel in block.T])
        channel_energy = channel_energy + energy
        if block.shape[1] > 1 and _energy(_mean(block)) * block.shape[1] ** 2 < _CANCELLED * energy.sum():
            cancelled += energy.sum()
        if is_float and len(block):
            peak = max(peak, float(np.abs(block).max()))
            is_integral = is_integral and bool((block == np.rint(block)).all())
    total = np.sum(channel_energy)
    is_cancelling = total > 0 and cancelled >= _MIN_CANCELLED_SHARE * total
    return Survey(
        channel=int(np.argmax(channel_energy)) if is_cancelling else None,
        scale=_scale(peak, is_integral=is_integral),
        peak=peak,
    )


def _mean(block):
    """Return the mean of all channels, column by column: along rows as short as these it takes ten times as long."""
    mixed = block[:, 0].copy()
    for channel in block.T[1:]:
        mixed += channel
    mixed /= block.shape[1]
    return mixed


def _energy(samples):
    return float(np.square(samples, dtype=np.float64).sum())


def _scale(peak, *, is_integral):
    if peak <= _MAX_PLAIN_PEAK:
        return 1.0
    if is_integral:
        return next((scale for scale in _INTEGER_SCALES if peak <= scale), peak)
    return peak
