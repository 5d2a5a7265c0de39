"""Schedules against closed forms, and the refusals."""

import math

import pytest

from lottery_train.errors import ConfigError
from lottery_train.pruning import SCHEDULES, Constant, Decaying, Layerwise, make_schedule

# Twelve modules: eleven square projections, and an output layer wide enough to make the last third heavy.
HEAVY_TAIL = {**{f"layer{n}": 96 * 96 for n in range(11)}, "output": 96 * 651}


def test_constant_densities_are_powers():
    assert Constant(0.2).densities(10) == pytest.approx([0.8**level for level in range(11)], rel=1e-12)
    assert Constant(0.2).asymptote() == 0.0


def test_decaying_rate_starts_at_d_and_decays():
    schedule = Decaying(0.2, 0.9)
    assert [schedule.rate(level) for level in (1, 2, 3)] == pytest.approx([0.2, 0.18, 0.162], rel=1e-12)
    assert schedule.densities(3)[3] == pytest.approx(0.8 * 0.82 * 0.838, rel=1e-12)


@pytest.mark.parametrize(("rate", "factor"), [(0.2, 0.9), (0.5, 0.5), (0.9, 0.99), (0.01, 0.999)])
def test_the_asymptote_is_the_infinite_product(rate, factor):
    product = math.exp(math.fsum(math.log1p(-rate * factor**t) for t in range(50_000)))
    assert Decaying(rate, factor).asymptote() == pytest.approx(product, rel=1e-10)


def test_the_asymptote_of_the_published_schedule():
    assert round(Decaying(0.2, 0.9).asymptote(), 4) == 0.1205
    assert Layerwise(Decaying(0.2, 0.9)).asymptote() == Decaying(0.2, 0.9).asymptote()


def test_an_unreachable_target_is_refused_with_the_nearest_reachable_one():
    schedule = Decaying(0.2, 0.9)
    with pytest.raises(
        ConfigError, match=r"0\.1 is unreachable: .* approaches 12\.05% .* level 51 keeps 12\.16%"
    ) as error:
        schedule.rounds_to(0.1)
    assert "0.1216 (51 rounds)" in error.value.hint
    assert schedule.rounds_to(0.1216) == 51
    with pytest.raises(ConfigError, match="unreachable"):
        schedule.rounds_to(schedule.asymptote())


def test_rounds_to_a_reachable_target():
    assert Constant(0.2).rounds_to(1.0) == 0
    assert Constant(0.2).rounds_to(0.8) == 1
    assert Constant(0.2).rounds_to(0.8**7) == 7
    assert Constant(0.2).rounds_to(0.107) == 11
    assert Decaying(0.2, 0.9).rounds_to(0.13) < Decaying(0.2, 0.9).rounds_to(0.122)


# The paper's winning tickets keep 21.0, 16.8 and 10.7 % of the weights.
@pytest.mark.parametrize(("target", "level"), [(0.21, 7), (0.168, 8), (0.107, 10), (0.89, 1), (0.91, 0), (1.0, 0)])
def test_nearest_level_between_levels(target, level):
    assert Constant(0.2).nearest_level(target) == (level, pytest.approx(0.8**level))


@pytest.mark.parametrize("target", [0, -0.1, 1.01, math.nan])
def test_a_target_outside_the_unit_interval_is_refused(target):
    with pytest.raises(ConfigError, match="expected a fraction above 0 and at most 1"):
        Constant(0.2).rounds_to(target)


def test_a_target_that_needs_endless_rounds_is_refused():
    with pytest.raises(ConfigError, match="needs more than 1000 rounds; level 1000 keeps 90"):
        Constant(0.0001).rounds_to(0.5)


def test_budgets_round_half_to_even_as_torch_does():
    assert Constant(0.5).budgets(1, (5,)) == (2,)
    assert Constant(0.5).budgets(1, (7,)) == (4,)
    assert Constant(0.2).remaining(2, (1000,)) == (640,)


