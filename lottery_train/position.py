"""Where a training stands, apart from its tensors."""

import math
from dataclasses import dataclass


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
