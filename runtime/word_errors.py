"""Word errors, and whether one set of transcripts has more of them than another of the same recordings."""

from dataclasses import dataclass

import numpy as np

_NUM_RESAMPLES = 10_000


def word_errors(reference, hypothesis):
    """Return the least number of substituted, deleted and inserted words that turn one text into the other.

    Source: Levenshtein 1966; Wagner & Fischer 1974.
    """
    said, heard = reference.split(), hypothesis.split()
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(said, start=1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, start=1):
            diagonal, costs[column] = costs[column], min(
                costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other)
            )
    return costs[-1]


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Two word error rates on the same recordings, as fractions.

    Args:
        first_wer, second_wer: errors over spoken words.
        difference: first less second.
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
    Source: Bisani & Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
    """
    num_words = np.array([len(text.split()) for text in references])
    if not num_words.sum():
        raise ValueError("the references hold no word")
    errors = np.array(
        [
            [word_errors(said, text) for said, text in zip(references, texts, strict=True)]
            for texts in (first, second)
        ]
    )
    first_wer, second_wer = (errors.sum(axis=1) / num_words.sum()).tolist()
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(num_words), (_NUM_RESAMPLES, len(num_words)))
    words = num_words[drawn].sum(axis=1)
    differences = (errors[0] - errors[1])[drawn].sum(axis=1)[words > 0] / words[words > 0]
    low, high = np.quantile(differences, [0.025, 0.975]).tolist()
    return PairedDifference(
        first_wer=first_wer, second_wer=second_wer, difference=first_wer - second_wer, interval=(low, high)
    )
