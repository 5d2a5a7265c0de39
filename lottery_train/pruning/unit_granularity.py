"""The granularity of whole units; `granularity.py` says how all of them work.

Units are offered in bundles, so that kept counts stay multiples of what kernels like. The surviving units of a group
are sorted by score and cut, from the lowest, into one bundle of (survivors modulo multiple), if that is not zero, and
then bundles of `multiple`; a bundle's score is the mean of its units'. Within a group bundles leave lowest first, and
the highest one stays unless `allow_empty` is set.
"""

import dataclasses

import torch

from lottery_train.errors import ConfigError
from lottery_train.pruning.cells import Cells
from lottery_train.pruning.mask import Mask
from lottery_train.units import KINDS, UnitGroup


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class UnitGranularity:
    """Whole units: attention heads, feed-forward neurons, convolution channels, LSTM units.

    Two units can own the same weight, one by its row, the other by its column (a recurrent matrix; the matrix between
    two LSTMs). It counts once, and costs the unit that leaves first.

    Args:
        groups: the model's unit groups. Those that own no weight of the scope are left alone.
        head_multiple, ff_multiple, conv_multiple, lstm_multiple: kept counts of each kind stay multiples of this.
        allow_empty: whether a group may lose its last bundle too.
        balances_kinds: whether heads, neurons, channels and LSTM units are each ranked among themselves and leave at
            the same rate. A head's score is a mean over thousands of weights and hardly ever among the lowest, yet
            heads cost more time than their weights tell: balanced tickets run faster at equal size.
    Raises:
        ConfigError: two groups own the same slices of a tensor, or a multiple is below 1.
    """

    groups: tuple[UnitGroup, ...]
    head_multiple: int = 1
    ff_multiple: int = 8
    conv_multiple: int = 8
    lstm_multiple: int = 8
    allow_empty: bool = False
    balances_kinds: bool = False

    def __post_init__(self):
        object.__setattr__(self, "groups", tuple(self.groups))
        owned, twice = set(), set()
        for member in (member for group in self.groups for member in group.members):
            slices = {(member.tensor, member.axis, index) for index in member.index.flatten().tolist()}
            twice |= {tensor for tensor, _, _ in owned & slices}
            owned |= slices
        if twice:
            raise ConfigError(f"unit groups share the tensor {min(twice)}: a slice belongs to one group")
        if min(self.multiple(kind) for kind in KINDS) < 1:
            raise ConfigError("kept units are rounded to a multiple of 1 or more")

    def multiple(self, kind):
        """Return what the kept count of groups of this kind is rounded to."""
        return getattr(self, f"{kind}_multiple")

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
        """Return one cell for every bundle of the groups whose first prunable tensor is in `names`.

        A tensor that units of several groups own is counted where the last of these groups is.
        """
        pooled, costs, places = [], [], []
        firsts = [next((name for name in mask.prunable if name in group.tensors), None) for group in self.groups]
        homes = {}
        for group, first in zip(self.groups, firsts, strict=True):
            homes |= {name: first for name in group.tensors if name in mask.prunable}
        counted = {name for name, home in homes.items() if home in names}
        for group, first in zip(self.groups, firsts, strict=True):
            if first not in names:
                continue
            members = [member for member in group.members if member.tensor in mask.prunable]
            unit_costs = sum(member.slices(mask[member.tensor]).sum(1) for member in members)
            unit_scores = _unit_scores(members, scores, mask, pool=pool)
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
        owned = self._owned(mask, names=counted)
        return Cells(
            scores=scores,
            costs=_marginal_costs(scores, places, {name: mask[name].cpu().clone() for name in counted}),
            num_weights=sum(int((mask[name] & entries).sum()) for name, entries in owned.items()),
            num_dense=sum(int(entries.sum()) for entries in owned.values()),
            places=tuple(places),
        )

    def carve(self, mask, cells, *, removed):
        """Drop everything that the units of the bundles with `removed` True own from `mask`, in place."""
        for is_removed, (group, bundle) in zip(removed.tolist(), cells.places, strict=True):
            if is_removed:
                keep = torch.ones(group.size, dtype=torch.bool)
                keep[bundle] = False
                for name, kept in group.expand(keep, shapes=mask.shapes).items():
                    mask[name] = mask[name] & kept

    def _owned(self, mask, *, names):
        """Return name -> bool tensor: the entries of these tensors that some unit owns."""
        owned = {name: torch.zeros_like(mask[name]) for name in names}
        for group in (group for group in self.groups if owned.keys() & set(group.tensors)):
            expanded = group.expand(torch.zeros(group.size, dtype=torch.bool), shapes=mask.shapes)
            owned |= {name: owned[name] | ~expanded[name] for name in owned.keys() & expanded.keys()}
        return owned

    def _bundles(self, group, scores, *, alive):
        """Return the removable bundles of a group, lowest first, each an int64 vector of unit numbers."""
        units = alive.nonzero().flatten()
        units = units[scores[units].argsort(stable=True)]
        multiple = self.multiple(group.kind)
        odd = len(units) % multiple
        bundles = ([units[:odd]] if odd else []) + list(units[odd:].split(multiple) if len(units) > odd else ())
        return bundles if self.allow_empty else bundles[:-1]


def _marginal_costs(scores, places, alive):
    """Return int64 (n,): weights that each bundle takes along when all bundles with lower scores have left.

    Args:
        alive: name -> bool tensor of the entries that are left; written over.
    """
    costs = torch.zeros(len(places), dtype=torch.int64)
    for place in scores.argsort(stable=True).tolist():
        group, bundle = places[place]
        for member in group.members:
            if member.tensor in alive:
                index = member.index[bundle].flatten()
                costs[place] += alive[member.tensor].index_select(member.axis, index).sum()
                alive[member.tensor].index_fill_(member.axis, index, False)
    return costs


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
