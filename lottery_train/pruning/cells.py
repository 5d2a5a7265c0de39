"""Cells: what a granularity offers to a ranking."""

import dataclasses
from typing import Any

import torch


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """What can be removed, as vectors of n cells.

    Args:
        scores: float (n,), finite; the lowest leave first.
        costs: int64 (n,), surviving prunable weights that each cell takes along when those of lower scores have gone;
            None where each cell is one weight.
        num_weights: surviving prunable weights in reach of the ranking, those in irremovable cells included.
        num_dense: the same before any pruning.
        places: what the granularity needs to find a cell again; private to it.
    """

    scores: torch.Tensor
    costs: torch.Tensor | None
    num_weights: int
    num_dense: int
    places: Any
