"""Small grids of log-probabilities, and every text they can be, by enumerating all alignments."""

import itertools

import numpy as np


def random_lattice(seed, *, num_frames, vocab_size, spread=2.0, blank_bonus=0.0):
    """Return float32 (T, V) natural-log probabilities; a larger spread makes them more peaked."""
    logits = np.random.default_rng(seed).normal(size=(num_frames, vocab_size)) * spread
    logits[:, 0] += blank_bonus
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def peaked_lattice(symbols, *, vocab_size, probability=0.9):
    """Return float32 (T, V) in which each frame has one probable symbol and the others share the rest."""
    rest = (1 - probability) / (vocab_size - 1)
    rows = np.full((len(symbols), vocab_size), rest)
    rows[np.arange(len(symbols)), symbols] = probability
    return np.log(rows).astype(np.float32)


def collapse(alignment, *, blank=0):
    """Return (ids, first frames) of an alignment, by the definition: equal neighbours once, no blanks."""
    runs = itertools.groupby(enumerate(alignment), key=lambda pair: pair[1])
    kept = [(symbol, next(run)[0]) for symbol, run in runs if symbol != blank]
    return tuple(symbol for symbol, _ in kept), tuple(frame for _, frame in kept)


def enumerate_texts(logprobs_TV, *, blank=0):
    """Return {ids: (log-probability, frames of its best alignment)} over all V ** T alignments."""
    masses, best = {}, {}
    rows = logprobs_TV.astype(np.float64)
    for alignment in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        ids, frames = collapse(alignment, blank=blank)
        logprob = sum(rows[frame, symbol] for frame, symbol in enumerate(alignment))
        masses.setdefault(ids, []).append(logprob)
        best[ids] = max(best.get(ids, (-np.inf, ())), (logprob, frames))
    return {ids: (np.logaddexp.reduce(logprobs), best[ids][1]) for ids, logprobs in masses.items()}


def run_search(decoder, logprobs_TV, *, tokenizer, sizes=None):
    """Return a search that has heard the frames, in pieces whose sizes repeat; None: in one."""
    search = decoder.prepare(tokenizer, blank=tokenizer.blank)()
    start, turn = 0, 0
    while start < len(logprobs_TV):
        size = sizes[turn % len(sizes)] if sizes else len(logprobs_TV)
        search.accept(logprobs_TV[start : start + size])
        start, turn = start + size, turn + 1
    return search
