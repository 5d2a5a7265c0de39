"""What decides which weights a training keeps: a mask found before it, or rounds of pruning made on its way.

The trainer applies `mask` after every step, and after every step asks the pruner to `advance`. What a pruner remembers
lies beside the checkpoint, in files that are written before the checkpoint that refers to them; everything else is in
the Position. So a training killed at any moment makes the same rounds again.
"""

import sys
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from lottery_train.pruning import Mask, cubic_times, prune

NUM_COMPARED = 5
# Sums of fractions of an epoch that should be equal differ in their last bits.
_EPSILON = 1e-9


class Pruner:
    """A mask that is there from the beginning and stays.

    Args:
        mask: Mask that the training begins with, or None for a training without one.
    """

    def __init__(self, mask=None):
        self.mask = mask

    def to(self, device):
        """Return this pruner with its mask on a device."""
        self.mask = self.mask.to(device) if self.mask is not None else None
        return self

    def restore(self, folder, position):
        """Take up the state that belongs to a checkpoint's position."""

    def advance(self, model, position, *, folder, is_writer, label):
        """Make the rounds that are due after a step, and say so in the position.

        Args:
            model: whose weights are ranked.
            position: Position after the step; `round_epochs` and what else is the pruner's is changed.
            folder: working folder of the training.
            is_writer: whether this process writes files and messages; every process holds the same mask.
            label: name of the training in messages.
        Returns:
            whether the mask is another one now.
        """
        return False

    def record(self, position):
        """Return what the ticket's record says of the rounds made in this training."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The rounds of a search: `lottery_train.pruning.prune` with everything but the weights.

    Args:
        count: how many there are.
    """

    criterion: Any
    granularity: Any
    schedule: Any
    count: int

    def densities(self, mask):
        """Return the density that the schedule gives each level, level 0 first."""
        sizes = {name: mask[name].numel() for name in mask.prunable}
        return self.schedule.densities(self.count, shares=self.schedule.shares(sizes))

    def make(self, weights, mask, *, first, last):
        """Return the mask after rounds `first` to `last`, all ranked on the same weights (name -> tensor)."""
        weights = {name: weights[name].detach().cpu() for name in mask.prunable}
        device = mask[mask.prunable[0]].device
        for level in range(first, last + 1):
            mask = prune(
                weights,
                mask,
                criterion=self.criterion,
                granularity=self.granularity,
                schedule=self.schedule,
                level=level,
            )
        return mask.to(device)


class _RoundsOnTheWay(Pruner):
    """What methods share that prune while the model trains."""

    def __init__(self, mask, *, rounds):
        super().__init__(mask)
        self.rounds = rounds

    def restore(self, folder, position):
        """Take up the mask of as many rounds as were made."""
        if position.round_epochs:
            self.mask = self._load(_mask_path(folder, len(position.round_epochs)))

    def record(self, position):
        """Return when each round was made, in epochs."""
        return {"round_epochs": list(position.round_epochs)}

    def _load(self, path):
        return Mask.load(path).to(self.mask[self.mask.prunable[0]].device)

    def _put_on(self, mask, position, *, num_rounds, folder, is_writer):
        """Wear the mask of so many rounds from now on."""
        self.mask = mask
        position.round_epochs += [position.progress] * (num_rounds - len(position.round_epochs))
        if is_writer:
            mask.save(_mask_path(folder, num_rounds))


class GradualPruner(_RoundsOnTheWay):
    """Makes each round at its time.

    Args:
        mask: the dense Mask.
        rounds: Rounds.
        times: time of each round in epochs, rising.
    """

    def __init__(self, mask, *, rounds, times):
        super().__init__(mask, rounds=rounds)
        self.times = tuple(times)

    def advance(self, model, position, *, folder, is_writer, label):
        """Make every round whose time has come."""
        done = len(position.round_epochs)
        due = sum(time <= position.progress + _EPSILON for time in self.times)
        if due == done:
            return False
        mask = self.rounds.make(dict(model.named_parameters()), self.mask, first=done + 1, last=due)
        self._put_on(mask, position, num_rounds=due, folder=folder, is_writer=is_writer)
        return True


