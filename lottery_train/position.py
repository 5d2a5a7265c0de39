"""Where a training stands, apart from its tensors."""

import math
from dataclasses import dataclass, field


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

    @property
    def progress(self):
        """Epochs done, the running one's share among them."""
        return self.epoch + (self.batch / self.num_batches if self.num_batches else 0.0)

    def begin_here(self):
        """Make this the beginning of a training: nothing before it is its own."""
        self.best, self.first_epoch, self.first_step = [], self.progress, self.step
