"""Prefix beam search against the enumeration of all alignments, and against torch's CTC on longer ones."""

import gc
import itertools
import tracemalloc

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.ctc import greedy_ctc
from runtime.prefix import Prefix
from runtime.tokenizer import Tokenizer
from tests.runtime.lattice import collapse, enumerate_texts, peaked_lattice, random_lattice, run_search

TOKENIZER = Tokenizer(("<blk>", "▁", "a", "b"))
LETTERS = Tokenizer(("<blk>", "▁", *"abcdefgh"))
PIECES = Tokenizer(("<blk>", "▁", "▁a", "▁b", "a", "b"))
UNLIMITED = BeamDecoder(beam=10**6, max_symbols=10**6, margin=np.inf)
CUTS = ([1], [2, 1], [5, 0, 3], [16])


def masses(search):
    """Return {ids: log-probability} of all texts in the beam."""
    return {tuple(prefix.symbols_after(0)): prefix.mass for prefix in search._kept}


@pytest.mark.parametrize("num_frames", range(7))
@pytest.mark.parametrize("seed", range(6))
def test_an_unlimited_beam_is_the_sum_over_all_alignments(seed, num_frames):
    vocab_size = 2 + seed % 3
    tokenizer = Tokenizer(TOKENIZER.symbols[:vocab_size])
    logprobs_TV = random_lattice(seed, num_frames=num_frames, vocab_size=vocab_size)
    search = run_search(UNLIMITED, logprobs_TV, tokenizer=tokenizer)
    expected = {ids: mass for ids, (mass, _) in enumerate_texts(logprobs_TV).items()}
    # float64 sums of at most 4 ** 6 terms, in another order
    assert masses(search) == pytest.approx(expected, abs=1e-9)
    assert np.logaddexp.reduce(list(masses(search).values())) == pytest.approx(0, abs=1e-5), "float32 rows sum to 1"


@pytest.mark.parametrize("seed", range(25))
def test_the_best_text_has_the_frames_of_its_best_alignment(seed):
    logprobs_TV = random_lattice(seed, num_frames=6, vocab_size=4)
    symbols = run_search(UNLIMITED, logprobs_TV, tokenizer=TOKENIZER).best()
    texts = enumerate_texts(logprobs_TV)
    assert symbols.ids == max(texts, key=lambda ids: texts[ids][0])
    assert symbols.frames == texts[symbols.ids][1]
    assert list(symbols.logprobs) == [
        float(logprobs_TV[at, id]) for at, id in zip(symbols.frames, symbols.ids, strict=True)
    ]


def test_the_most_probable_text_need_not_be_the_most_probable_alignment():
    # The textbook case: blank twice is the best alignment (0.36), but three others spell "a" (0.64).
    logprobs_TV = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    tokenizer = Tokenizer(("<blk>", "a"))
    assert greedy_ctc(logprobs_TV, blank=0).ids == ()
    search = run_search(BeamDecoder(beam=2), logprobs_TV, tokenizer=tokenizer)
    assert search.best().ids == (1,)
    assert masses(search)[(1,)] == pytest.approx(np.log(0.64), abs=1e-6)


def text_logprob(logprobs_TV, ids):
    """Return torch's natural-log probability of a text, summed over all alignments, in float64."""
    torch = pytest.importorskip("torch")
    loss = torch.nn.functional.ctc_loss(
        torch.tensor(logprobs_TV, dtype=torch.float64)[:, None],
        torch.tensor([ids], dtype=torch.long),
        torch.tensor([len(logprobs_TV)]),
        torch.tensor([len(ids)]),
        reduction="sum",
    )
    return -float(loss)


@pytest.mark.parametrize("beam", [4, 32])
@pytest.mark.parametrize("seed", range(8))
def test_a_beam_is_at_least_as_probable_as_the_best_path(seed, beam):
    # As a trained model's: mostly blank. No beam is sure of this where every symbol is as likely as any other.
    logprobs_TV = random_lattice(seed, num_frames=60, vocab_size=10, spread=3.0, blank_bonus=6.0)
    found = run_search(BeamDecoder(beam=beam), logprobs_TV, tokenizer=LETTERS)
    greedy = greedy_ctc(logprobs_TV, blank=0)
    true = text_logprob(logprobs_TV, found.best().ids)
    assert true >= text_logprob(logprobs_TV, greedy.ids) - 1e-9
    # What a beam leaves out can only make its own figure smaller.
    assert masses(found)[found.best().ids] <= true + 1e-9


