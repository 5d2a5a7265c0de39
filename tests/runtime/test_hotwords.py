"""Hotwords against their definition: every place where one stands adds its boost a letter, and nothing else does."""

import itertools

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.errors import LotteryError
from runtime.hotwords import DEFAULT_BOOST, Hotword, Hotwords, read_hotwords
from runtime.tokenizer import Tokenizer
from tests.runtime.lattice import enumerate_texts, peaked_lattice, random_lattice, run_search

CHARACTERS = Tokenizer(("<blk>", "▁", *"abcd"))
PIECES = Tokenizer(("<blk>", "▁", "▁a", "▁ab", "b", "ab", "c", "▁c", "▁bc"))
LISTS = (
    ["a"],
    ["ab:2", "b:-1.5"],
    ["a b:1", "b a:0.5", "a:0.25"],
    ["ab c:1", "c ab:1", "abc:2", "b"],
    ["a b a:1", "b:3"],
)


def bonus(text, hotwords):
    """Return what a text gets, counted place by place."""
    words, total = text.split(), 0.0
    for hotword in {each.text: each for each in map(Hotword.parse, hotwords)}.values():
        phrase = hotword.text.split()
        places = sum(words[at : at + len(phrase)] == phrase for at in range(len(words)))
        total += places * hotword.boost * len("".join(phrase))
    return total


def read(scorer, ids):
    """Return (state, score) behind symbols."""
    state, score = scorer.start(), 0.0
    for symbol in ids:
        state, added = scorer.step(state, symbol)
        score += added
    return state, score


@pytest.mark.parametrize("hotwords", LISTS)
@pytest.mark.parametrize("tokenizer", [CHARACTERS, PIECES])
def test_every_text_gets_what_its_places_count(tokenizer, hotwords):
    scorer = Hotwords(hotwords).prepare(tokenizer)
    for length in range(5):
        for ids in itertools.product(range(1, len(tokenizer)), repeat=length):
            state, score = read(scorer, ids)
            # float64 sums in another order
            assert score + scorer.finish(state) == pytest.approx(bonus(tokenizer.decode(ids), hotwords), abs=1e-9), ids


def test_an_unfinished_phrase_has_credit_that_is_taken_back():
    scorer = Hotwords(["abc:2"]).prepare(CHARACTERS)
    scores = [read(scorer, CHARACTERS.encode(text))[1] for text in ("a", "ab", "abc", "abd", "ab a", "b", "bab")]
    assert scores == [2, 4, 6, 0, 2, 0, 0]
    state, score = read(scorer, CHARACTERS.encode("ab"))
    assert score + scorer.finish(state) == 0


def test_the_rest_of_a_failed_phrase_may_begin_another():
    scorer = Hotwords(["a b c:1", "b d:3"]).prepare(CHARACTERS)
    assert read(scorer, CHARACTERS.encode("a b"))[1] == 2 + 3, "both are being said"
    state, score = read(scorer, CHARACTERS.encode("a b d"))
    assert score == score + scorer.finish(state) == 6


@pytest.mark.parametrize("hotwords", LISTS)
@pytest.mark.parametrize("seed", range(4))
def test_an_unlimited_beam_finds_the_best_sum(seed, hotwords):
    tokenizer = Tokenizer(("<blk>", "▁", *"abc"))
    logprobs_TV = random_lattice(seed, num_frames=5, vocab_size=5)
    expected = {
        ids: mass + bonus(tokenizer.decode(ids), hotwords) for ids, (mass, _) in enumerate_texts(logprobs_TV).items()
    }
    decoder = BeamDecoder(beam=10**6, max_symbols=10, margin=np.inf, scorers=(Hotwords(hotwords),))
    search = run_search(decoder, logprobs_TV, tokenizer=tokenizer)
    best = search.best(is_final=True).ids
    assert expected[best] == pytest.approx(max(expected.values()), abs=1e-9)


