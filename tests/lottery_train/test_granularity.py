"""Granularities: cells, costs, edges, bundles."""

import pytest
import torch

from lottery_train.config import ModelConfig
from lottery_train.errors import ConfigError
from lottery_train.models import build_model
from lottery_train.models.config import ConformerConfig
from lottery_train.models.conformer import Conformer
from lottery_train.pruning import (
    BlockGranularity,
    Constant,
    Lamp,
    Layerwise,
    Magnitude,
    Random,
    UnitGranularity,
    WeightGranularity,
    lowest,
    make_granularity,
    prunable_names,
    prune,
)
from lottery_train.units import Member, UnitGroup

CRITERIA = (Magnitude(), Lamp(), Random())
FIFTH = Constant(0.2)


def _rounds(weights, granularity, *, names, levels, criterion=CRITERIA[0], schedule=FIFTH):
    masks = [granularity.dense_mask(weights, names=names)]
    for level in levels:
        masks.append(
            prune(weights, masks[-1], criterion=criterion, granularity=granularity, schedule=schedule, level=level)
        )
    return masks


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(3)
    return {"a": torch.randn(10, 14, generator=generator), "b": torch.randn(7, 5, 1, generator=generator)}


def test_one_by_one_blocks_are_weights(weights):
    by_weight = _rounds(weights, WeightGranularity(), names=("a", "b"), levels=range(1, 6))
    by_block = _rounds(weights, BlockGranularity(rows=1, columns=1), names=("a", "b"), levels=range(1, 6))
    assert by_weight == by_block


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (4, 4), (4, 1)])
def test_blocks_leave_whole_lowest_first(weights, criterion, rows, columns):
    granularity = BlockGranularity(rows=rows, columns=columns)
    before, after = _rounds(weights, granularity, names=("a", "b"), levels=[1], criterion=criterion)
    scores = criterion.scores(weights, before)
    kept, gone = [], []
    for name in ("a", "b"):
        matrix = scores[name].flatten(1).double()
        keep = after[name].flatten(1)
        for top in range(0, matrix.shape[0], rows):
            for left in range(0, matrix.shape[1], columns):
                # Slices stop at the edge: a ragged block is its real weights and nothing else.
                block = (slice(top, top + rows), slice(left, left + columns))
                assert keep[block].all() or not keep[block].any()
                value = matrix[top, left] if criterion.pool == "draw" else matrix[block].mean()
                (kept if keep[block].any() else gone).append(value.item())
    # Means of up to 16 numbers in another order.
    assert min(kept) >= max(gone) - 1e-12
    assert gone


def test_ragged_blocks_cost_their_real_weights(weights):
    mask = BlockGranularity(rows=4, columns=4).dense_mask(weights, names=("a",))
    cells = BlockGranularity(rows=4, columns=4).cells({"a": weights["a"].abs()}, mask, names=("a",), pool="energy")
    assert cells.costs.tolist() == [16, 16, 16, 8, 16, 16, 16, 8, 8, 8, 8, 4]
    assert cells.num_weights == cells.num_dense == 140
    assert cells.scores[-1].item() == pytest.approx(weights["a"][8:, 12:].abs().double().mean().item(), rel=1e-12)


def test_blocks_of_a_mask_with_holes_count_survivors(weights):
    granularity = BlockGranularity(rows=1, columns=4)
    mask = granularity.dense_mask(weights, names=("a",))
    keep = torch.ones(10, 14, dtype=torch.bool)
    keep[0, :4] = False
    keep[0, 4] = False
    mask["a"] = keep
    cells = granularity.cells({"a": weights["a"].abs()}, mask, names=("a",), pool="energy")
    assert len(cells.costs) == 39
    assert cells.costs[0] == 3
    assert cells.scores[0].item() == pytest.approx(weights["a"][0, 5:8].abs().double().mean().item(), rel=1e-12)


