"""What a search will do: targets that schedule or granularity cannot reach are refused with the nearest that they can.

The oracle of the floor is arithmetic on the widths: 1 head, 8 neurons and 8 channels stay in every group.
"""

from dataclasses import replace

import pytest

from lottery_train.config import RunConfig
from lottery_train.errors import ConfigError
from lottery_train.forecast import forecast, with_target
from tests.lottery_train.tiny import tiny_run


def unit_run(**search):
    config = tiny_run(**{"granularity": "unit", "rate": 0.25, "rewind": "init"} | search)
    return replace(config, model=replace(config.model, ff=64, heads=4, conv=32))


def kept_by_the_smallest_groups(config, *, is_dense=False):
    """Weights of linear layers and pointwise convolutions that units own."""
    model = config.model
    ff, heads, conv = (model.ff, model.heads, model.conv) if is_dense else (8, 1, 8)
    feed_forward = 2 * model.model_width * ff
    attention = 4 * model.model_width * heads * model.head_width
    convolution = (2 + 1) * model.model_width * conv
    return model.num_blocks * (2 * feed_forward + attention + convolution)


def test_the_floor_of_units_is_what_the_smallest_groups_hold():
    config = unit_run(rounds=3)
    outlook = forecast(config, vocab_size=6)
    assert outlook.num_kept[0] == kept_by_the_smallest_groups(config, is_dense=True)
    floor = kept_by_the_smallest_groups(config) / outlook.num_kept[0]
    assert outlook.floor == pytest.approx(floor)
    assert outlook.asymptote == outlook.floor
    assert len(outlook.densities) == 4
    for granularity in ("weight", "block:1x4"):
        assert forecast(unit_run(rounds=1, granularity=granularity), vocab_size=6).floor == 0
    assert forecast(unit_run(rounds=1, can_remove_groups=True), vocab_size=6).floor == 0


def test_a_schedule_that_ends_above_the_floor_keeps_its_asymptote():
    outlook = forecast(unit_run(schedule="decaying", decay=0.5), vocab_size=6)
    assert outlook.floor < outlook.asymptote
    assert outlook.asymptote == pytest.approx(0.5776, abs=1e-3)  # product of 1 - 0.25 * 0.5^t


def test_a_target_below_the_floor_names_the_nearest_level_and_density():
    config = unit_run()
    with pytest.raises(ConfigError, match="target density 0.01 is unreachable: unit granularity") as caught:
        with_target(config, density=0.01, vocab_size=6)
    words = caught.value.hint.replace("(", "").split()
    density, rounds = float(words[5]), int(words[6])
    assert "search.can_remove_groups=true" in caught.value.hint
    reachable = with_target(config, density=density, vocab_size=6)
    assert reachable.search.rounds == rounds
    assert forecast(reachable, vocab_size=6).densities[-1] <= density
    with pytest.raises(ConfigError, match=f"{rounds + 1} rounds are unreachable") as caught:
        forecast(unit_run(rounds=rounds + 1), vocab_size=6)
    assert f"--rounds {rounds})" in caught.value.hint


def test_whole_modules_may_go_below_the_floor():
    config = with_target(unit_run(can_remove_groups=True), density=0.01, vocab_size=6)
    assert forecast(config, vocab_size=6).densities[-1] <= 0.01


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("target", [0.8, 0.4, 0.25])
def test_a_target_takes_the_first_level_at_or_below_it(granularity, target):
    outlook = forecast(with_target(unit_run(granularity=granularity), density=target, vocab_size=6), vocab_size=6)
    assert outlook.densities[-1] <= target < outlook.densities[-2]


@pytest.mark.parametrize("density", [0.0, -1.0, 1.5, float("nan")])
def test_a_target_that_is_no_density_is_refused(density):
    with pytest.raises(ConfigError, match="expected a fraction above 0 and at most 1"):
        with_target(RunConfig(), density=density, vocab_size=6)


def test_a_target_below_the_asymptote_names_the_schedule():
    with pytest.raises(ConfigError, match="this schedule approaches 57.7"):
        with_target(unit_run(schedule="decaying", decay=0.5), density=0.1, vocab_size=6)
