"""Phrase files, and what a model can spell."""

import itertools

import pytest

from runtime.errors import LotteryError
from runtime.phrases import Speller, read_phrases
from runtime.tokenizer import Tokenizer

CHARACTERS = Tokenizer.from_texts(["stop go left"])
PIECES = Tokenizer(("<blk>", "▁", "▁go", "▁s", "top", "ing", "t", "▁l"))


def test_a_file_holds_a_phrase_a_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeff# commands\nstop \n\n  turn left:2\r\nété\n".encode())
    assert read_phrases(path) == ["stop", "turn left:2", "été"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 phrases"),
        (b"# none\n\n", "0 phrases"),
        (b"\xef\xbb\xbfgo\n\xff\xfe", "txt:2: not UTF-8 .*0xff"),
        (None, "cannot read"),
    ],
)
def test_a_file_without_phrases_is_named(tmp_path, content, reason):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LotteryError, match=reason) as caught:
        read_phrases(path)
    assert str(path) in str(caught.value)


def test_a_phrase_is_its_words_each_after_the_mark():
    assert Speller(CHARACTERS).spell(" go  left ") == "▁go▁left"
    assert Speller(PIECES).spell("going stop") == "▁going▁stop"


@pytest.mark.parametrize("word", ["".join(letters) for letters in itertools.product("gostinp", repeat=3)])
def test_what_can_be_spelled_is_what_some_sequence_of_pieces_decodes_to(word):
    ids = range(1, len(PIECES))
    sequences = itertools.chain.from_iterable(itertools.product(ids, repeat=length) for length in (1, 2, 3))
    expected = word in {PIECES.decode(sequence) for sequence in sequences}
    assert Speller(PIECES)._can_spell(word) == expected


@pytest.mark.parametrize(
    ("tokenizer", "phrase", "message", "hint"),
    [
        (CHARACTERS, "go quick", "phrase 'go quick': the model has no symbol with c i k q u", "made of efglopst"),
        (CHARACTERS, "Stop", "the model has no symbol with S", "the model writes 'stop'"),
        (PIECES, "stot", "cannot be put together to 'stot'", "the model's symbols are made of"),
        (PIECES, "go▁go", "no symbol with ▁", "made of"),
        (CHARACTERS, " ", "is empty", "at least one word"),
    ],
)
def test_what_cannot_be_spelled_is_explained(tokenizer, phrase, message, hint):
    with pytest.raises(LotteryError) as caught:
        Speller(tokenizer).spell(phrase)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_invisible_characters_and_other_line_separators_of_a_phrase_go(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("go\u2028left\r\nst\u00adop\n".encode())
    assert [Speller(CHARACTERS).spell(phrase) for phrase in read_phrases(path)] == ["▁go▁left", "▁stop"]


def test_a_file_of_another_encoding_is_named_with_its_line(tmp_path):
    (tmp_path / "words.txt").write_bytes(b"go\nstop\ncaf\xe9\n")
    with pytest.raises(LotteryError, match=r"words\.txt:3: not UTF-8 text: .* \(0xe9\)"):
        read_phrases(tmp_path / "words.txt")
