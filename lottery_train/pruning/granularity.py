"""Granularities: what is removed as a whole - one weight, a block of weights, or a unit of the network.

Mechanism, the same for all, so that the search knows nothing about granularity:

1. `dense_mask(weights, names=...)` makes the mask that pruning starts from; `names` is the scope in module order.
   Its `prunable` names are the weights that this granularity can remove: for units, those that a unit owns.
2. `cells(scores, mask, names=..., pool=...)` lists every cell that can still be removed from `names` as two vectors:
   the score (from the criterion's scores of its surviving weights, pooled as the criterion says) and the cost (how
   many surviving prunable weights it holds). Scores are per weight, so one ranking serves cells of unequal cost.
3. `carve(mask, cells, removed=...)` drops the chosen cells from a mask, in place.

Blocks tile a tensor seen as a matrix (outputs, inputs x kernel) from its top-left corner. A ragged right or bottom edge
is padded to whole blocks: the padding has no weight, so an edge block's score is the mean of, and its cost the number
of, its real surviving weights.

Units are offered in bundles, so that kept counts stay multiples of what kernels like. The surviving units of a group
are sorted by score and cut, from the lowest, into one bundle of (survivors modulo multiple), if that is not zero, and
then bundles of `multiple`; a bundle's score is the mean of its units'. Within a group bundles leave lowest first, and
the highest one stays unless `allow_empty` is set.
"""

import dataclasses
import re
from typing import Any

import torch

