"""Masks, and everything that decides which weights they keep."""

from lottery_train.pruning.cells import Cells
from lottery_train.pruning.criterion import CRITERIA, Lamp, Magnitude, Random, make_criterion
from lottery_train.pruning.granularity import BlockGranularity, WeightGranularity, make_granularity
from lottery_train.pruning.mask import Mask
from lottery_train.pruning.ramp import cubic_times
from lottery_train.pruning.ranking import lowest, prune
from lottery_train.pruning.schedule import SCHEDULES, Constant, Decaying, Layerwise, Schedule, make_schedule
from lottery_train.pruning.scope import SCOPES, prunable_names
from lottery_train.pruning.unit_granularity import UnitGranularity

__all__ = [
    "CRITERIA",
    "SCHEDULES",
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
    "cubic_times",
    "lowest",
    "make_criterion",
    "make_granularity",
    "make_schedule",
    "prunable_names",
    "prune",
]
