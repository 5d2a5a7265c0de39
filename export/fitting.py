"""Fitting of confidences: logistic functions, and the threshold below which an utterance is rejected. numpy alone."""

import math

import numpy as np

from runtime.confidence import MAX_COEFFICIENT, Logistic

# Shares that a threshold should keep of the utterances that the recogniser is for, and reject of the others.
MIN_KEPT = 0.985
MIN_REJECTED = 0.985
_NUM_STEPS = 100
# Keeps the fit finite where a line separates the classes, or where x takes one value only.
_RIDGE = 1e-4


def even_weights(sizes):
    """Return float64 (sum(sizes),): weights with which every set counts the same, whatever its size; mean 1."""
    sizes = [size for size in sizes if size]
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes]) if sizes else np.zeros(0)
    return weights * len(weights) / max(weights.sum(), 1e-300)


def logistic_loss(parameters, x, targets, weights):
    """Return the loss that fit_logistic minimises, at (bias, weight): weighted cross entropy in nats, and a ridge."""
    bias, weight = parameters
    z = bias + weight * np.asarray(x, np.float64)
    return float((weights * (np.logaddexp(0, z) - targets * z)).sum() + 0.5 * _RIDGE * (bias**2 + weight**2))


def smooth_targets(is_true):
    """Return float64 (n,): the targets of Platt 1999, sec. 2.2: a little inside 0 and 1, by the size of each class."""
    is_true = np.asarray(is_true, bool)
    num_true, num_false = int(is_true.sum()), int((~is_true).sum())
    return np.where(is_true, (num_true + 1) / (num_true + 2), 1 / (num_false + 2))


def fit_logistic(x, is_true, *, weights=None):
    """Fit the probability that something is true, given a number.

    Args:
        x: float (n,), n >= 1.
        is_true: bool (n,).
        weights: float (n,), above 0; None counts all the same.
    Returns:
        Logistic, within ±MAX_COEFFICIENT.
    Raises:
        ValueError: nothing to fit, or not finite.
    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Newton's method with step halving, as Lin,
        Lin, Weng 2007, "A note on Platt's probabilistic outputs".
    """
    x, targets = np.asarray(x, np.float64), smooth_targets(is_true)
    weights = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f"cannot fit {len(x)} numbers: expected 1 or more, all finite")
    design = np.stack([np.ones(len(x)), x], axis=1)
    parameters = np.zeros(2)
    loss = logistic_loss(parameters, x, targets, weights)
    for _ in range(_NUM_STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (design @ parameters)))
        gradient = design.T @ (weights * (p - targets)) + _RIDGE * parameters
        hessian = design.T @ (design * (weights * p * (1 - p))[:, None]) + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10 and logistic_loss(parameters - size * step, x, targets, weights) > loss:
            size /= 2
        parameters = parameters - size * step
        before, loss = loss, logistic_loss(parameters, x, targets, weights)
        if before - loss <= 1e-12 * max(1.0, abs(before)):
            break
    bias, weight = np.clip(parameters, -MAX_COEFFICIENT, MAX_COEFFICIENT)
    return Logistic(bias=float(bias), weight=float(weight))


def kept_share(sets, threshold):
    """Return the share of utterances at or above a threshold: over all, or as a mean of the sets, whichever is less.

    Args:
        sets: confidences, a list for each set; None stands for an utterance without words, which is not kept.
    """
    shares = [_share(values, threshold) for values in sets if len(values)]
    everything = [value for values in sets for value in values]
    return min(_share(everything, threshold), sum(shares) / len(shares)) if shares else 1.0


def rejected_share(sets, threshold):
    """Return the share of utterances below a threshold or without words, as a mean of the sets."""
    shares = [1 - _share(values, threshold) for values in sets if len(values)]
    return sum(shares) / len(shares) if shares else 1.0


def choose_threshold(kept, rejected, *, min_kept=MIN_KEPT, min_rejected=MIN_REJECTED):
    """Choose the confidence below which an utterance is rejected.

    The middle, on the scale of the logit, of the thresholds that keep `min_kept` of the utterances with words and
    reject `min_rejected` of the others. Where there is none, or where nothing needs to be rejected for that: of the
    thresholds that keep as many, the one with the least sum of the share it loses and the share it lets through, again
    the middle of those that do equally well.

    Args:
        kept, rejected: confidences of utterances that the recogniser is for, and of others; see kept_share. Of the
            first, those without words are left out: no threshold can keep them.
        min_kept, min_rejected: shares, 0 to 1.
    Returns:
        float, 0 to 1; 0 where nothing should be rejected.
    """
    worded = [[value for value in values if value is not None] for values in kept]
    values = sorted({value for sets in (worded, rejected) for each in sets for value in each if value is not None})
    # Every threshold above one value and up to the next does the same.
    steps = [(0.0, 0.0), *zip([0.0, *values], values, strict=False)]
    steps = [(low, high) for low, high in steps if kept_share(worded, high) >= min_kept]
    enough = [(low, high) for low, high in steps if rejected_share(rejected, high) >= min_rejected]
    if enough and enough[0][0] > 0:
        low, high = enough[0][0], enough[-1][1]
    else:
        gains = [kept_share(worded, high) + rejected_share(rejected, high) for _, high in steps]
        # Shares are sums of floats: equal ones differ in the last bits.
        best = [step for step, gain in zip(steps, gains, strict=True) if gain >= max(gains) - 1e-9]
        low, high = max(best, key=lambda step: (step[0] > 0, _logit(step[1]) - _logit(step[0])))
    return 0.0 if low == 0 else _sigmoid(0.5 * (_logit(low) + _logit(high)))


def _share(values, threshold):
    return sum(value is not None and value >= threshold for value in values) / len(values)


def _logit(value):
    value = min(max(value, 1e-6), 1 - 1e-6)
    return math.log(value / (1 - value))


def _sigmoid(z):
    return 1 / (1 + math.exp(-z))