def test_the_module_split_removes_what_the_original_code_removes():
    schedule = Layerwise(Constant(0.2), split_by="modules")
    groups = schedule.split(HEAVY_TAIL)
    assert [len(names) for names in groups] == [4, 4, 4]
    sizes = [sum(HEAVY_TAIL[name] for name in names) for names in groups]
    budgets = schedule.budgets(1, sizes)
    assert budgets == tuple(round(0.2 * factor * size) for factor, size in zip((1.1, 1.0, 0.9), sizes, strict=True))
    removed = sum(budgets) / sum(sizes)
    assert f"{removed:.2%}" == "19.35%"
    assert schedule.densities(1, shares=schedule.shares(HEAVY_TAIL))[1] == pytest.approx(1 - removed, abs=1e-5)


def test_the_module_split_leaves_the_rest_to_the_last_group():
    names = {f"layer{n}": 10 for n in range(11)}
    assert [len(group) for group in Layerwise(split_by="modules").split(names)] == [3, 3, 5]


def test_the_module_split_in_closed_form():
    schedule = Layerwise(Decaying(0.2, 0.9), split_by="modules")
    shares = (0.25, 0.35, 0.4)
    expected = [
        sum(
            share * math.prod(1 - factor * 0.2 * 0.9 ** (t - 1) for t in range(1, level + 1))
            for share, factor in zip(shares, (1.1, 1.0, 0.9), strict=True)
        )
        for level in range(500)
    ]
    assert schedule.densities(499, shares=shares) == pytest.approx(expected, rel=1e-12)
    assert schedule.asymptote(shares=shares) == pytest.approx(expected[-1], rel=1e-12)
    with pytest.raises(ValueError, match="needs the groups' shares"):
        schedule.asymptote()


def test_the_parameter_split_balances_weights_and_removes_d_exactly():
    schedule = Layerwise(Decaying(0.2, 0.9))
    groups = schedule.split(HEAVY_TAIL)
    assert sum(groups, ()) == tuple(HEAVY_TAIL)
    # A third is 54624 weights; layers are whole, so six of 9216 and five of them come nearest.
    assert [len(names) for names in groups] == [6, 5, 1]
    counts = tuple(sum(HEAVY_TAIL[name] for name in names) for names in groups)
    for level in range(1, 15):
        budgets = schedule.budgets(level, counts)
        assert sum(budgets) == round(0.2 * 0.9 ** (level - 1) * sum(counts))
        rates = [budget / count for budget, count in zip(budgets, counts, strict=True)]
        # One weight in the smallest group is the rounding.
        assert rates[0] / rates[1] == pytest.approx(1.1, abs=3 / min(budgets))
        assert rates[2] / rates[1] == pytest.approx(0.9, abs=3 / min(budgets))
        counts = tuple(count - budget for count, budget in zip(counts, budgets, strict=True))


def test_the_parameter_split_needs_no_shares():
    assert Layerwise(Constant(0.2)).densities(5) == Constant(0.2).densities(5)
    assert Layerwise(Constant(0.2)).rounds_to(0.3) == 6


def test_every_group_gets_a_layer():
    assert Layerwise().split({"huge": 1000, "b": 1, "c": 1}) == (("huge",), ("b",), ("c",))
    assert Layerwise().split({"a": 1, "b": 1, "huge": 1000}) == (("a",), ("b",), ("huge",))
    for split_by in ("modules", "parameters"):
        with pytest.raises(ConfigError, match="2 prunable layers cannot be split into 3 groups"):
            Layerwise(split_by=split_by).split({"a": 1, "b": 1})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(0.0),
        lambda: Constant(1.0),
        lambda: Constant(math.nan),
        lambda: Decaying(0.2, 1.0),
        lambda: Decaying(0.2, 0.0),
        lambda: Layerwise(split_by="weights"),
        lambda: Layerwise(factors=()),
        lambda: Layerwise(factors=(1.0, -1.0)),
        lambda: Layerwise(Constant(0.95), split_by="modules"),
        lambda: Layerwise(Constant(0.9)),
        lambda: Layerwise(Layerwise()),
        lambda: make_schedule("cosine"),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_schedules_by_name():
    made = {name: make_schedule(name, rate=0.3, decay=0.8) for name in SCHEDULES}
    assert made == {
        "constant": Constant(0.3),
        "decaying": Decaying(0.3, 0.8),
        "layerwise": Layerwise(Constant(0.3)),
        "layerwise-decaying": Layerwise(Decaying(0.3, 0.8)),
        "layerwise-modules": Layerwise(Constant(0.3), split_by="modules"),
        "layerwise-modules-decaying": Layerwise(Decaying(0.3, 0.8), split_by="modules"),
    }
