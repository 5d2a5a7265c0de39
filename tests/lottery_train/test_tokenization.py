"""Tokens of a corpus: characters and sentencepiece units."""

import pytest

from lottery_train.errors import ConfigError
from lottery_train.tokenization import build_tokens, encoder, vocabulary_size
from runtime.files import write_json
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


@pytest.mark.parametrize("spec", ["bpe:40", "unigram:30"])
def test_characters_are_spelled_as_the_texts_hold_them(spec):
    """NFKC, sentencepiece's default, would make two letters of the ligature and a narrow one of the full-width."""
    texts = [*TEXTS, "\ufb01ve \uff21 caf\u00e9", "cafe\u0301 \u00bd"]
    tokenizer, model = build_tokens(texts, spec=spec)
    encode = encoder(tokenizer, model)
    for text in texts:
        assert tokenizer.missing_characters(text) == []
        assert tokenizer.blank not in encode(text)
        assert tokenizer.decode(encode(text)) == text


@pytest.mark.parametrize("spec", ["char", "bpe:40", "unigram:22"])
def test_any_white_space_is_one_space(spec):
    texts = [text.replace(" ", "\t \u3000") + "\u00a0 " for text in TEXTS]
    tokenizer, model = build_tokens(texts, spec=spec)
    encode = encoder(tokenizer, model)
    for text in (texts[0], TEXTS[0], f" {TEXTS[0]}\n"):
        assert encode(text) == encode(TEXTS[0])
        assert tokenizer.decode(encode(text)) == TEXTS[0]


def test_the_size_of_a_vocabulary_before_there_is_one(tmp_path):
    assert vocabulary_size("bpe:300")[0] == 300
    assert vocabulary_size("unigram:90", out=tmp_path)[0] == 90
    assert "nominal" in vocabulary_size("char", out=tmp_path)[1]
    tokenizer, _ = build_tokens(TEXTS, spec="char")
    tokenizer.save(tmp_path / "tokens.txt")
    assert vocabulary_size("unigram:90", out=tmp_path)[0] == len(tokenizer)
    write_json(tmp_path / "ticket.json", {"tokens": list(tokenizer.symbols)})
    assert vocabulary_size("init", init_from=tmp_path)[0] == len(tokenizer)
    write_json(tmp_path / "ticket.json", {"tokens": "abc"})
    with pytest.raises(ConfigError, match=r"names no tokens"):
        vocabulary_size("init", init_from=tmp_path)
