"""A weight matrix as a ticket file holds it: quantised, then taken apart into the places and values of its entries."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from export.frequency_tables import NUM_SYMBOLS, entropy_bits
from export.weight_formats import WeightFormat, block_occupancy, tiles

# In a stream of gaps: "add this and go on".
_GAP_ESCAPE = 255
# Larger dense matrices are stored as they are, which loads faster, unless coding takes a fifth of their bytes away: it
# takes an eighth from 8-bit values, and more than half from 4-bit ones.
MAX_CODED_DENSE = 1 << 16
MAX_CODED_SHARE = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedMatrix:
    """One matrix before entropy coding.

    Args:
        name: for records, as the engine's errors say it.
        format: WeightFormat.
        shape: (rows, cols).
        bias: float64 (rows,).
        scale: float16 or float32 (rows,), or None for float formats.
        num_entries: blocks stored; 0 for dense formats.
        gaps: uint8 stream; empty for dense formats.
        values: int8, float32 or float16 stream.
        num_nonzeros: weights that are not 0.
    """

    name: str
    format: WeightFormat
    shape: tuple[int, int]
    bias: np.ndarray
    scale: np.ndarray | None
    num_entries: int
    gaps: np.ndarray
    values: np.ndarray
    num_nonzeros: int

    @cached_property
    def streams(self):
        """The uint8 streams that entropy coding may shorten: gaps, then values, None where it must not."""
        is_codable = self.format.precision == "int8" and (
            self.format.block is not None
            or self.values.size <= MAX_CODED_DENSE
            or self.entropy_bits <= MAX_CODED_SHARE * 8 * self.values.size
        )
        values = (self.values.astype(np.int16) + NUM_SYMBOLS // 2).astype(np.uint8) if is_codable else None
        return (self.gaps if self.format.block else None), values

    @property
    def density(self):
        """Share of the weights that are not 0."""
        return self.num_nonzeros / (self.shape[0] * self.shape[1])

    @cached_property
    def entropy_bits(self):
        """The least that places and values cost without knowledge of other matrices, were they drawn at random.

        That is: which of the positions are taken, and the values by how often each occurs in this matrix.
        """
        places = np.zeros(2)
        if self.format.block is not None:
            num_blocks = np.prod([-(-size // side) for size, side in zip(self.shape, self.format.block, strict=True)])
            places[:] = self.num_entries, num_blocks - self.num_entries
        if self.format.precision == "fp32":
            return float(entropy_bits(places)) + 8 * self.values.nbytes
        _, counts = np.unique(self.values, return_counts=True)
        return float(entropy_bits(places) + entropy_bits(counts.astype(np.float64)))


def code_matrix(name, weight, bias, *, format, num_bits=8, float_dtype=np.float32):
    """Take a matrix apart.

    Args:
        name: for records.
        weight: float64 (rows, cols).
        bias: float64 (rows,).
        format: WeightFormat.
        num_bits: of each value in an int8 format, 8 or 4.
        float_dtype: of each value in a float format, float32 or float16.
    Returns:
        CodedMatrix.
    """
    if format.precision == "int8":
        stored, scale = quantise(weight, num_bits=num_bits)
    else:
        stored, scale = weight.astype(float_dtype), None
    if format.block is None:
        num_entries, gaps, values = 0, np.zeros(0, np.uint8), stored.ravel()
    else:
        occupied = block_occupancy(stored != 0, block=format.block)
        num_entries, gaps = int(occupied.sum()), gap_bytes(occupied.ravel())
        values = tiles(stored, block=format.block)[occupied].ravel()
    return CodedMatrix(
        name=name,
        format=format,
        shape=weight.shape,
        bias=bias,
        scale=scale,
        num_entries=num_entries,
        gaps=gaps,
        values=values,
        num_nonzeros=int(np.count_nonzero(stored)),
    )


def quantise(weight, *, num_bits=8):
    """Round a matrix to integers with a scale for each row.

    Args:
        weight: float64 (rows, cols).
        num_bits: 8 for integers up to 127, 4 for up to 7, on either side of 0.
    Returns:
        (integers, scale): int8 (rows, cols), and (rows,) in float16, or in float32 where float16 would clip a row. The
        integers belong to the scale as it is stored: its rounding costs nothing.
    """
    limit = (1 << (num_bits - 1)) - 1
    largest = np.abs(weight).max(1)
    with np.errstate(over="ignore"):
        scale = (largest / limit).astype(np.float16)
    if not (np.isfinite(scale).all() and (largest <= (limit + 0.5) * scale.astype(np.float64)).all()):
        scale = (largest / limit).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1).astype(np.float64)
    integers = np.rint(weight / divisor[:, None]).clip(-limit, limit)
    return integers.astype(np.int8), scale


def gap_bytes(is_taken):
    """Return the uint8 stream of gaps between the places that are taken: bool (positions,)."""
    places = np.flatnonzero(is_taken)
    gaps = np.diff(places, prepend=-1) - 1
    last = np.cumsum(gaps // _GAP_ESCAPE + 1) - 1
    stream = np.full(last[-1] + 1 if len(last) else 0, _GAP_ESCAPE, np.uint8)
    stream[last] = gaps % _GAP_ESCAPE
    return stream
