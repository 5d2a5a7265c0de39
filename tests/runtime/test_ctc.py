"""The CTC collapse against the definition: group equal neighbours, drop blanks."""

import itertools

import numpy as np
import pytest

from runtime.ctc import greedy_ctc


def random_logprobs(seed, *, num_frames, vocab_size):
    """Return float32 (T, V) whose best symbols repeat often, so that runs and blanks of every kind occur."""
    rng = np.random.default_rng(seed)
    best = np.repeat(rng.integers(0, vocab_size, num_frames), rng.integers(1, 4, num_frames))[:num_frames]
    logits = rng.normal(size=(num_frames, vocab_size))
    logits[np.arange(num_frames), best] += 8
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def brute_force(logprobs_TV, *, blank):
    """Return (ids, first frames) by the textbook definition."""
    runs = itertools.groupby(enumerate(logprobs_TV.argmax(axis=1).tolist()), key=lambda pair: pair[1])
    kept = [(symbol, next(run)[0]) for symbol, run in runs if symbol != blank]
    return [symbol for symbol, _ in kept], [frame for _, frame in kept]


@pytest.mark.parametrize("blank", [0, 2, 4])
@pytest.mark.parametrize("seed", range(20))
def test_collapse_equals_the_definition(seed, blank):
    logprobs_TV = random_logprobs(seed, num_frames=40, vocab_size=5)
    collapse = greedy_ctc(logprobs_TV, blank=blank)
    ids, frames = brute_force(logprobs_TV, blank=blank)
    assert list(collapse.ids) == ids
    assert list(collapse.frames) == frames
    assert list(collapse.logprobs) == [float(logprobs_TV[frame].max()) for frame in frames]


@pytest.mark.parametrize("seed", range(5))
def test_every_split_point_gives_the_same_symbols(seed):
    logprobs_TV = random_logprobs(seed, num_frames=30, vocab_size=4)
    whole = greedy_ctc(logprobs_TV, blank=0)
    for split in range(len(logprobs_TV) + 1):
        head = greedy_ctc(logprobs_TV[:split], blank=0)
        tail = greedy_ctc(logprobs_TV[split:], blank=0, last=head.last)
        assert head.ids + tail.ids == whole.ids, split
        assert head.frames + tuple(split + frame for frame in tail.frames) == whole.frames, split
        assert head.logprobs + tail.logprobs == whole.logprobs, split
        assert tail.last == whole.last, split


def test_a_symbol_that_repeats_across_a_blank_is_two_symbols():
    logprobs_TV = np.log(np.eye(3, dtype=np.float32)[[1, 1, 0, 1, 2, 2, 1]] + 1e-6)
    assert greedy_ctc(logprobs_TV, blank=0).ids == (1, 1, 2, 1)


@pytest.mark.parametrize(
    ("best", "trailing"), [([1, 0, 0], 2), ([0, 0, 0], 3), ([0, 0, 1], 0), ([1], 0), ([0], 1), ([0, 1, 0], 1)]
)
def test_trailing_blanks_are_counted(best, trailing):
    assert greedy_ctc(np.eye(2)[best], blank=0).num_trailing_blanks == trailing


def test_an_empty_chunk_changes_nothing():
    collapse = greedy_ctc(np.zeros((0, 3), np.float32), blank=0, last=2)
    assert (collapse.ids, collapse.last, collapse.num_trailing_blanks) == ((), 2, 0)


@pytest.mark.parametrize(("shape", "blank"), [((3,), 0), ((2, 3, 4), 0), ((5, 3), 3), ((5, 3), -1)])
def test_wrong_shapes_and_blanks_are_refused(shape, blank):
    with pytest.raises(ValueError, match="expected"):
        greedy_ctc(np.zeros(shape, np.float32), blank=blank)
