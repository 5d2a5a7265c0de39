"""The language model against the library's own score of whole sentences, and in the beam against enumeration."""

import itertools
import math
import sys

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.errors import LotteryError, MissingExtraError
from runtime.language_model import LanguageModel
from runtime.tokenizer import Tokenizer
from tests.runtime.lattice import enumerate_texts, peaked_lattice, random_lattice, run_search

CHARACTERS = Tokenizer(("<blk>", "▁", *"abcd"))
PIECES = Tokenizer(("<blk>", "▁", "▁a", "▁ab", "b", "c", "▁c"))
NATURAL = math.log(10)
ARPA = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-1.5\t<unk>\t0
-99\t<s>\t-0.3
-0.8\t</s>\t0
-0.7\ta\t-0.2
-0.9\tab\t-0.25
-1.1\tc\t-0.1

\\2-grams:
-0.2\t<s> a\t-0.1
-0.4\ta ab\t-0.15
-0.3\tab </s>
-0.6\tc a\t0
-0.5\ta c\t-0.2

\\3-grams:
-0.1\t<s> a ab
-0.25\ta c a

\\end\\
"""


@pytest.fixture(scope="module")
def kenlm():
    return pytest.importorskip("kenlm", reason="the package of the extra `lm` is not installed")


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "tiny.arpa"
    path.write_text(ARPA)
    return path


@pytest.fixture
def library(kenlm, arpa, capfd):
    config = kenlm.Config()
    config.show_progress = False
    return kenlm.Model(str(arpa), config)


def read(scorer, ids):
    state, score = scorer.start(), 0.0
    for symbol in ids:
        state, added = scorer.step(state, symbol)
        score += added
    return state, score


@pytest.mark.parametrize(("weight", "word_bonus"), [(1.0, 0.0), (0.5, 1.5), (0.0, -2.0)])
@pytest.mark.parametrize("tokenizer", [CHARACTERS, PIECES])
def test_a_sentence_has_the_librarys_score(library, arpa, tokenizer, weight, word_bonus):
    scorer = LanguageModel(arpa, weight=weight, word_bonus=word_bonus).prepare(tokenizer)
    for length in range(6):
        for ids in itertools.islice(
            itertools.product(range(1, len(tokenizer)), repeat=length), 0, None, 1 + 3**length // 9
        ):
            text = tokenizer.decode(ids)
            state, score = read(scorer, ids)
            expected = weight * NATURAL * library.score(text, bos=True, eos=True) + word_bonus * len(text.split())
            # The library adds float32; a sentence here is worth at most some 20.
            assert score + scorer.finish(state) == pytest.approx(expected, abs=1e-4), text


def test_words_are_scored_where_they_end(library, arpa):
    scorer = LanguageModel(arpa, weight=1.0, word_bonus=0.0).prepare(CHARACTERS)
    assert [read(scorer, CHARACTERS.encode(text))[1] for text in ("", "a", "ab")] == [0, 0, 0]
    ended = read(scorer, [*CHARACTERS.encode("a"), 1])[1]
    assert ended == pytest.approx(NATURAL * library.score("a", bos=True, eos=False), abs=1e-6)
    assert read(scorer, CHARACTERS.encode("a ab"))[1] == ended, "a word that goes on is not yet one"


@pytest.mark.parametrize("seed", range(8))
def test_an_unlimited_beam_finds_the_best_sum(library, arpa, seed):
    tokenizer = Tokenizer(("<blk>", "▁", *"abc"))
    logprobs_TV = random_lattice(seed, num_frames=6, vocab_size=5)
    expected = {}
    for ids, (mass, _) in enumerate_texts(logprobs_TV).items():
        text = tokenizer.decode(ids)
        expected[ids] = mass + 0.7 * NATURAL * library.score(text) + 0.9 * len(text.split())
    model = LanguageModel(arpa, weight=0.7, word_bonus=0.9)
    decoder = BeamDecoder(beam=10**6, max_symbols=10, margin=np.inf, scorers=(model,))
    for sizes in (None, [1]):
        found = run_search(decoder, logprobs_TV, tokenizer=tokenizer, sizes=sizes).best(is_final=True).ids
        assert expected[found] == pytest.approx(max(expected.values()), abs=1e-4)


def test_the_model_decides_where_the_sound_does_not(arpa, kenlm):
    # "a ab", of which the last letter sounds a little more like "d".
    frames = list(itertools.chain.from_iterable((id, 0) for id in CHARACTERS.encode("a ab")))
    logprobs_TV = peaked_lattice(frames, vocab_size=6)
    logprobs_TV[6, 3], logprobs_TV[6, 5] = np.log([0.4, 0.5])
    plain = run_search(BeamDecoder(), logprobs_TV, tokenizer=CHARACTERS).best(is_final=True)
    assert CHARACTERS.decode(plain.ids) == "a ad"
    decoder = BeamDecoder(scorers=(LanguageModel(arpa),))
    assert CHARACTERS.decode(run_search(decoder, logprobs_TV, tokenizer=CHARACTERS).best(is_final=True).ids) == "a ab"


def test_a_sentence_goes_on_behind_a_cut_between_words_and_ends_at_an_endpoint(arpa, library):
    frames = list(itertools.chain.from_iterable((id, 0) for id in CHARACTERS.encode("a ab")))
    logprobs_TV = peaked_lattice(frames, vocab_size=6, probability=0.99)
    decoder = BeamDecoder(scorers=(LanguageModel(arpa, weight=1.0, word_bonus=0.0),))
    search = run_search(decoder, logprobs_TV, tokenizer=CHARACTERS)
    search.commit(search.boundary(2))
    (best,) = (prefix for prefix in search._kept if prefix.symbols_after(0) == CHARACTERS.encode("ab"))
    spoken = search._final_score(best) - best.score
    expected = library.score("a ab") - library.score("a", eos=False)
    assert spoken == pytest.approx(NATURAL * expected, abs=1e-5), "ab after <s> a"
    search.commit()
    search.accept(peaked_lattice([0, 2, 0], vocab_size=6, probability=0.99))
    (best,) = (prefix for prefix in search._kept if prefix.symbols_after(0) == CHARACTERS.encode("a"))
    assert search._final_score(best) - best.score == pytest.approx(NATURAL * library.score("a"), abs=1e-5)


def test_a_missing_extra_is_answered_with_the_pip_line(arpa, monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(MissingExtraError, match="'kenlm'") as caught:
        LanguageModel(arpa).prepare(CHARACTERS)
    assert caught.value.hint == 'pip install "lottery-asr[lm]"'


@pytest.mark.parametrize("content", [None, "", "hello\n", ARPA[:200], b"\xe9t\xe9\n" * 9])
def test_what_is_no_language_model_is_named(kenlm, tmp_path, content):
    path = tmp_path / "bad.arpa"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LotteryError, match=r"bad\.arpa(:\d+)?: (no such file|not a language model: )") as caught:
        LanguageModel(path).prepare(CHARACTERS)
    assert caught.value.hint
    assert "threw" not in str(caught.value), "C++ is not what a user wants to read"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ARPA.replace("c\t-0.1", "caf\xe9\t-0.1").encode("latin-1"), r"bad\.arpa:12: not UTF-8 text: .* \(0xe9\)"),
        (ARPA.replace("-0.4\ta ab", "-0.4\ta none").encode(), r"bad\.arpa:16: not a language model: "),
    ],
)
def test_the_line_at_fault_is_named(kenlm, tmp_path, content, message):
    (tmp_path / "bad.arpa").write_bytes(content)
    with pytest.raises(LotteryError, match=message):
        LanguageModel(tmp_path / "bad.arpa").prepare(CHARACTERS)


def test_words_beyond_ascii_are_read(kenlm, tmp_path):
    (tmp_path / "good.arpa").write_bytes(ARPA.replace("c", "ç").encode())
    scorer = LanguageModel(tmp_path / "good.arpa", weight=1.0, word_bonus=0.0).prepare(Tokenizer.from_texts(["aç"]))
    state, score = read(scorer, Tokenizer.from_texts(["aç"]).encode("ç a"))
    assert score == pytest.approx(NATURAL * (-1.1 - 0.3), abs=1e-5), "the back-off of <s>, and the word's own"


def test_loading_is_silent(kenlm, arpa, capfd):
    LanguageModel(arpa).prepare(CHARACTERS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"weight": math.nan}, {"word_bonus": math.inf}])
def test_impossible_weights_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        LanguageModel("lm.arpa", **options)
