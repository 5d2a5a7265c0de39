"""Word errors, and whether one set of transcripts has more of them than another of the same recordings."""

from dataclasses import dataclass

import numpy as np

_NUM_RESAMPLES = 2000


def word_errors(reference, hypothesis):
    """Return the least number of substituted, deleted and inserted words that turn one text into the other.

    Source: Levenshtein 1966; Wagner & Fischer 1974.
    """
    said, heard = reference.split(), hypothesis.split()
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(said, start=1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, start=1):
            cheapest = min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other))
            diagonal, costs[column] = costs[column], cheapest
    return costs[-1]


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Two word error rates on the same recordings, as fractions.

    Args:
        first_wer, second_wer: errors over spoken words.
        difference: second less first.
        interval: 95 % of the difference, by bootstrap over recordings: both rates are drawn from the same ones.
    """

    first_wer: float
    second_wer: float
    difference: float
    interval: tuple[float, float]


def paired_difference(first, second, *, references, seed=0):
    """Compare two lists of transcripts with what was said.

    Args:
        first, second: texts, one a recording.
        references: what was said; at least one word in all.
        seed: of the bootstrap.
    Returns:
        PairedDifference.
    Raises:
        ValueError: the lists differ in length, or nothing was said.
    """
    num_words = np.array([len(text.split()) for text in references])
    if not num_words.sum():
        raise ValueError("the references hold no word")
    first_errors, second_errors = (
        np.array([word_errors(said, text) for said, text in zip(references, texts, strict=True)])
        for texts in (first, second)
    )
    difference, low, high = bootstrap(second_errors - first_errors, num_words, seed=seed)
    return PairedDifference(
        first_wer=float(first_errors.sum() / num_words.sum()),
        second_wer=float(second_errors.sum() / num_words.sum()),
        difference=difference,
        interval=(low, high),
    )


def bootstrap(errors, num_words, *, seed=0):
    """Return (rate, low, high): errors over words, and the 95 % percentile interval by bootstrap over recordings.

    Args:
        errors: int (N,), of each recording; may be the difference of two models' errors.
        num_words: int (N,), what was said; at least one word in all.
        seed: of the draws.
    Source: Bisani & Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
    """
    draws = np.random.default_rng(seed).integers(len(errors), size=(_NUM_RESAMPLES, len(errors)))
    drawn_errors, drawn_words = errors[draws].sum(axis=1), num_words[draws].sum(axis=1)
    has_words = drawn_words > 0
    low, high = np.quantile(drawn_errors[has_words] / drawn_words[has_words], [0.025, 0.975])
    return float(errors.sum() / num_words.sum()), float(low), float(high)
