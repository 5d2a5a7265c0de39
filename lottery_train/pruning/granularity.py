"""Granularities: what is removed as a whole - one weight, a block of weights, or a unit of the network.

Mechanism, the same for all, so that the search knows nothing about granularity:

1. `dense_mask(weights, names=...)` makes the mask that pruning starts from; `names` is the scope in module order.
   Its `prunable` names are the weights that this granularity can remove: for units, those that a unit owns.
2. `cells(scores, mask, names=..., pool=...)` lists every cell that can still be removed from `names` as two vectors:
   the score (from the criterion's scores of its surviving weights, pooled as the criterion says) and the cost (how
   many surviving prunable weights it holds; one that a cell of a lower score holds too is not counted again). Scores
   are per weight, so one ranking serves cells of unequal cost.
3. `carve(mask, cells, removed=...)` drops the chosen cells from a mask, in place.

Blocks tile a tensor seen as a matrix (outputs, inputs x kernel) from its top-left corner. A ragged right or bottom edge
is padded to whole blocks: the padding has no weight, so an edge block's score is the mean of, and its cost the number
of, its real surviving weights.

Units are in `unit_granularity.py`.
"""

import dataclasses
import re

import torch

from lottery_train.errors import ConfigError
from lottery_train.pruning.cells import Cells
from lottery_train.pruning.mask import Mask
from lottery_train.pruning.unit_granularity import UnitGranularity


@dataclasses.dataclass(frozen=True)
class WeightGranularity:
    """Single weights: exact to one weight, bit-equal with torch.nn.utils.prune.global_unstructured."""

    def dense_mask(self, weights, *, names):
        """Return the all-kept mask of `names`."""
        return Mask.dense(weights, names=names)

    def cells(self, scores, mask, *, names, pool):
        """Return one cell for every surviving weight, tensor after tensor in C order."""
        vector = torch.cat([scores[name][mask[name]] for name in names])
        num_dense = sum(mask[name].numel() for name in names)
        return Cells(scores=vector, costs=None, num_weights=vector.numel(), num_dense=num_dense, places=tuple(names))

    def carve(self, mask, cells, *, removed):
        """Drop the cells with `removed` (bool (n,)) True from `mask`, in place."""
        start = 0
        for name in cells.places:
            keep = mask[name].clone()
            stop = start + int(keep.sum())
            keep[mask[name]] = ~removed[start:stop]
            mask[name] = keep
            start = stop


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockGranularity:
    """Blocks of `rows` outputs by `columns` inputs; 1x4 is four neighbours along the input dimension."""

    rows: int = 1
    columns: int = 4

    def __post_init__(self):
        if self.rows < 1 or self.columns < 1:
            raise ConfigError(f"a block of {self.rows}x{self.columns} holds no weight")

    def dense_mask(self, weights, *, names):
        """Return the all-kept mask of `names`."""
        return Mask.dense(weights, names=names)

    def cells(self, scores, mask, *, names, pool):
        """Return one cell for every block with a surviving weight, in C order of the blocks."""
        pooled, costs, places = [], [], []
        for name in names:
            keep = self._tiles(mask[name])
            values = self._tiles(scores[name].double())
            count = keep.sum(-1)
            alive = count > 0
            score = values[..., 0] if pool == "draw" else (values * keep).sum(-1) / count.clamp_min(1)
            pooled.append(score[alive])
            costs.append(count[alive])
            places.append((name, alive))
        costs = torch.cat(costs)
        return Cells(
            scores=torch.cat(pooled),
            costs=costs,
            num_weights=int(costs.sum()),
            num_dense=sum(mask[name].numel() for name in names),
            places=tuple(places),
        )

    def carve(self, mask, cells, *, removed):
        """Drop the blocks with `removed` True from `mask`, in place."""
        start = 0
        for name, alive in cells.places:
            stop = start + int(alive.sum())
            gone = torch.zeros_like(alive)
            gone[alive] = removed[start:stop]
            gone_entries = gone.repeat_interleave(self.rows, 0).repeat_interleave(self.columns, 1)
            keep = mask[name].flatten(1)
            mask[name] = (keep & ~gone_entries[: keep.shape[0], : keep.shape[1]]).view(mask[name].shape)
            start = stop

    def _tiles(self, tensor):
        """Return a tensor of two or more axes as (block rows, block columns, rows * columns), padded with zeros."""
        matrix = tensor.flatten(1)
        bottom, right = -matrix.shape[0] % self.rows, -matrix.shape[1] % self.columns
        padded = torch.nn.functional.pad(matrix, (0, right, 0, bottom))
        tiled = padded.view(padded.shape[0] // self.rows, self.rows, padded.shape[1] // self.columns, self.columns)
        return tiled.transpose(1, 2).flatten(2)


def make_granularity(text, *, groups=(), **options):
    """Return the granularity that `weight`, `block:RxC` (rows x columns) or `unit` names.

    Args:
        groups: the model's unit groups, for `unit`.
        options: further fields of UnitGranularity, for `unit`.
    Raises:
        ConfigError: not one of these forms.
    """
    if text == "weight":
        return WeightGranularity()
    if text == "unit":
        return UnitGranularity(groups=groups, **options)
    if block := re.fullmatch(r"block:([0-9]{1,4})x([0-9]{1,4})", text):
        return BlockGranularity(rows=int(block[1]), columns=int(block[2]))
    raise ConfigError(f"granularity is {text!r}, expected weight, unit, or block:RxC such as block:1x4")
