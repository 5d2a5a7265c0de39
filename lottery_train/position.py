"""Where a training stands, apart from its tensors."""

import math
import re
from dataclasses import dataclass, field, fields

from lottery_train.errors import TicketError
from runtime.foreign import short

# What no training comes near.
_MAX_COUNT = 1 << 48
_CHECKPOINT = re.compile(r"epoch_\d{4,9}\.safetensors")


@dataclass(kw_only=True)
class Position:
    """Where a training stands: what a checkpoint holds beside tensors.

    Args:
        epoch, batch: next batch to train on.
        step: optimiser steps done since the first weights.
        loss_sum, character_loss_sum, num_steps: of the running epoch.
        best_loss: lowest mean character loss of an epoch so far (steers the augmentation).
        best: [dev WER, dev loss, file name] of the checkpoints that will be averaged, best first.
        num_bad: steps in a row whose gradient was not finite.
        num_skipped: steps of the running epoch without a finite gradient; they count in no mean.
        world_size: processes that share each epoch; another number would see other batches.
        num_batches: of the running epoch, for this process; 0 before the first.
        first_epoch, first_step: where this training began, not 0 behind a rewind point.
        round_epochs: time in epochs of every pruning round that this training has made.
        mask_distances: [epoch, distance] pairs of an early-bird search, see `lottery_train.pruner`.
        is_settled: whether the early bird's mask settled before it had to be drawn.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    character_loss_sum: float = 0.0
    num_steps: int = 0
    best_loss: float = math.inf
    best: list
    num_bad: int = 0
    num_skipped: int = 0
    world_size: int = 1
    num_batches: int = 0
    first_epoch: float = 0.0
    first_step: int = 0
    round_epochs: list = field(default_factory=list)
    mask_distances: list = field(default_factory=list)
    is_settled: bool = False

    @classmethod
    def from_json(cls, value):
        """Rebuild a position from `vars(position)` read from an untrusted file.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range.
        """
        kinds = {item.name: item.type for item in fields(cls)}
        if not isinstance(value, dict) or set(value) != set(kinds):
            raise ValueError(f"expected the fields {', '.join(kinds)}")
        for name, kind in kinds.items():
            found = value[name]
            is_number = kind in (int, float) and (type(found) is int or type(found) is kind)
            if not (is_number and found >= 0 or kind is bool and type(found) is bool or type(found) is kind is list):
                raise ValueError(f"{name} is {short(found)}")
            if is_number and found > _MAX_COUNT and found != math.inf:
                raise ValueError(f"{name} is {short(found)}")
        rows = [(row, 3) for row in value["best"]] + [(row, 2) for row in value["mask_distances"]]
        if not all(isinstance(row, list) and len(row) == width for row, width in rows):
            raise ValueError("best or mask_distances holds no list of rows")
        numbers = [number for row, width in rows for number in row[: width - 1]] + value["round_epochs"]
        numbers += [distance for _, distance in value["mask_distances"] if distance is not None]
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("best, round_epochs or mask_distances holds something else than numbers")
        # The names are of files that are opened.
        if not all(isinstance(row[2], str) and _CHECKPOINT.fullmatch(row[2]) for row in value["best"]):
            raise ValueError("best names something else than checkpoints")
        return cls(**value)

    @property
    def progress(self):
        """Epochs done, the running one's share among them."""
        return self.epoch + (self.batch / self.num_batches if self.num_batches else 0.0)

    def begin_here(self):
        """Make this the beginning of a training: nothing before it is its own."""
        self.best, self.first_epoch, self.first_step = [], self.progress, self.step


def read_position(path, *, state):
    """Return the Position that a checkpoint's state describes; TicketError, with its path, where it describes none."""
    try:
        return Position.from_json(state)
    except ValueError as error:
        raise TicketError(f"{path}: not a checkpoint: {error}", hint="restore it, or start over") from error
