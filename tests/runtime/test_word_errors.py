"""Word errors against jiwer, and the paired interval against cases whose answer is known."""

import jiwer
import numpy as np
import pytest

from runtime.word_errors import paired_difference, word_errors


@pytest.mark.parametrize("seed", range(50))
def test_errors_are_those_that_jiwer_counts(seed):
    rng = np.random.default_rng(seed)
    said, heard = (" ".join(rng.choice(list("abcd"), rng.integers(low, 12))) for low in (1, 0))
    counted = jiwer.process_words(said, heard)
    assert word_errors(said, heard) == counted.substitutions + counted.deletions + counted.insertions


def test_nothing_said():
    assert word_errors("", "a b") == 2
    assert word_errors("", "") == 0


def test_rates_are_those_of_jiwer_and_equal_texts_differ_by_nothing():
    references = ["a b c", "d e", "f"]
    texts = ["a x c", "d e e", ""]
    found = paired_difference(texts, texts, references=references)
    assert found.first_wer == found.second_wer == pytest.approx(jiwer.wer(references, texts))
    assert (found.difference, found.interval) == (0, (0, 0))


def test_pairing_makes_a_constant_difference_certain():
    """One error more in every recording of four words: 25 % whatever is drawn, although the errors themselves vary."""
    rng = np.random.default_rng(0)
    references = ["a b c d"] * 50
    num_wrong = rng.integers(0, 4, 50)
    worse = [" ".join(["x"] * (count + 1) + ["a", "b", "c", "d"][count + 1 :]) for count in num_wrong]
    better = [" ".join(["x"] * count + ["a", "b", "c", "d"][count:]) for count in num_wrong]
    found = paired_difference(better, worse, references=references)
    assert found.difference == pytest.approx(0.25)
    assert found.interval == pytest.approx((0.25, 0.25))


def test_the_interval_is_that_of_the_mean_difference():
    """Against the normal approximation, whose own error at 400 recordings is below a tenth of the width."""
    rng = np.random.default_rng(1)
    references = ["a b c d"] * 400
    is_wrong = rng.random(400) < 0.3
    wrong = ["x b c d" if each else "a b c d" for each in is_wrong]
    found = paired_difference(references, wrong, references=references)
    half = 1.96 * is_wrong.std() / 4 / np.sqrt(400)
    assert found.interval[0] == pytest.approx(found.difference - half, abs=0.2 * half)
    assert found.interval[1] == pytest.approx(found.difference + half, abs=0.2 * half)


def test_lists_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        paired_difference(["a"], ["a", "b"], references=["a", "b"])
    with pytest.raises(ValueError, match="no word"):
        paired_difference([""], [""], references=[""])
