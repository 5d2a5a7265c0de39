"""Frequency tables for the entropy coder: from counts of bytes to 256 numbers that sum to 16384.

A table costs 512 bytes of the file, as much as a small matrix. Streams of bytes that are alike share one.
"""

import numpy as np

from runtime.engine.library import FREQUENCY_SUM, NUM_SYMBOLS

MAX_TABLES = 64
TABLE_BYTES = 2 * NUM_SYMBOLS


def share_tables(counts):
    """Group streams so that the file becomes small: the two groups that gain most by sharing are merged, again and
    again, until another table would pay for itself.

    Args:
        counts: integers (streams, 256), how often each byte occurs.
    Returns:
        (tables, numbers): uint16 (n, 256), n <= MAX_TABLES, and for each stream the number of its table, -1 where
        storing it as it is costs no more.
    """
    groups = np.array(counts, np.float64).reshape(-1, NUM_SYMBOLS)
    members = [[stream] for stream in range(len(groups))]
    gains = np.full((len(groups), len(groups)), -np.inf)
    for row in range(1, len(groups)):
        gains[row, :row] = _gain(groups[row], groups[:row])
    while len(members) > 1:
        kept, merged = sorted(np.unravel_index(gains.argmax(), gains.shape))
        if gains.max() <= 0 and len(members) <= MAX_TABLES:
            break
        groups[kept] += groups[merged]
        members[kept] += members.pop(merged)
        groups = np.delete(groups, merged, 0)
        gains = np.delete(np.delete(gains, merged, 0), merged, 1)
        gains[kept, :kept] = _gain(groups[kept], groups[:kept])
        gains[kept + 1 :, kept] = _gain(groups[kept], groups[kept + 1 :])
    numbers = np.full(len(counts), -1)
    tables = []
    for total, streams in zip(groups, members, strict=True):
        if entropy_bits(total) + 8 * TABLE_BYTES < 8 * total.sum():
            numbers[streams] = len(tables)
            tables.append(normalise(total))
    return np.array(tables, np.uint16).reshape(-1, NUM_SYMBOLS), numbers


def normalise(counts):
    """Scale counts to frequencies that sum to FREQUENCY_SUM, at least 1 for whatever occurs.

    Args:
        counts: numbers (256,), not all 0.
    Returns:
        uint16 (256,): those for which the counted bytes cost least, to within rounding.
    """
    counts = np.asarray(counts, np.float64)
    is_present = counts > 0
    frequencies = np.where(is_present, np.maximum(1, np.floor(counts * (FREQUENCY_SUM / counts.sum()))), 0)
    while (excess := int(frequencies.sum()) - FREQUENCY_SUM) != 0:
        step = -1 if excess > 0 else 1
        can_change = is_present & (frequencies + step > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            saved_bits = counts * np.log2((frequencies + step) / frequencies)
        frequencies[np.where(can_change, saved_bits, -np.inf).argmax()] += step
    return frequencies.astype(np.uint16)


def entropy_bits(counts):
    """Return the Shannon entropy of counted symbols, in bits for all of them: float64 (...), of (..., symbols)."""
    return _xlog2x(counts.sum(-1)) - _xlog2x(counts).sum(-1)


def _gain(group, others):
    """Return the bits that one table for `group` and each of `others` saves: float64 (len(others),)."""
    return 8 * TABLE_BYTES + entropy_bits(group) + entropy_bits(others) - entropy_bits(group + others)


def _xlog2x(x):
    return x * np.log2(np.maximum(x, 1))