def test_lowest_comes_nearest_to_the_budget(weights):
    mask = BlockGranularity(rows=4, columns=4).dense_mask(weights, names=("a",))
    cells = BlockGranularity(rows=4, columns=4).cells({"a": weights["a"].abs()}, mask, names=("a",), pool="energy")
    order = cells.scores.argsort()
    sums = [0, *cells.costs[order].cumsum(0).tolist()]
    for budget in range(141):
        removed = lowest(cells, budget=budget)
        count = int(removed.sum())
        assert sorted(order[:count].tolist()) == removed.nonzero().flatten().tolist()
        assert abs(sums[count] - budget) == min(abs(total - budget) for total in sums)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = ConformerConfig.uniform(
        num_blocks=2, ff=36, heads=4, conv=24, vocab_size=11, model_width=16, head_width=4, stem_width=8, num_mels=8,
        conv_kernel=3, left_context_frames=4, max_chunk_frames=4,
    )  # fmt: skip
    return Conformer(config)


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda c: type(c).__name__)
def test_units_leave_whole_and_kept_counts_are_multiples(model, criterion):
    weights = dict(model.named_parameters())
    groups = model.unit_groups()
    granularity = UnitGranularity(groups=groups, ff_multiple=8, conv_multiple=4)
    names = prunable_names(model, scope="pointwise")
    masks = _rounds(weights, granularity, names=names, levels=range(1, 7), criterion=criterion)
    largest = max(4 * 4 * 16 * 4, 8 * 2 * 16, 4 * 3 * 16)
    for level, (before, mask) in enumerate(zip(masks, masks[1:], strict=False), 1):
        assert mask.is_subset_of(before)
        # Half of the largest bundle either way, and the schedule's own rounding.
        assert abs(mask.num_kept - 0.8**level * mask.num_weights) <= largest / 2 + level
        for group in groups:
            kept = group.kept_units(mask)
            assert int(kept.sum()) in (group.size, *range(0, group.size, granularity.multiple(group.kind)))
            assert kept.any()
            # Nothing of a removed unit is left anywhere, and nothing else is gone.
            for name, keep in group.expand(kept, shapes=mask.shapes).items():
                assert torch.equal(mask[name], keep)


def test_unit_masks_count_only_what_units_own(model):
    weights = dict(model.named_parameters())
    mask = UnitGranularity(groups=model.unit_groups()).dense_mask(weights, names=prunable_names(model, scope="linear"))
    assert "head.weight" not in mask
    assert "blocks.0.convolution.pointwise_in.weight" not in mask
    assert "blocks.0.ff1.up.bias" in mask
    assert "blocks.0.ff1.up.bias" not in mask.prunable
    assert mask.num_weights == 2 * (2 * 2 * 16 * 36 + 4 * 16 * 16)


def _two_layer_groups(*, small=16, large=16):
    def group(name, size, width):
        members = (
            Member.strided(f"{name}.up", size=size),
            Member.strided(f"{name}.bias", size=size),
            Member.strided(f"{name}.down", size=size, axis=1),
        )
        shapes = {f"{name}.up": (size, width), f"{name}.bias": (size,), f"{name}.down": (width, size)}
        return UnitGroup(name=name, kind="ff", size=size, members=members), shapes

    (first, shapes1), (second, shapes2) = group("one", small, 6), group("two", large, 10)
    generator = torch.Generator().manual_seed(9)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in {**shapes1, **shapes2}.items()}
    return (first, second), weights, ("one.up", "one.down", "two.up", "two.down")


def test_unit_scores_are_normalised_mean_squares():
    groups, weights, names = _two_layer_groups()
    # Tensors and layers of other scale, and biases, change nothing.
    rescaled = {name: weight * (50 if "bias" in name or "two" in name else 0.01) for name, weight in weights.items()}
    rescaled["one.down"] = weights["one.down"] * 7
    granularity = UnitGranularity(groups=groups, ff_multiple=1)
    mask = granularity.dense_mask(weights, names=names)
    cells = [
        granularity.cells(Magnitude().scores(values, mask), mask, names=names, pool="energy")
        for values in (weights, rescaled)
    ]
    # float32 scaling, then float64.
    torch.testing.assert_close(cells[0].scores, cells[1].scores, rtol=1e-5, atol=0)
    up, down = weights["one.up"].double(), weights["one.down"].double()
    expected = up.square().mean(1) / up.square().mean() + down.square().mean(0) / down.square().mean()
    lowest_first = (expected / 2).sort().values
    torch.testing.assert_close(cells[0].scores[:15], lowest_first[:15], rtol=1e-12, atol=0)
    assert cells[0].costs.tolist() == [12] * 15 + [20] * 15
    assert cells[0].num_weights == 16 * 12 + 16 * 20