class EarlyBirdPruner(_RoundsOnTheWay):
    """Makes all rounds at once, at the end of the first epoch after which they have settled.

    After each epoch the mask that all rounds together would draw is compared with those of the epochs before. You et
    al. stop there and train the drawn ticket from there by a schedule of its own, rewound to its beginning; here the
    running training goes on to the end of its schedule under the mask, so that the whole costs one training.

    Args:
        mask: the dense Mask.
        rounds: Rounds.
        distance: normalised Hamming distance, of the prunable weights, below which the mask has settled: all of the
            `NUM_COMPARED` epochs before must be nearer.
        latest: epochs after which the mask is drawn in any case.
    Source: You et al. 2020, "Drawing early-bird tickets" (arXiv 1909.11957), algorithm 1, for channels at 30 to 70 %:
        distance 0.1. Their code compares a mask with the four before it; the fifth makes this one no easier to please.
    """

    def __init__(self, mask, *, rounds, distance, latest):
        super().__init__(mask, rounds=rounds)
        self.distance, self.latest = distance, latest
        self._earlier = []

    def restore(self, folder, position):
        """Take up the mask that was drawn, or those that the next one is compared with."""
        super().restore(folder, position)
        epochs = [] if position.round_epochs else [epoch for epoch, _ in position.mask_distances[-NUM_COMPARED:]]
        self._earlier = [self._load(_candidate_path(folder, epoch)) for epoch in epochs]

    def advance(self, model, position, *, folder, is_writer, label):
        """At the end of an epoch: draw the mask, and put it on if it has settled or time is up."""
        epoch = int(position.progress)
        if position.round_epochs or epoch != position.progress:
            return False
        weights = dict(model.named_parameters())
        candidate = self.rounds.make(weights, self.mask, first=1, last=self.rounds.count)
        farthest = max((candidate.distance(earlier) for earlier in self._earlier), default=None)
        position.mask_distances.append([epoch, farthest])
        position.is_settled = len(self._earlier) == NUM_COMPARED and farthest < self.distance
        if position.is_settled or epoch >= self.latest:
            self._put_on(candidate, position, num_rounds=self.rounds.count, folder=folder, is_writer=is_writer)
            if is_writer:
                tqdm.write(f"{label}: {self._message(position)}", file=sys.stderr)
            return True
        if is_writer:
            # The checkpoint is one epoch old at most, so that the oldest of these is needed by no restart.
            _candidate_path(folder, epoch - NUM_COMPARED - 1).unlink(missing_ok=True)
            candidate.save(_candidate_path(folder, epoch))
        self._earlier = [*self._earlier, candidate][-NUM_COMPARED:]
        return False

    def record(self, position):
        """Return when the mask was drawn, how far it was from those before after each epoch, and whether it settled."""
        return super().record(position) | {
            "mask_distances": [[epoch, far and round(far, 6)] for epoch, far in position.mask_distances],
            "is_settled": position.is_settled,
        }

    def _message(self, position):
        epoch, farthest = position.mask_distances[-1]
        distance = "nothing to compare with" if farthest is None else f"distance {farthest:.4f}"
        if position.is_settled:
            return f"early-bird mask drawn after epoch {epoch}: {distance}, below {self.distance:g}"
        return (
            f"early-bird mask drawn after epoch {epoch}, the latest allowed, without having settled: {distance}, "
            f"settled is below {self.distance:g} from each of {NUM_COMPARED} epochs before"
        )


def make_pruner(mask, *, rounds, search, epochs):
    """Return the pruner of a method that finds its ticket in one training.

    Args:
        mask: the dense Mask.
        rounds: Rounds.
        search: SearchConfig of the method.
        epochs: length of the training.
    """
    first, last = search.ramp
    if search.method == "early-bird":
        latest = max(1, int(last * epochs + _EPSILON))
        return EarlyBirdPruner(mask, rounds=rounds, distance=search.early_bird_distance, latest=latest)
    times = [epochs * (first + (last - first) * time) for time in cubic_times(rounds.densities(mask))]
    return GradualPruner(mask, rounds=rounds, times=times)


def _mask_path(folder, num_rounds):
    return folder / f"mask_{num_rounds:04d}.safetensors"


def _candidate_path(folder, epoch):
    return folder / f"candidate_{epoch:04d}.safetensors"
