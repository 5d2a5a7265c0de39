"""The greedy search: the collapse of whole utterances, remembered."""

import pytest

from runtime.ctc import greedy_ctc
from runtime.decoder import GreedyDecoder
from runtime.tokenizer import Tokenizer
from tests.runtime.lattice import random_lattice, run_search

TOKENIZER = Tokenizer(("<blk>", "▁", "a", "b"))


@pytest.mark.parametrize("sizes", [None, [1], [4, 0, 3]])
@pytest.mark.parametrize("seed", range(5))
def test_chunks_are_the_collapse_of_the_whole(seed, sizes):
    logprobs_TV = random_lattice(seed, num_frames=50, vocab_size=4)
    whole = greedy_ctc(logprobs_TV, blank=0)
    search = run_search(GreedyDecoder(), logprobs_TV, tokenizer=TOKENIZER, sizes=sizes)
    for symbols in (search.best(), search.best(is_final=True)):
        assert (symbols.ids, symbols.frames, symbols.logprobs) == (whole.ids, whole.frames, whole.logprobs)
    assert search.num_trailing_blanks == whole.num_trailing_blanks
    assert search.has_symbols


@pytest.mark.parametrize("cut", [0, 1, 5, None])
def test_commit_forgets_the_first_symbols_and_goes_on(cut):
    logprobs_TV = random_lattice(1, num_frames=60, vocab_size=4)
    search = run_search(GreedyDecoder(), logprobs_TV[:40], tokenizer=TOKENIZER)
    decided = search.best().ids[:cut]
    assert search.boundary(len(decided)) == len(decided)
    search.commit(cut)
    search.accept(logprobs_TV[40:])
    whole = greedy_ctc(logprobs_TV, blank=0)
    assert decided + search.best().ids == whole.ids
    assert search.best().frames == whole.frames[len(decided) :]


def test_nothing_heard_is_nothing():
    search = run_search(GreedyDecoder(), random_lattice(0, num_frames=0, vocab_size=4), tokenizer=TOKENIZER)
    assert (search.best().ids, search.has_symbols, search.num_trailing_blanks) == ((), False, 0)
