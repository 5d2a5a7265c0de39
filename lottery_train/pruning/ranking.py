"""One pruning round: rank the surviving cells, drop the lowest."""

import torch

from lottery_train.errors import ConfigError, TicketError


def prune(weights, mask, *, criterion, granularity, schedule, level):
    """Return the mask of `level`, a subset of the mask of `level - 1`.

    At weight granularity each group loses exactly round(rate * remaining) weights, ties included bit-equal with
    `torch.nn.utils.prune.global_unstructured(..., L1Unstructured, amount=rate)`. Larger cells leave in order of score
    as long as that brings the group nearer to the number of weights that the schedule, followed from the dense model,
    leaves at this level: what one round rounds away, the next makes up for.

    Args:
        weights: name -> tensor, the trained weights of level - 1; must hold every prunable name of the mask.
        mask: Mask of level - 1; its `prunable` names, in order, are the scope (see `granularity.dense_mask`).
        criterion, granularity, schedule: see the modules of those names.
        level: rounds done after this one, from 1.
    Returns:
        New Mask on the CPU, where the ranking is done: ties do not depend on the device.
    Raises:
        ConfigError: something should be removed, but every group is at its smallest size.
        TicketError: a weight is not finite.
    """
    if level < 1:
        raise ValueError(f"level is {level}: the first round makes level 1")
    weights = {name: weights[name].detach().cpu() for name in mask.prunable}
    broken = [name for name, weight in weights.items() if not bool(weight.isfinite().all())]
    if broken:
        raise TicketError(f"{broken[0]}: not all weights are finite", hint="training diverged: lower the learning rate")
    pruned = mask.to("cpu")
    scores = criterion.scores(weights, pruned)
    sizes = {name: pruned[name].numel() for name in pruned.prunable}
    parts = schedule.split(sizes)
    groups = [granularity.cells(scores, pruned, names=names, pool=criterion.pool) for names in parts]
    budgets = _budgets(groups, schedule, level=level)
    if any(budgets) and not any(len(cells.scores) for cells in groups):
        raise ConfigError(
            f"level {level}: nothing is left to remove, every group is at its smallest size",
            hint="ask for a higher density, or allow groups to be removed whole",
        )
    for number, (names, cells, budget) in enumerate(zip(parts, groups, budgets, strict=True)):
        if number and cells.costs is not None:
            # Units that left an earlier group may have taken some of this one's weights along.
            before, cells = cells, granularity.cells(scores, pruned, names=names, pool=criterion.pool)
            budget = max(0, budget - before.num_weights + cells.num_weights)
        granularity.carve(pruned, cells, removed=lowest(cells, budget=budget))
    return pruned


def _budgets(groups, schedule, *, level):
    """Return how many weights each group should lose."""
    if all(cells.costs is None for cells in groups):
        return schedule.budgets(level, [cells.num_weights for cells in groups])
    aims = schedule.remaining(level, [cells.num_dense for cells in groups])
    return tuple(max(0, cells.num_weights - aim) for cells, aim in zip(groups, aims, strict=True))


def lowest(cells, *, budget):
    """Choose the lowest-scoring cells whose total cost is nearest to `budget` weights.

    Returns:
        bool (n,), True where a cell is removed.
    """
    removed = torch.zeros(len(cells.scores), dtype=torch.bool)
    if cells.costs is None:
        # The op that torch.nn.utils.prune uses: only so are ties broken alike.
        chosen = torch.topk(cells.scores, k=budget, largest=False).indices if budget else []
    else:
        order = cells.scores.argsort(stable=True)
        sums = torch.cat([torch.zeros(1, dtype=torch.int64), cells.costs[order].cumsum(0)])
        chosen = order[: int((sums - budget).abs().argmin())]
    removed[chosen] = True
    return removed