@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("seed", range(4))
def test_chunks_are_the_whole_bit_for_bit(seed, sizes):
    logprobs_TV = random_lattice(seed, num_frames=80, vocab_size=10)
    whole = run_search(BeamDecoder(), logprobs_TV, tokenizer=LETTERS)
    pieces = run_search(BeamDecoder(), logprobs_TV, tokenizer=LETTERS, sizes=sizes)
    assert masses(pieces) == masses(whole)
    assert pieces.best() == whole.best()
    assert (
        pieces.num_trailing_blanks == whole.num_trailing_blanks == greedy_ctc(logprobs_TV, blank=0).num_trailing_blanks
    )


@pytest.mark.parametrize("seed", range(10))
def test_where_the_text_is_greedys_so_are_frames_and_probabilities(seed):
    rng = np.random.default_rng(seed)
    best = np.repeat(rng.integers(0, 10, 30), rng.integers(1, 4, 30))
    logprobs_TV = peaked_lattice(best, vocab_size=10, probability=0.97)
    greedy = greedy_ctc(logprobs_TV, blank=0)
    for decoder in (BeamDecoder(beam=1), BeamDecoder()):
        symbols = run_search(decoder, logprobs_TV, tokenizer=LETTERS, sizes=[16]).best(is_final=True)
        assert (symbols.ids, symbols.frames, symbols.logprobs) == (greedy.ids, greedy.frames, greedy.logprobs)


def test_the_pruning_of_symbols_keeps_the_probable_ones():
    logprobs_TV = random_lattice(3, num_frames=40, vocab_size=10, spread=4.0)
    pruned = run_search(BeamDecoder(beam=50, max_symbols=4, margin=8.0), logprobs_TV, tokenizer=LETTERS)
    full = run_search(BeamDecoder(beam=50, max_symbols=10, margin=np.inf), logprobs_TV, tokenizer=LETTERS)
    assert pruned.best() == full.best()
    # e ** -8 of the probability of each of the 40 frames can be lost, and what the other texts of the beam took
    assert masses(pruned)[pruned.best().ids] == pytest.approx(masses(full)[full.best().ids], abs=0.05)


def test_memory_and_size_of_the_numbers_do_not_grow_where_segments_end():
    logprobs_TV = random_lattice(0, num_frames=100, vocab_size=10)
    search = run_search(BeamDecoder(), logprobs_TV, tokenizer=LETTERS)

    def listen(num_segments):
        for _ in range(num_segments):
            search.accept(logprobs_TV)
            search.commit()
        gc.collect()

    listen(2)
    tracemalloc.start()
    try:
        listen(2)
        before, _ = tracemalloc.get_traced_memory()
        listen(20)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One segment of 100 frames holds some 100 kB; twenty of them 2 MB.
    assert after - before < 50_000
    assert max(abs(mass) for mass in masses(search).values()) < 1000


def test_memory_between_two_cuts_is_that_of_the_beam():
    search = run_search(BeamDecoder(), random_lattice(0, num_frames=0, vocab_size=10), tokenizer=LETTERS)
    search.accept(peaked_lattice([0] * 10, vocab_size=10))
    search.accept(random_lattice(5, num_frames=400, vocab_size=10))
    roots = {id(prefix.ancestor(0)): prefix.ancestor(0) for prefix in search._kept}
    assert len(roots) == 1
    waiting, found = list(roots.values()), 0
    while waiting:
        prefix = waiting.pop()
        found += 1
        assert prefix.children or prefix.is_kept, "a text that no kept one begins with is forgotten"
        waiting += prefix.children.values()
    assert found <= sum(prefix.depth + 1 for prefix in search._kept)