from lottery_train.errors import ConfigError
from lottery_train.pruning.mask import Mask
from lottery_train.units import UnitGroup


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """What can be removed, as vectors of n cells.

    Args:
        scores: float (n,), finite; the lowest leave first.
        costs: int64 (n,), surviving prunable weights of each cell; None where each cell is one weight.
        num_weights: surviving prunable weights in reach of the ranking, those in irremovable cells included.
        num_dense: the same before any pruning.
        places: what the granularity needs to find a cell again; private to it.
    """

    scores: torch.Tensor
    costs: torch.Tensor | None
    num_weights: int
    num_dense: int
    places: Any


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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UnitGranularity:
    """Whole units: attention heads, feed-forward neurons, convolution channels.

    Args:
        groups: the model's unit groups. Those that own no weight of the scope are left alone.
        head_multiple, ff_multiple, conv_multiple: kept counts of each kind stay multiples of this.
        allow_empty: whether a group may lose its last bundle too.
        balances_kinds: whether heads, neurons and channels are each ranked among themselves and leave at the same rate.
            A head's score is a mean over thousands of weights and hardly ever among the lowest, yet heads cost more
            time than their weights tell: balanced tickets run faster at equal size.
    Raises:
        ConfigError: a tensor is owned by two groups, or a multiple is below 1.
    """

    groups: tuple[UnitGroup, ...]
    head_multiple: int = 1
    ff_multiple: int = 8
    conv_multiple: int = 8
    allow_empty: bool = False
    balances_kinds: bool = False

    def __post_init__(self):
        object.__setattr__(self, "groups", tuple(self.groups))
        owned = [tensor for group in self.groups for tensor in group.tensors]
        twice = sorted({tensor for tensor in owned if owned.count(tensor) > 1})
        if twice:
            raise ConfigError(f"unit groups share the tensor {twice[0]}: a tensor belongs to one group")
        if min(self.head_multiple, self.ff_multiple, self.conv_multiple) < 1:
            raise ConfigError("kept units are rounded to a multiple of 1 or more")

    def multiple(self, kind):
        """Return what the kept count of groups of this kind is rounded to."""
        return {"head": self.head_multiple, "ff": self.ff_multiple, "conv": self.conv_multiple}[kind]

    def dense_mask(self, weights, *, names):
        """Return the all-kept mask of everything that the groups in scope own.

        Raises:
            ConfigError: no group owns a weight in `names`, or a group does not fit the model.
        """
        groups = [group for group in self.groups if set(group.tensors) & set(names)]
        if not groups:
            raise ConfigError("no unit group owns a weight of the scope", hint="widen the scope or prune weights")
        shapes = {name: weights[name].shape for name in weights}
        for group in groups:
            group.check(shapes)
        owned = {tensor for group in groups for tensor in group.tensors}
        prunable = [name for name in names if name in owned]
        attached = [tensor for group in groups for tensor in group.tensors if tensor not in prunable]
        return Mask({name: shapes[name] for name in prunable + attached}, prunable=prunable)

    def cells(self, scores, mask, *, names, pool):
        """Return one cell for every bundle of the groups whose first prunable tensor is in `names`."""
        pooled, costs, places, num_weights, num_dense = [], [], [], 0, 0
        for group in self.groups:
            members = [member for member in group.members if member.tensor in mask.prunable]
            first = next((name for name in mask.prunable if name in group.tensors), None)
            if first not in names:
                continue
            unit_costs = sum(member.slices(mask[member.tensor]).sum(1) for member in members)
            unit_scores = _unit_scores(members, scores, mask, pool=pool)
            num_weights += int(unit_costs.sum())
            num_dense += sum(member.slices(mask[member.tensor]).numel() for member in members)
            means = []
            for bundle in self._bundles(group, unit_scores, alive=unit_costs > 0):
                means.append(unit_scores[bundle].mean())
                costs.append(unit_costs[bundle].sum())
                places.append((group, bundle))
            if means:
                # Rounding must not put a bundle below the previous one, or a stable sort would swap the two.
                pooled.append(torch.stack(means).cummax(0).values)
        scores = torch.cat(pooled) if pooled else torch.zeros(0, dtype=torch.float64)
        costs = torch.stack(costs) if costs else torch.zeros(0, dtype=torch.int64)
        if self.balances_kinds:
            scores = _shares_below(scores, costs, kinds=[group.kind for group, _ in places])
        return Cells(scores=scores, costs=costs, num_weights=num_weights, num_dense=num_dense, places=tuple(places))

    def carve(self, mask, cells, *, removed):
        """Drop everything that the units of the bundles with `removed` True own from `mask`, in place."""
        for is_removed, (group, bundle) in zip(removed.tolist(), cells.places, strict=True):
            if is_removed:
                keep = torch.ones(group.size, dtype=torch.bool)
                keep[bundle] = False
                for name, kept in group.expand(keep, shapes=mask.shapes).items():
                    mask[name] = mask[name] & kept

    def _bundles(self, group, scores, *, alive):
        """Return the removable bundles of a group, lowest first, each an int64 vector of unit numbers."""
        units = alive.nonzero().flatten()
        units = units[scores[units].argsort(stable=True)]
        multiple = self.multiple(group.kind)
        odd = len(units) % multiple
        bundles = ([units[:odd]] if odd else []) + list(units[odd:].split(multiple) if len(units) > odd else ())
        return bundles if self.allow_empty else bundles[:-1]


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


def _shares_below(scores, costs, *, kinds):
    """Return for each cell the share of its kind's weights up to it, lowest first: kinds then leave alike."""
    shares = torch.zeros(len(kinds), dtype=torch.float64)
    for kind in set(kinds):
        mine = torch.tensor([place for place, other in enumerate(kinds) if other == kind])
        order = mine[scores[mine].argsort(stable=True)]
        sums = costs[order].cumsum(0).double()
        shares[order] = sums / sums[-1]
    return shares


def _unit_scores(members, scores, mask, *, pool):
    """Return float64 (size,): one score a unit, a mean over its surviving weights; dropped units score 0."""
    if pool == "draw":
        return members[0].slices(scores[members[0].tensor])[:, 0].double()
    total = 0
    for member in members:
        keep = member.slices(mask[member.tensor])
        values = member.slices(scores[member.tensor]).double()
        count = keep.sum(1)
        means = ((values.square() if pool == "energy" else values) * keep).sum(1) / count.clamp_min(1)
        if pool == "energy":
            level = means[count > 0].mean()
            means = means / level if level > 0 else means
        total = total + means
    return total / len(members)
