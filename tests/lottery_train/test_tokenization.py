"""Tokens of a corpus: characters and sentencepiece units."""

import pytest

from lottery_train.errors import ConfigError
from lottery_train.tokenization import build_tokens, encoder
from runtime.tokenizer import BLANK, Tokenizer

TEXTS = ["enter seventy eight", "stop", "seventy two", "a b c two", "enter two a", "stop eight"] * 5


@pytest.mark.parametrize("spec", ["char", "bpe:40", "unigram:22"])
def test_every_text_is_spelled_and_read_back(spec):
    tokenizer, model = build_tokens(TEXTS, spec=spec)
    encode = encoder(tokenizer, model)
    assert tokenizer.symbols[0] == BLANK
    for text in [*TEXTS, "bop a c"]:
        ids = encode(text)
        assert tokenizer.blank not in ids
        assert tokenizer.decode(ids) == text
    assert (model is None) == (spec == "char")


def test_units_learn_whole_words():
    tokenizer, model = build_tokens(TEXTS, spec="unigram:22")
    assert len(encoder(tokenizer, model)("seventy two")) < len(Tokenizer.from_texts(TEXTS).encode("seventy two"))


def test_a_small_corpus_gives_fewer_unigram_units():
    tokenizer, model = build_tokens(TEXTS, spec="unigram:5000")
    assert len(tokenizer) < 100
    assert tokenizer.decode(encoder(tokenizer, model)("seventy eight")) == "seventy eight"


@pytest.mark.parametrize("spec", ["bpe:3", "bpe:5000"])
def test_an_impossible_vocabulary_is_refused(spec):
    with pytest.raises(ConfigError, match=spec):
        build_tokens(TEXTS, spec=spec)