@pytest.mark.parametrize("count", [1, None])
@pytest.mark.parametrize("seed", range(12))
def test_behind_a_cut_the_texts_are_those_that_agree_with_it(seed, count):
    logprobs_TV = random_lattice(seed, num_frames=6, vocab_size=4)
    search = run_search(UNLIMITED, logprobs_TV[:4], tokenizer=TOKENIZER)
    decided = search.best(is_final=True).ids[:count]
    is_open = len(search.best().ids) > len(decided)
    search.commit(count if decided else None)
    search.accept(logprobs_TV[4:])

    def agrees(alignment):
        ids, _ = collapse(alignment[:4])
        rest = ids[len(decided) :]
        # Where something follows the decided word it is another word.
        is_word = decided[-1:] == (1,) or rest[:1] == (1,)
        return ids[: len(decided)] == decided and (not is_open or is_word)

    expected = {}
    for alignment in itertools.product(range(4), repeat=6):
        if agrees(alignment):
            logprob = sum(float(logprobs_TV[frame, symbol]) for frame, symbol in enumerate(alignment))
            expected.setdefault(collapse(alignment)[0][len(decided) :], []).append(logprob)
    expected = {ids: np.logaddexp.reduce(logprobs) for ids, logprobs in expected.items()}
    if not expected:
        # Nothing that was heard agrees, and the text begins anew.
        expected = {ids: mass for ids, (mass, _) in enumerate_texts(logprobs_TV[4:]).items()}
    # What is common to all is taken away at a cut: only differences are compared.
    top, found = max(expected.values()), masses(search)
    shift = max(found.values())
    assert {ids: mass - shift for ids, mass in found.items()} == pytest.approx(
        {ids: mass - top for ids, mass in expected.items()}, abs=1e-9
    )


def test_no_symbol_begins_before_the_cut():
    # Two symbols in frames 0 and 1; the first was decided, and was reported where another alignment had it: frame 6.
    old, new = (Prefix(None, 2, states=(), bonus=0.0, depth=depth, num_complete=depth) for depth in (2, 1))
    old.mass = old.mass_symbol = old.best_symbol = -3.0
    old.path_symbol = ((None, 0, -0.1), 1, -0.2)
    new.inherit(old, count=1, shift=-2.0, first_frame=7)
    assert new.entries() == [(7, -0.2)]
    assert (new.mass, new.mass_symbol, new.mass_blank) == (-1.0, -1.0, -np.inf)


def test_a_symbol_that_is_held_across_a_cut_is_not_said_again():
    logprobs_TV = peaked_lattice([2, 2, 2, 2, 0, 2, 0], vocab_size=4, probability=0.97)
    search = run_search(BeamDecoder(), logprobs_TV[:2], tokenizer=TOKENIZER)
    assert search.best(is_final=True).ids == (2,)
    search.commit()
    search.accept(logprobs_TV[2:4])
    assert not search.has_symbols
    search.accept(logprobs_TV[4:])
    assert search.best().ids == (2,), "behind a blank it is another one"
    assert search.best().frames == (5,)


def test_an_open_word_goes_on_behind_the_cut():
    #            ▁a       b     (▁b or b)  a
    symbols = [2, 0, 5, 0, 0, 3, 0, 4, 0]
    logprobs_TV = peaked_lattice(symbols, vocab_size=6, probability=0.6)
    search = run_search(BeamDecoder(beam=50), logprobs_TV[:7], tokenizer=PIECES)
    assert PIECES.decode(search.best().ids) == "ab b"
    assert any(ids[:3] == (2, 5, 5) for ids in masses(search)), "some text says that the word goes on"
    search.commit(search.boundary(2))
    assert all(ids and PIECES.symbols[ids[0]].startswith("▁") for ids in masses(search)), "none says so any more"
    search.accept(logprobs_TV[7:])
    assert PIECES.decode(search.best(is_final=True).ids) == "ba"


@pytest.mark.parametrize("options", [{"beam": 0}, {"max_symbols": 0}, {"margin": -1.0}, {"margin": np.nan}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match="expected at least"):
        BeamDecoder(**options)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (1, 2, 4)])
def test_a_wrong_shape_is_refused(shape):
    search = run_search(BeamDecoder(), np.zeros((0, 4), np.float32), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="expected"):
        search.accept(np.zeros(shape, np.float32))
