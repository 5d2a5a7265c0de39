"""Masks, and everything that decides which weights they keep."""

from lottery_train.pruning.criterion import CRITERIA, Lamp, Magnitude, Random, make_criterion
from lottery_train.pruning.granularity import GRANULARITIES, BlockGranularity, Cells, UnitGranularity, WeightGranularity
from lottery_train.pruning.mask import Mask
from lottery_train.pruning.ranking import lowest, prune
from lottery_train.pruning.schedule import Constant, Decaying, Layerwise, Schedule
from lottery_train.pruning.scope import SCOPES, prunable_names

__all__ = [
    "CRITERIA",
    "GRANULARITIES",
    "SCOPES",
    "BlockGranularity",
    "Cells",
    "Constant",
    "Decaying",
    "Lamp",
    "Layerwise",
    "Magnitude",
    "Mask",
    "Random",
    "Schedule",
    "UnitGranularity",
    "WeightGranularity",
    "lowest",
    "make_criterion",
    "prunable_names",
    "prune",
]
