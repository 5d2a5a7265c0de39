"""Criteria: pure functions (weights, mask) -> one score for every weight; the lowest scores are pruned first.

A criterion also says, as `pool`, how the scores of the weights of a larger cell (a block, a unit) become one score:

    "energy"  magnitudes: a block takes their mean; a unit takes mean squares, each tensor's divided by its own mean
              over the surviving units, because magnitudes of different tensors cannot be compared
    "mean"    scores that are comparable across tensors as they stand: the mean over the cell
    "draw"    scores that are independent draws: the first weight's, since a mean of many draws is nearly a constant
"""

import dataclasses

import torch

from lottery_train.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Magnitude:
    """Score = absolute value."""

    pool = "energy"

    def scores(self, weights, mask):
        """Return name -> |w| for the prunable names of the mask."""
        return {name: weights[name].detach().abs() for name in mask.prunable}


@dataclasses.dataclass(frozen=True)
class Lamp:
    """Layer-adaptive magnitude: w^2 over the sum of the squares of all weights of the layer that are not smaller.

    Only kept weights take part. The largest weight of a layer scores 1, so no layer is ever emptied by ranking alone.
    Source: Lee, Park, Mo, Ahn, Shin, "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021, eq. 4.
    """

    pool = "mean"

    def scores(self, weights, mask):
        """Return name -> float64 scores; dropped weights score 0."""
        return {name: _lamp(weights[name].detach(), keep=mask[name].to(weights[name].device)) for name in mask.prunable}


def _lamp(weight, *, keep):
    squares, order = weight[keep].double().square().sort(stable=True)
    tail_sums = squares.flip(0).cumsum(0).flip(0)
    ratios = torch.where(tail_sums > 0, squares / tail_sums.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    scores = torch.zeros_like(weight, dtype=torch.float64)
    scores[keep] = torch.empty_like(ratios).scatter_(0, order, ratios)
    return scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Random:
    """Score = an independent uniform draw for every weight, the same in every round (control).

    Args:
        seed: any int; the draws depend on it and on the names and shapes in ranking order, not on the weights.
    """

    seed: int = 0
    pool = "draw"

    def scores(self, weights, mask):
        """Return name -> float64 uniform draws in [0, 1)."""
        generator = torch.Generator().manual_seed(self.seed)
        return {
            name: torch.rand(mask[name].shape, generator=generator, dtype=torch.float64).to(weights[name].device)
            for name in mask.prunable
        }


CRITERIA = ("lamp", "magnitude", "random")


def make_criterion(name, *, seed=0):
    """Return the criterion of that name.

    Raises:
        ConfigError: unknown name.
    """
    if name == "magnitude":
        return Magnitude()
    if name == "lamp":
        return Lamp()
    if name == "random":
        return Random(seed=seed)
    raise ConfigError(f"criterion is {name!r}, expected one of: {', '.join(CRITERIA)}")
