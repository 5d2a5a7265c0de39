"""One pruning round: parity with torch.nn.utils.prune, exact counts, order, monotonicity."""

import math

import pytest
import torch
from torch import nn

from lottery_train.errors import ConfigError, TicketError
from lottery_train.models.layers import PointwiseConv, StridedConv
from lottery_train.pruning import (
    BlockGranularity,
    Constant,
    Decaying,
    Lamp,
    Layerwise,
    Magnitude,
    Random,
    WeightGranularity,
    prunable_names,
    prune,
)
from tests import reference_pruning as reference

PARITY = {
    "constant": (Constant(0.2), reference.constant_amounts),
    "decaying": (Decaying(0.2, 0.9), reference.decaying_amounts),
    "thirds": (Layerwise(Constant(0.2), split_by="modules"), reference.thirds_amounts),
    "decaying thirds": (Layerwise(Decaying(0.2, 0.9), split_by="modules"), reference.decaying_thirds_amounts),
}


@pytest.mark.parametrize("quantum", [None, 0.02], ids=["distinct", "ties"])
@pytest.mark.parametrize("name", PARITY)
def test_masks_are_bit_equal_with_torch_over_twenty_rounds(name, quantum):
    schedule, amounts = PARITY[name]
    results = reference.compare_masks(schedule, amounts=amounts, quantum=quantum)
    assert [ours for _, ours, _ in results] == [theirs for theirs, _, _ in results]
    assert [is_equal for _, _, is_equal in results] == [True] * 20
    kept = [theirs for theirs, _, _ in results]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < kept[0] / 3


def test_parity_check_sees_a_difference():
    assert reference.reference_masks_equal(Constant(0.2), amounts=reference.constant_amounts, num_rounds=2)
    assert not reference.reference_masks_equal(Constant(0.2001), amounts=reference.constant_amounts, num_rounds=2)
    assert not reference.reference_masks_equal(Layerwise(), amounts=reference.thirds_amounts, num_rounds=2)


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(5)
    shapes = {"a": (37, 53), "b": (91, 37), "c": (20, 91), "d": (13, 20), "e": (64, 13)}
    return {
        name: torch.randn(shape, generator=generator) * scale for scale, (name, shape) in enumerate(shapes.items(), 1)
    }


@pytest.mark.parametrize("criterion", [Magnitude(), Lamp(), Random(seed=3)], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("schedule", [Constant(0.2), Decaying(0.3, 0.8), Layerwise(Constant(0.25))], ids=repr)
def test_counts_are_exact_to_one_weight_and_kept_scores_top_pruned_ones(weights, criterion, schedule):
    granularity = WeightGranularity()
    mask = granularity.dense_mask(weights, names=tuple(weights))
    left = mask.num_weights
    for level in range(1, 9):
        scores = criterion.scores(weights, mask)
        after = prune(weights, mask, criterion=criterion, granularity=granularity, schedule=schedule, level=level)
        base = getattr(schedule, "base", schedule)
        left -= round(base.rate(level) * left)
        assert after.num_kept == left
        assert after.is_subset_of(mask)
        assert not mask.is_subset_of(after)
        sizes = {name: weight.numel() for name, weight in weights.items()}
        for names in schedule.split(sizes):
            kept = torch.cat([scores[name][after[name]] for name in names])
            gone = torch.cat([scores[name][mask[name] & ~after[name]] for name in names])
            assert kept.min() >= gone.max()
        mask = after


def test_layerwise_budgets_follow_the_factors_of_the_groups(weights):
    schedule = Layerwise(Constant(0.2))
    before = WeightGranularity().dense_mask(weights, names=tuple(weights))
    after = prune(weights, before, criterion=Magnitude(), granularity=WeightGranularity(), schedule=schedule, level=1)
    groups = schedule.split({name: weight.numel() for name, weight in weights.items()})
    rates = [1 - sum(int(after[n].sum()) for n in names) / sum(weights[n].numel() for n in names) for names in groups]
    # One weight of rounding in about 1600 a group.
    assert rates[0] / rates[1] == pytest.approx(1.1, abs=0.01)
    assert rates[2] / rates[1] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (4, 4), (3, 5)])
def test_rounding_of_blocks_does_not_add_up(weights, rows, columns):
    granularity = BlockGranularity(rows=rows, columns=columns)
    mask = granularity.dense_mask(weights, names=tuple(weights))
    for level in range(1, 13):
        before = mask
        mask = prune(weights, mask, criterion=Magnitude(), granularity=granularity, schedule=Constant(0.2), level=level)
        assert mask.is_subset_of(before)
        # Half a block, and half a weight of rounding a round in the schedule's own count.
        assert abs(mask.num_kept - mask.num_weights * 0.8**level) <= rows * columns / 2 + level / 2


def test_random_pruning_ignores_the_weights_and_repeats(weights):
    def one_round(values, seed):
        mask = WeightGranularity().dense_mask(values, names=tuple(values))
        return prune(
            values, mask, criterion=Random(seed=seed), granularity=WeightGranularity(), schedule=Constant(0.5), level=1
        )

    shrunk = {name: weight * torch.rand_like(weight) for name, weight in weights.items()}
    assert one_round(weights, 1) == one_round(shrunk, 1)
    assert one_round(weights, 1) != one_round(weights, 2)
    # Every layer loses about half: four standard deviations of a binomial draw.
    for name, density in one_round(weights, 1).density_by_layer().items():
        assert abs(density - 0.5) < 2 / math.sqrt(weights[name].numel())


def test_diverged_weights_are_refused_by_name(weights):
    weights["c"][3, 4] = float("nan")
    mask = WeightGranularity().dense_mask(weights, names=tuple(weights))
    with pytest.raises(TicketError, match="^c: not all weights are finite"):
        prune(weights, mask, criterion=Magnitude(), granularity=WeightGranularity(), schedule=Constant(), level=1)


def test_level_zero_is_no_round(weights):
    mask = WeightGranularity().dense_mask(weights, names=tuple(weights))
    with pytest.raises(ValueError, match="the first round makes level 1"):
        prune(weights, mask, criterion=Magnitude(), granularity=WeightGranularity(), schedule=Constant(), level=0)


def test_scopes_take_what_they_name_in_module_order():
    model = nn.ModuleDict(
        {
            "z": nn.Linear(3, 3),
            "strided": StridedConv(3, 3),
            "pointwise": PointwiseConv(3, 3),
            "conv1": nn.Conv1d(3, 3, 1),
            "conv3": nn.Conv1d(3, 3, 3),
            "depthwise1": nn.Conv1d(3, 3, 1, groups=3),
            "norm": nn.LayerNorm(3),
            "a": nn.Linear(3, 3),
        }
    )
    model["tied"] = nn.Linear(3, 3)
    model["tied"].weight = model["z"].weight
    assert prunable_names(model, scope="linear") == ("z.weight", "a.weight")
    assert prunable_names(model, scope="pointwise") == ("z.weight", "pointwise.weight", "conv1.weight", "a.weight")
    assert prunable_names(nn.Linear(2, 2)) == ("weight",)
    with pytest.raises(ConfigError, match="expected one of: linear, pointwise"):
        prunable_names(model, scope="all")
    with pytest.raises(ConfigError, match="finds no prunable weight in LayerNorm"):
        prunable_names(nn.LayerNorm(3))