def test_a_group_keeps_one_bundle_unless_it_may_be_emptied():
    groups, weights, names = _two_layer_groups(small=20, large=24)
    for group in groups:
        for name in group.tensors:
            weights[name] *= 1e-3 if group.name == "one" else 1.0
    granularity = UnitGranularity(groups=groups, ff_multiple=8)
    with pytest.raises(ConfigError, match="every group is at its smallest size"):
        _rounds(weights, granularity, names=names, levels=range(1, 20), schedule=Constant(0.5))
    *_, mask = _rounds(weights, granularity, names=names, levels=[1], schedule=Constant(0.8))
    assert [int(group.kept_units(mask).sum()) for group in groups] == [8, 8]
    emptied = UnitGranularity(groups=groups, ff_multiple=8, allow_empty=True)
    *_, mask = _rounds(weights, emptied, names=names, levels=range(1, 9), schedule=Constant(0.8))
    assert mask.num_kept == 0


def test_balanced_kinds_leave_at_the_same_rate_lowest_first_within_each(model):
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for name in weights:
        if ".attention." in name:
            weights[name] *= 50  # a kind far above the others, were they not normalised and balanced
    names = prunable_names(model, scope="pointwise")
    fractions = {}
    for is_balanced in (False, True):
        granularity = UnitGranularity(
            groups=model.unit_groups(), ff_multiple=1, conv_multiple=1, balances_kinds=is_balanced
        )
        *_, mask = _rounds(weights, granularity, names=names, levels=[1], schedule=Constant(0.5))
        kept, total = {}, {}
        for group in granularity.groups:
            units = group.kept_units(mask)
            kept[group.kind] = kept.get(group.kind, 0) + int(units.sum())
            total[group.kind] = total.get(group.kind, 0) + group.size
        fractions[is_balanced] = {kind: kept[kind] / total[kind] for kind in total}
        assert mask.density == pytest.approx(0.5, abs=0.1)
    spread = {flag: max(found.values()) - min(found.values()) for flag, found in fractions.items()}
    # Heads are few: one more or less is a sixth of them here.
    assert spread[True] < 0.2
    assert spread[False] > spread[True]


def test_the_odd_units_leave_first():
    groups, weights, names = _two_layer_groups(small=20, large=21)
    granularity = UnitGranularity(groups=groups, ff_multiple=8)
    mask = granularity.dense_mask(weights, names=names)
    cells = granularity.cells(Magnitude().scores(weights, mask), mask, names=names, pool="energy")
    assert cells.costs.tolist() == [4 * 12, 8 * 12, 5 * 20, 8 * 20]


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7])
def test_rounding_of_means_does_not_swap_equal_bundles(value):
    """The odd bundle must leave before whole ones, or the kept count is no multiple."""
    groups, weights, names = _two_layer_groups(small=23, large=26)
    granularity = UnitGranularity(groups=groups, ff_multiple=7)
    mask = granularity.dense_mask(weights, names=names)
    scores = {name: torch.full(weights[name].shape, value, dtype=torch.float64) for name in names}
    cells = granularity.cells(scores, mask, names=names, pool="mean")
    assert [len(bundle) for _, bundle in cells.places] == [2, 7, 7, 5, 7, 7]
    assert cells.scores[:3].diff().min() >= 0
    assert cells.scores[3:].diff().min() >= 0


