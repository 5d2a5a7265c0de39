"""A grammar: nothing outside it is ever shown, and of what is inside the most probable is found."""

import itertools

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.errors import LotteryError
from runtime.grammar import Grammar
from runtime.tokenizer import Tokenizer
from tests.runtime.lattice import enumerate_texts, peaked_lattice, random_lattice, run_search

CHARACTERS = Tokenizer(("<blk>", "▁", *"abcd"))
PIECES = Tokenizer(("<blk>", "▁", "▁a", "▁ab", "b", "ab", "c", "▁c", "▁bc"))
LISTS = (["a"], ["ab", "b"], ["a b", "b a", "a"], ["ab c", "c ab", "abc"], ["c", "a b a", "bc"])


def is_sequence(words, phrases):
    """Whether words are phrases one after the other."""
    return not words or any(
        words[: len(phrase)] == phrase and is_sequence(words[len(phrase) :], phrases) for phrase in phrases
    )


def is_allowed(text, phrases, *, one_of):
    words, split = text.split(), [phrase.split() for phrase in phrases]
    return (not words or words in split) if one_of else is_sequence(words, split)


def read(scorer, ids):
    """Return the state behind symbols, None where the grammar ends."""
    state = scorer.start()
    for symbol in ids:
        step = scorer.step(state, symbol)
        if step is None:
            return None
        state, score = step
        assert score == 0
    return state


@pytest.mark.parametrize("one_of", [False, True])
@pytest.mark.parametrize("phrases", LISTS)
@pytest.mark.parametrize("tokenizer", [CHARACTERS, PIECES])
def test_the_automaton_accepts_the_spellings_of_phrases_and_nothing_else(tokenizer, phrases, one_of):
    scorer = Grammar(phrases, one_of=one_of).prepare(tokenizer)
    accepted = set()
    for length in range(6 if tokenizer is CHARACTERS else 5):
        for ids in itertools.product(range(1, len(tokenizer)), repeat=length):
            state = read(scorer, ids)
            text = tokenizer.decode(ids)
            if state is not None and scorer.is_complete(state):
                assert is_allowed(text, phrases, one_of=one_of), text
                accepted.add(text)
            written = "".join(tokenizer.symbols[id] for id in ids)
            # A word-start symbol that starts no word (twice, or at the end) need not be in the grammar.
            is_plain = "▁▁" not in written and not written.endswith("▁")
            if is_plain and is_allowed(text, phrases, one_of=one_of):
                assert state is not None, text
                assert scorer.is_complete(state), text
            if any(np.isneginf(scorer.limits_V[id]) for id in ids):
                assert state is None, "a symbol that no phrase holds"
    assert accepted - {""}


@pytest.mark.parametrize("one_of", [False, True])
@pytest.mark.parametrize("phrases", LISTS)
@pytest.mark.parametrize("seed", range(5))
def test_the_most_probable_text_of_the_grammar_is_found(seed, phrases, one_of):
    tokenizer = Tokenizer(("<blk>", "▁", *"abc"))
    logprobs_TV = random_lattice(seed, num_frames=6, vocab_size=5)
    # Both ways to write a text count: with a stray word start in front and without.
    allowed = {
        ids: mass
        for ids, (mass, _) in enumerate_texts(logprobs_TV).items()
        if is_allowed(tokenizer.decode(ids), phrases, one_of=one_of)
        and "▁▁" not in "".join(tokenizer.symbols[id] for id in ids)
        and not (one_of and len(ids) > 1 and ids[-1] == 1)
    }
    decoder = BeamDecoder(beam=10**6, max_symbols=10, margin=np.inf, scorers=(Grammar(phrases, one_of=one_of),))
    search = run_search(decoder, logprobs_TV, tokenizer=tokenizer)
    found = search.best(is_final=True).ids
    assert found == max(allowed, key=allowed.get)
    assert is_allowed(tokenizer.decode(search.best().ids), phrases, one_of=one_of), "partial text, too"


@pytest.mark.parametrize("phrases", LISTS)
@pytest.mark.parametrize("tokenizer", [CHARACTERS, PIECES])
@pytest.mark.parametrize("seed", range(5))
def test_no_partial_or_final_text_is_outside_whatever_is_heard(seed, tokenizer, phrases):
    logprobs_TV = random_lattice(seed, num_frames=60, vocab_size=len(tokenizer), blank_bonus=1.0)
    for one_of in (False, True):
        decoder = BeamDecoder(scorers=(Grammar(phrases, one_of=one_of),))
        search, texts = run_search(decoder, logprobs_TV[:0], tokenizer=tokenizer), set()
        for start in range(0, 60, 4):
            search.accept(logprobs_TV[start : start + 4])
            for is_final in (False, True):
                texts.add(tokenizer.decode(search.best(is_final=is_final).ids))
            if start % 20 == 16:
                search.commit()
        assert all(is_allowed(text, phrases, one_of=one_of) for text in texts), texts
        assert texts - {""}


