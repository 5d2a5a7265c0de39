"""The n-gram writer against its definition, and as the library reads it."""

import math

import pytest

from benchmarks.ngram import write_ngrams

TEXTS = ["go left", "go right", "go left left", "stop", "stop", "go", "left right go"]
WORDS = ["go", "left", "right", "stop", "<unk>"]


@pytest.fixture(scope="module")
def kenlm():
    return pytest.importorskip("kenlm", reason="the package of the extra `lm` is not installed")


def load(kenlm, path, **options):
    write_ngrams(path, **options)
    config = kenlm.Config()
    config.show_progress = False
    return kenlm.Model(str(path), config)


def follow(kenlm, model, history):
    """Return {word: probability behind a history}, the end of the sentence among them."""
    state = kenlm.State()
    model.BeginSentenceWrite(state)
    for word in history:
        after = kenlm.State()
        model.BaseScore(state, word, after)
        state = after
    return {word: 10 ** model.BaseScore(state, word, kenlm.State()) for word in [*WORDS, "</s>"]}


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("history", [(), ("go",), ("go", "left"), ("right", "right"), ("<unk>", "go")])
def test_what_may_follow_sums_to_one(kenlm, tmp_path, order, history):
    model = load(kenlm, tmp_path / "a.arpa", texts=TEXTS, order=order)
    found = follow(kenlm, model, history)
    # seven decimals of a base-10 logarithm in float32
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    assert min(found.values()) > 0


def test_the_mixture_is_that_of_the_definition(kenlm, tmp_path):
    model = load(kenlm, tmp_path / "a.arpa", texts=TEXTS, order=2)
    # 13 words and 7 ends; 5 kinds of them, 6 with the unknown one; behind `go` 2 left, 1 right, 2 ends.
    assert len(" ".join(TEXTS).split()) == 13
    left = (4 + 5 * 1 / 6) / (20 + 5)
    assert follow(kenlm, model, ("go",))["left"] == pytest.approx((2 + 3 * left) / (5 + 3), rel=1e-5)
    stop = (2 + 5 * 1 / 6) / (20 + 5)
    assert follow(kenlm, model, ("go",))["stop"] == pytest.approx(3 * stop / (5 + 3), rel=1e-5)
    assert model.score("go left", bos=True, eos=False) == pytest.approx(
        math.log10(follow(kenlm, model, ())["go"] * follow(kenlm, model, ("go",))["left"]), abs=1e-5
    )


@pytest.mark.parametrize("options", [{"texts": ["a"], "order": 1}, {"texts": ["", " "], "order": 2}])
def test_nothing_to_count_is_refused(tmp_path, options):
    with pytest.raises(ValueError, match="expected"):
        write_ngrams(tmp_path / "a.arpa", **options)
