"""Criteria against their formulas."""

import pytest
import torch

from lottery_train.errors import ConfigError
from lottery_train.pruning import Lamp, Magnitude, Mask, Random, make_criterion


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(1)
    return {"a": torch.randn(9, 11, generator=generator), "b": 30 * torch.randn(4, 6, generator=generator)}


@pytest.fixture
def mask(weights):
    generator = torch.Generator().manual_seed(2)
    result = Mask.dense(weights)
    for name, weight in weights.items():
        result[name] = torch.rand(weight.shape, generator=generator) < 0.7
    return result


def _literal_lamp(weight, keep):
    """Score by the formula as printed: sort the surviving weights, divide each square by the sum from it upwards."""
    scores = torch.zeros(weight.shape, dtype=torch.float64)
    survivors = sorted((abs(weight[i, j].item()), i, j) for i, j in keep.nonzero().tolist())
    for u, (_, i, j) in enumerate(survivors):
        scores[i, j] = survivors[u][0] ** 2 / sum(value**2 for value, _, _ in survivors[u:])
    return scores


def test_lamp_is_the_formula_of_the_paper(weights, mask):
    scores = Lamp().scores(weights, mask)
    for name, weight in weights.items():
        # float64 sums in another order.
        torch.testing.assert_close(scores[name], _literal_lamp(weight, mask[name]), rtol=1e-12, atol=0)


def test_lamp_counts_survivors_only_and_does_not_see_scale(weights, mask):
    scores = Lamp().scores(weights, mask)
    garbage = {name: torch.where(mask[name], weight, torch.tensor(1e3)) for name, weight in weights.items()}
    doubled = {name: 2 * weight for name, weight in weights.items()}
    for name in weights:
        assert torch.equal(Lamp().scores(garbage, mask)[name], scores[name])
        assert torch.equal(Lamp().scores(doubled, mask)[name], scores[name])
        assert scores[name].max() == 1.0


def test_lamp_of_zeros_is_zero():
    weights = {"a": torch.zeros(3, 4)}
    assert torch.equal(Lamp().scores(weights, Mask.dense(weights))["a"], torch.zeros(3, 4, dtype=torch.float64))


def test_lamp_gives_equal_weights_distinct_scores():
    weights = {"a": torch.ones(2, 2)}
    assert Lamp().scores(weights, Mask.dense(weights))["a"].flatten().tolist() == [1 / 4, 1 / 3, 1 / 2, 1.0]


def test_magnitude_is_the_absolute_value(weights, mask):
    scores = Magnitude().scores(weights, mask)
    assert list(scores) == ["a", "b"]
    assert all(torch.equal(scores[name], weights[name].abs()) for name in weights)


def test_random_is_uniform_seeded_and_independent_of_weights_and_mask(weights, mask):
    scores = Random(seed=4).scores(weights, mask)
    again = Random(seed=4).scores({name: -weight for name, weight in weights.items()}, Mask.dense(weights))
    other = Random(seed=5).scores(weights, mask)
    assert all(torch.equal(scores[name], again[name]) for name in weights)
    assert not torch.equal(scores["a"], other["a"])
    large = {"a": torch.zeros(100, 100)}
    draws = Random().scores(large, Mask.dense(large))["a"]
    # Five standard errors of the mean of 10000 draws.
    assert abs(draws.mean().item() - 0.5) < 5 * 0.289 / 100


def test_criteria_score_prunable_names_only(weights):
    mask = Mask({"a": (9, 11), "b": (4, 6)}, prunable=("b",))
    for criterion in (Magnitude(), Lamp(), Random()):
        assert list(criterion.scores(weights, mask)) == ["b"]


def test_criteria_by_name():
    assert make_criterion("magnitude") == Magnitude()
    assert make_criterion("lamp") == Lamp()
    assert make_criterion("random", seed=7) == Random(seed=7)
    with pytest.raises(ConfigError, match="expected one of: lamp, magnitude, random"):
        make_criterion("movement")