@pytest.mark.parametrize("sizes", [[1], [4], [7, 2]])
@pytest.mark.parametrize("seed", range(3))
def test_chunks_are_the_whole(seed, sizes):
    logprobs_TV = random_lattice(seed, num_frames=60, vocab_size=6, blank_bonus=1.0)
    decoder = BeamDecoder(scorers=(Grammar(["ab", "c d", "dab"]),))
    whole = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS)
    pieces = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS, sizes=sizes)
    for is_final in (False, True):
        assert pieces.best(is_final=is_final) == whole.best(is_final=is_final)


@pytest.mark.parametrize("word", ["ab", "cd", "dad"])
def test_speech_near_a_command_is_the_command_with_the_default_beam(word):
    # Each letter sounds more like a letter of no command, and the right one is the runner-up.
    tokenizer = Tokenizer(("<blk>", "▁", *"abcdxyz"))
    ids = tokenizer.encode(word)
    frames = list(itertools.chain.from_iterable((tokenizer.symbols.index("x"), 0) for _ in ids))
    logprobs_TV = peaked_lattice(frames, vocab_size=9, probability=0.9)
    logprobs_TV[np.arange(0, len(frames), 2), ids] = np.log(0.05)
    decoder = BeamDecoder(scorers=(Grammar(["ab", "cd", "dad"], one_of=True),))
    assert tokenizer.decode(run_search(decoder, logprobs_TV, tokenizer=tokenizer).best(is_final=True).ids) == word


def test_silence_is_no_command():
    logprobs_TV = peaked_lattice([0] * 50, vocab_size=6, probability=0.99)
    for one_of in (False, True):
        decoder = BeamDecoder(scorers=(Grammar(["a", "b"], one_of=one_of),))
        search = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS)
        assert (search.best(is_final=True).ids, search.has_symbols) == ((), False)
        assert search.num_trailing_blanks == 50


def test_the_next_segment_begins_with_a_new_command():
    decoder = BeamDecoder(scorers=(Grammar(["ab", "cd"], one_of=True),))
    search = run_search(decoder, peaked_lattice([2, 3, 0, 0], vocab_size=6), tokenizer=CHARACTERS)
    assert CHARACTERS.decode(search.best(is_final=True).ids) == "ab"
    search.commit()
    assert not search.has_symbols
    search.accept(peaked_lattice([4, 5, 0, 0], vocab_size=6))
    assert CHARACTERS.decode(search.best(is_final=True).ids) == "cd"
    assert search.best().frames == (4, 5)


def test_a_cut_never_splits_a_phrase():
    # "a b" is heard twice; the cut is asked for before every symbol in turn.
    ids = CHARACTERS.encode("a b a b")
    frames = list(itertools.chain.from_iterable((id, 0) for id in ids))
    logprobs_TV = peaked_lattice(frames, vocab_size=6)
    decoder = BeamDecoder(scorers=(Grammar(["a b", "c"]),))
    search = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS)
    assert search.best().ids == tuple(ids)
    assert [search.boundary(count) for count in range(8)] == [0, 0, 0, 3, 4, 4, 4, 7]
    search.commit(4)
    assert CHARACTERS.decode(search.best().ids) == "a b"
    one = run_search(BeamDecoder(scorers=(Grammar(["a b"], one_of=True),)), logprobs_TV[:6], tokenizer=CHARACTERS)
    assert [one.boundary(count) for count in range(3)] == [0, 0, 0]


def test_a_cut_never_leaves_the_end_of_a_phrase_that_is_itself_one():
    ids = CHARACTERS.encode("cd a")
    frames = list(itertools.chain.from_iterable((id, 0) for id in ids))
    decoder = BeamDecoder(scorers=(Grammar(["cd a", "a"]),))
    search = run_search(decoder, peaked_lattice(frames, vocab_size=6), tokenizer=CHARACTERS)
    assert search.best().ids == tuple(ids)
    assert [search.boundary(count) for count in range(5)] == [0, 0, 0, 0, 4]


def test_a_phrase_outside_the_symbols_is_an_error():
    with pytest.raises(LotteryError, match="'ax': the model has no symbol with x"):
        Grammar(["ab", "ax"]).prepare(CHARACTERS)
    with pytest.raises(ValueError, match="empty"):
        Grammar([])
