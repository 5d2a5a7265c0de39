"""The fit of confidences against scipy's optimiser, and the rule of the threshold by its definition."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from export.fitting import (
    choose_threshold,
    even_weights,
    fit_logistic,
    kept_share,
    logistic_loss,
    rejected_share,
    smooth_targets,
)


def drawn(seed, *, num=400, bias=0.7, weight=-1.8):
    """Return (x, is_true) of a logistic model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.3, 1.5, num)
    return x, rng.random(num) < expit(bias + weight * x)


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_is_the_minimum_that_scipy_finds(seed):
    x, is_true = drawn(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 3.0, len(x))
    found = fit_logistic(x, is_true, weights=weights)
    targets = smooth_targets(is_true)
    oracle = minimize(logistic_loss, np.zeros(2), args=(x, targets, weights), method="BFGS", tol=1e-12)
    # BFGS stops at gradients of about 1e-6 of this loss's scale.
    assert (found.bias, found.weight) == pytest.approx(tuple(oracle.x), abs=1e-4)
    assert logistic_loss((found.bias, found.weight), x, targets, weights) <= oracle.fun + 1e-9


def test_the_loss_is_the_weighted_cross_entropy():
    x, is_true = drawn(1, num=50)
    weights = np.linspace(0.5, 2, 50)
    p = expit(0.2 - 0.4 * x)
    expected = -(weights * np.where(is_true, np.log(p), np.log1p(-p))).sum()
    assert logistic_loss((0.2, -0.4), x, is_true.astype(float), weights) == pytest.approx(expected, rel=1e-3)


def test_the_model_that_made_the_data_is_found():
    x, is_true = drawn(3, num=40_000)
    found = fit_logistic(x, is_true)
    # Four standard errors of this many draws.
    assert (found.bias, found.weight) == pytest.approx((0.7, -1.8), abs=0.08)
    assert found(0.3) == pytest.approx(expit(found.bias + 0.3 * found.weight), abs=1e-12)


@pytest.mark.parametrize(
    ("x", "is_true"),
    [
        ([-3.0, -2.0, 2.0, 3.0], [False, False, True, True]),
        ([1.0] * 20, [True] * 13 + [False] * 7),
        ([0.0, 1.0, 2.0], [True] * 3),
        ([4.0], [False]),
    ],
    ids=["separable", "constant", "one class", "one number"],
)
def test_what_has_no_unique_fit_stays_finite(x, is_true):
    found = fit_logistic(x, is_true)
    assert math.isfinite(found.bias)
    assert math.isfinite(found.weight)
    mean = sum(map(found, x)) / len(x)
    # The intercept makes the mean probability that of the smoothed targets, but for the ridge.
    assert mean == pytest.approx(smooth_targets(is_true).mean(), abs=0.02)


def test_what_cannot_be_fitted_is_refused():
    for x in ([], [math.nan, 1.0], [math.inf]):
        with pytest.raises(ValueError, match="cannot fit"):
            fit_logistic(x, [True] * len(x))


def test_every_set_weighs_the_same():
    weights = even_weights([500, 0, 20])
    assert weights[:500].sum() == pytest.approx(weights[500:].sum())
    assert weights.mean() == pytest.approx(1.0)


def test_the_threshold_is_the_middle_where_both_kinds_lie_apart():
    kept, rejected = [[0.9, 0.95, 0.99]], [[0.1, 0.2, None]]
    threshold = choose_threshold(kept, rejected)
    assert logit(threshold) == pytest.approx(0.5 * (logit(0.2) + logit(0.9)))
    assert kept_share(kept, threshold) == rejected_share(rejected, threshold) == 1


def shares_by_threshold(kept, rejected):
    """Return threshold -> (kept, rejected), by the definitions, on a fine grid."""
    shares = {}
    for value in np.linspace(0, 1, 2001):
        by_set = [np.mean(np.array(values) >= value) for values in kept]
        lost = np.mean([np.mean(np.array(values, float) >= value) for values in rejected])
        shares[value] = (min(np.mean(by_set), np.mean(np.concatenate(kept) >= value)), 1 - lost)
    return shares


@pytest.mark.parametrize("seed", range(6))
def test_no_threshold_that_keeps_enough_does_better_where_the_kinds_overlap(seed):
    rng = np.random.default_rng(seed)
    kept = [rng.beta(6, 2, size).tolist() for size in (300, 40)]
    rejected = [rng.beta(2, 3, 200).tolist(), [0.05, None]]
    threshold = choose_threshold(kept, rejected)
    good, bad = kept_share(kept, threshold), rejected_share(rejected, threshold)
    assert good >= 0.985 > bad
    assert good + bad >= max(sum(each) for each in shares_by_threshold(kept, rejected).values() if each[0] >= 0.985)
    assert threshold > 0


@pytest.mark.parametrize("seed", range(6))
def test_where_both_shares_can_be_had_it_is_the_middle_of_the_thresholds_that_have_them(seed):
    rng = np.random.default_rng(seed)
    kept = [rng.beta(30, 3, size).tolist() for size in (300, 60)]
    rejected = [rng.beta(2, 12, 200).tolist(), [0.05, 0.3, None]]
    threshold = choose_threshold(kept, rejected)
    enough = [value for value, (good, bad) in shares_by_threshold(kept, rejected).items() if min(good, bad) >= 0.985]
    # The grid's step, on the scale of the logit where it is coarsest.
    assert logit(threshold) == pytest.approx(0.5 * (logit(min(enough)) + logit(max(enough))), abs=0.01)


def test_nothing_is_rejected_where_the_others_sound_clearer():
    assert choose_threshold([[0.2, 0.3, 0.4]], [[0.9, 0.8]]) == 0


def test_silence_is_rejected_by_itself_and_kept_by_nothing():
    assert choose_threshold([[0.8, None]], [[None, 0.1]]) == pytest.approx(expit(0.5 * (logit(0.8) + logit(0.1))))
    assert rejected_share([[None, 0.9], [0.9]], 0.5) == 0.25
    assert kept_share([[None, 0.9], [0.9, 0.9]], 0.5) == 0.75