@pytest.mark.parametrize("text", ["cab", "a cab", "cab a"])
def test_a_boost_turns_a_near_miss_into_the_hotword_and_leaves_the_rest(text):
    # "b" is a little less probable than "d" wherever it is said.
    ids = CHARACTERS.encode(text)
    heard = [CHARACTERS.symbols.index("d") if CHARACTERS.symbols[id] == "b" else id for id in ids]
    frames = list(itertools.chain.from_iterable((id, 0) for id in heard))
    logprobs_TV = peaked_lattice(frames, vocab_size=6, probability=0.8)
    for at, id in enumerate(ids):
        if heard[at] != id:
            logprobs_TV[2 * at, [id, heard[at]]] = np.log([0.35, 0.55])
    plain = run_search(BeamDecoder(), logprobs_TV, tokenizer=CHARACTERS).best(is_final=True)
    assert CHARACTERS.decode(plain.ids) == text.replace("b", "d")
    decoder = BeamDecoder(scorers=(Hotwords(["cab"]),))
    for sizes in (None, [1], [3, 2]):
        search = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS, sizes=sizes)
        assert CHARACTERS.decode(search.best(is_final=True).ids) == text


def test_a_favoured_symbol_is_tried_though_it_is_improbable():
    # 12 nats below the best symbol, beyond the margin; the phrase adds 3 * 6.
    logprobs_TV = np.full((3, 6), -14.0, np.float32)
    logprobs_TV[[0, 1, 2], [2, 5, 4]] = -1e-5
    logprobs_TV[1, 3] = -12.0
    assert run_search(BeamDecoder(), logprobs_TV, tokenizer=CHARACTERS).best().ids == (2, 5, 4)
    decoder = BeamDecoder(scorers=(Hotwords([Hotword("abc", 6.0)]),))
    assert run_search(decoder, logprobs_TV, tokenizer=CHARACTERS).best(is_final=True).ids == (2, 3, 4)


def test_a_phrase_may_span_a_cut_between_words():
    decoder = BeamDecoder(scorers=(Hotwords(["ab cd:3"]),))
    ids = CHARACTERS.encode("ab cd")
    frames = list(itertools.chain.from_iterable((id, 0) for id in ids))
    logprobs_TV = peaked_lattice(frames, vocab_size=6, probability=0.8)
    # The last letter sounds like "c", a little.
    logprobs_TV[8] = np.log([0.01, 0.01, 0.01, 0.01, 0.8, 0.16])
    logprobs_TV[7] = np.log([0.96, 0.008, 0.008, 0.008, 0.008, 0.008])
    search = run_search(decoder, logprobs_TV[:7], tokenizer=CHARACTERS)
    assert CHARACTERS.decode(search.best().ids) == "ab c"
    search.commit(search.boundary(3))
    search.accept(logprobs_TV[7:])
    assert CHARACTERS.decode(search.best(is_final=True).ids) == "cd"
    alone = run_search(decoder, logprobs_TV[6:], tokenizer=CHARACTERS)
    assert CHARACTERS.decode(alone.best(is_final=True).ids) == "cc", "without the words before the cut"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rubout", Hotword("rubout", DEFAULT_BOOST)),
        ("new york:2", Hotword("new york", 2.0)),
        ("new york :-1.5", Hotword("new york", -1.5)),
        ("a:b", Hotword("a:b", DEFAULT_BOOST)),
        ("10:30:1", Hotword("10:30", 1.0)),
    ],
)
def test_text_and_boost(text, expected):
    assert Hotword.parse(text) == expected


@pytest.mark.parametrize("text", ["", "  ", ":2", "a:21", "a:inf", "a:-1e9"])
def test_what_is_no_hotword_is_refused(text):
    with pytest.raises(ValueError, match="hotword"):
        Hotword.parse(text)


def test_a_file_and_its_faults(tmp_path):
    path = tmp_path / "hotwords.txt"
    path.write_text("# names\nab\nc d:3\n")
    assert read_hotwords(path) == [Hotword("ab"), Hotword("c d", 3.0)]
    path.write_text("ab\nc:99\n")
    with pytest.raises(LotteryError, match=r"hotwords\.txt: boost of hotword 'c' is 99\.0"):
        read_hotwords(path)


def test_a_hotword_outside_the_symbols_is_an_error():
    with pytest.raises(LotteryError, match="'axe': the model has no symbol with e x"):
        Hotwords(["axe"]).prepare(CHARACTERS)
    with pytest.raises(ValueError, match="empty"):
        Hotwords([])
