"""Symbols, spelling and tokens.txt."""

import pytest

from runtime.errors import BundleError
from runtime.tokenizer import BLANK, WORD_START, Tokenizer


@pytest.fixture
def characters():
    return Tokenizer.from_texts(["stop", "go left"])


def test_from_texts_holds_blank_word_start_and_sorted_characters(characters):
    assert characters.symbols == (BLANK, WORD_START, *sorted(set("stopgoleft")))


@pytest.mark.parametrize("text", ["stop", "go left", "l e f t", ""])
def test_decode_inverts_encode(characters, text):
    assert characters.decode(characters.encode(text)) == text


def test_encode_names_characters_outside_the_tokens(characters):
    assert characters.missing_characters("quit go") == ["i", "q", "u"]
    with pytest.raises(ValueError, match="i q u"):
        characters.encode("quit go")


def test_pieces_spell_words_with_their_positions():
    tokenizer = Tokenizer((BLANK, "▁turn", "▁le", "ft", "▁"))
    words = tokenizer.words([4, 1, 2, 3, 4])
    assert [(word.text, word.first, word.last) for word in words] == [("turn", 1, 1), ("left", 2, 3)]
    assert tokenizer.decode([3, 1]) == "ft turn"


def test_save_and_load(characters, tmp_path):
    characters.save(tmp_path / "tokens.txt")
    assert Tokenizer.load(tmp_path / "tokens.txt") == characters
    assert (tmp_path / "tokens.txt").read_text().splitlines()[:2] == ["<blk> 0", "▁ 1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "first symbol"),
        ("<blk> 0\na 2\n", ":2:"),
        ("<blk> 0\na\n", ":2:"),
        ("a 0\n<blk> 1\n", "first symbol"),
        ("<blk> 0\na 1\na 2\n", "twice"),
        ("<blk> 0\n 1\n", "empty"),
        ("<blk> 0\na b 1\n", "white space"),
        (b"\xff\xfe", "cannot read"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, reason):
    path = tmp_path / "tokens.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BundleError, match=reason) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"tokens\.txt"):
        Tokenizer.load(tmp_path / "tokens.txt")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<blk> 0\n" + b"x" * 129 + b" 1\n", "is longer than 128 characters"),
        (b"<blk> 0\n" + b"\x1b" * 10**6, "expected `symbol 1`, found"),
        (b"x" * ((1 << 23) + 1), "larger than 8388608 bytes"),
        (b"<blk> 0\n\xff 1\n", "cannot read the symbols"),
    ],
)
def test_symbols_are_bounded_and_messages_short_and_printable(content, complaint):
    with pytest.raises(BundleError, match=complaint) as caught:
        Tokenizer.from_bytes(content, source="tokens.txt")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