def test_layerwise_units_are_ranked_in_the_group_of_their_first_tensor(model):
    weights = dict(model.named_parameters())
    granularity = UnitGranularity(groups=model.unit_groups(), ff_multiple=1, conv_multiple=1)
    names = prunable_names(model, scope="pointwise")
    mask = granularity.dense_mask(weights, names=names)
    schedule = Layerwise(Constant(0.2))
    parts = [
        granularity.cells(Magnitude().scores(weights, mask), mask, names=part, pool="energy")
        for part in schedule.split({name: weights[name].numel() for name in mask.prunable})
    ]
    assert sum(cells.num_weights for cells in parts) == mask.num_weights
    seen = [group.name for cells in parts for group, _ in cells.places]
    assert set(seen) == {group.name for group in model.unit_groups()}
    *_, after = _rounds(weights, granularity, names=names, levels=[1], schedule=schedule)
    # Half of the largest unit (a head) in each of three groups.
    assert abs(after.num_kept - 0.8 * mask.num_weights) <= 3 * 4 * 4 * 16 / 2


@pytest.mark.parametrize("balances_kinds", [False, True])
def test_a_weight_of_two_units_costs_the_first_that_leaves(balances_kinds):
    """Rows and columns of recurrent matrices cross: whatever leaves, lowest first, is what the mask loses."""
    settings = ModelConfig(
        backbone="cnn-lstm", cnn_channels=(8, 16), lstm_layers=2, lstm_width=24, is_bidirectional=True
    )
    lstm = build_model(settings.config(vocab_size=7), seed=0)
    weights = {name: value.detach() for name, value in lstm.named_parameters()}
    names = prunable_names(lstm, scope="pointwise")
    granularity = UnitGranularity(groups=lstm.unit_groups(), balances_kinds=balances_kinds)
    mask = granularity.dense_mask(weights, names=names)
    cells = granularity.cells(Magnitude().scores(weights, mask), mask, names=names, pool="energy")
    assert cells.num_weights == cells.num_dense == mask.num_kept
    order = cells.scores.argsort(stable=True)
    for count in range(0, len(order), 3):
        removed = torch.zeros(len(order), dtype=torch.bool)
        removed[order[:count]] = True
        left = mask.clone()
        granularity.carve(left, cells, removed=removed)
        assert mask.num_kept - left.num_kept == int(cells.costs[removed].sum())
    again = granularity.cells(Magnitude().scores(weights, left), left, names=names, pool="energy")
    assert (again.num_weights, again.num_dense) == (left.num_kept, mask.num_kept)
    schedule = Layerwise(Constant(0.2))
    parts = [
        granularity.cells(Magnitude().scores(weights, mask), mask, names=part, pool="energy")
        for part in schedule.split({name: weights[name].numel() for name in mask.prunable})
    ]
    assert sum(cells.num_weights for cells in parts) == mask.num_kept


def test_unit_groups_that_do_not_fit_are_refused(model):
    groups = model.unit_groups()
    weights = dict(model.named_parameters())
    with pytest.raises(ConfigError, match="share the tensor blocks.0.ff1.down.weight"):
        UnitGranularity(groups=[*groups, groups[0]])
    with pytest.raises(ConfigError, match="no unit group owns a weight of the scope"):
        UnitGranularity(groups=groups).dense_mask(weights, names=("head.weight",))
    with pytest.raises(ConfigError, match="multiple of 1 or more"):
        UnitGranularity(groups=groups, ff_multiple=0)


def test_granularities_by_name(model):
    assert make_granularity("weight") == WeightGranularity()
    assert make_granularity("block:1x4") == BlockGranularity(rows=1, columns=4)
    assert make_granularity("block:4x4") == BlockGranularity(rows=4, columns=4)
    unit = make_granularity("unit", groups=model.unit_groups(), ff_multiple=4)
    assert len(unit.groups) == 8
    assert unit.multiple("ff") == 4
    for text in ("block", "block:1", "block:0x4", "block:-1x4", "2:4", ""):
        with pytest.raises(ConfigError):
            make_granularity(text)
