"""Which form a weight matrix has in the ticket engine: chosen by how many of its weights are left, and where they lie.

Names and numbers are those of docs/formats.md.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class WeightFormat:
    """One form of a matrix.

    Args:
        number: in the file.
        kind: what `write_ticket(formats=...)` calls it, whatever the precision.
        precision: "fp32", or "int8" with a scale for each row.
        block: rows and columns of what is kept or left out as a whole; None where all is stored.
    """

    number: int
    kind: str
    precision: str
    block: tuple[int, int] | None

    @property
    def name(self):
        """As manifests say it: `csr_i8`."""
        return f"{self.kind}_{'f32' if self.precision == 'fp32' else 'i8'}"


FORMATS = tuple(
    WeightFormat(number=number, kind=kind, precision=precision, block=block)
    for number, (kind, precision, block) in enumerate(
        [
            ("dense", "fp32", None),
            ("dense", "int8", None),
            ("csr", "fp32", (1, 1)),
            ("csr", "int8", (1, 1)),
            ("bitmask", "int8", (1, 1)),
            ("block1x4", "fp32", (1, 4)),
            ("block1x4", "int8", (1, 4)),
            ("block4x4", "int8", (4, 4)),
        ]
    )
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a file is meant for: a kind of processor, which runs it fastest, or little memory. Any processor runs it.

    Args:
        max_csr_density: up to here int8 weights are stored with an index each.
        max_bitmask_density: up to here with a bit for each place; beyond it, the dense product.
    """

    max_csr_density: float
    max_bitmask_density: float


# Measured at 8 M and 24 M weights, 640 ms chunks, magnitude masks of 10 to 40 %: instruction sets avx512, avxvnni (the
# same kernels as ARM's dot products, which have no instruction to spread packed bytes) and avx2. "compact" is for least
# memory: an index takes two bytes, so that a bit for each place takes less from 1 / 16 on. That form wins time as well
# where other cores keep memory busy, and loses some where they do not.
TARGETS = {
    "server": Target(max_csr_density=0.15, max_bitmask_density=0.15),
    "mobile": Target(max_csr_density=0.1, max_bitmask_density=0.1),
    "basic": Target(max_csr_density=0.4, max_bitmask_density=0.4),
    "compact": Target(max_csr_density=0.06, max_bitmask_density=0.85),
}
# Sums in float leave less to win for a dense product.
MAX_FLOAT_CSR_DENSITY = 0.4
# Blocks are skipped where so few are left, so full, that the zeros multiplied inside them cost less than the indices
# they save: a block costs its product, about as much as one single weight does.
MAX_BLOCK_DENSITY = 0.6
MIN_BLOCK_FILL = 0.6


def find_format(kind, *, precision):
    """Return the WeightFormat of a kind and precision.

    Raises:
        ValueError: there is none.
    """
    found = [each for each in FORMATS if (each.kind, each.precision) == (kind, precision)]
    if not found:
        kinds = sorted({each.kind for each in FORMATS if each.precision == precision})
        raise ValueError(f"no format {kind!r} with {precision} weights, there are {', '.join(kinds)}")
    return found[0]


def choose_format(weight, *, precision, target="server"):
    """Return the WeightFormat that is expected to serve a target best.

    Args:
        weight: (rows, cols), zeros where it is pruned.
        precision: "fp32" or "int8".
        target: key of TARGETS.
    """
    is_kept = np.asarray(weight) != 0
    density = is_kept.mean()
    blocks = [each for each in FORMATS if each.precision == precision and each.kind.startswith("block")]
    # The larger blocks first: fewer indices, more reuse of each activation.
    for candidate in sorted(blocks, key=lambda each: each.block, reverse=True):
        occupied = block_occupancy(is_kept, block=candidate.block)
        fill = is_kept.sum() / max(1, _sizes(is_kept.shape, block=candidate.block)[occupied].sum())
        if occupied.mean() < MAX_BLOCK_DENSITY and fill >= MIN_BLOCK_FILL:
            return candidate
    limits = TARGETS[target]
    if density <= (limits.max_csr_density if precision == "int8" else MAX_FLOAT_CSR_DENSITY):
        return find_format("csr", precision=precision)
    if density <= limits.max_bitmask_density and precision == "int8":
        return find_format("bitmask", precision=precision)
    return find_format("dense", precision=precision)


def tiles(matrix, *, block):
    """Return a matrix as (block rows, block columns, rows, columns inside), ragged edges padded with zeros."""
    (rows, cols), (height, width) = matrix.shape, block
    padded = np.pad(matrix, ((0, -rows % height), (0, -cols % width)))
    return padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width).swapaxes(1, 2)


def block_occupancy(is_kept, *, block):
    """Return bool (block rows, block columns): which blocks hold anything."""
    return tiles(is_kept, block=block).any((2, 3))


def _sizes(shape, *, block):
    """Return how many weights each block holds, fewer at ragged edges."""
    return tiles(np.ones(shape, np.int64), block=block).sum((2, 3))
