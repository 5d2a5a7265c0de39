"""The words of a bundle: from its ticket, from files, or none."""

import dataclasses
import json

import pytest

from export.errors import ExportError
from export.vocabulary import choose_words
from runtime.errors import BundleError

HINT = "--words-from"


@pytest.fixture
def ticket(exported):
    """Return a function: the exported ticket, whose record says something of its vocabulary."""

    def tell(**vocabulary):
        record = exported.ticket.record | ({"vocabulary": vocabulary} if vocabulary else {})
        return dataclasses.replace(exported.ticket, record=record)

    return tell


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    lines = [{"audio_filepath": "a.wav", "duration": 1, "text": text} for text in ("stop it", "go")]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "train.jsonl"


def test_the_tickets_rule_decides(ticket):
    closed = ticket(kind="closed", words=["b", "a"])
    assert choose_words(closed) == ["a", "b"]
    assert choose_words(closed, vocabulary="open") is None
    opened = ticket(kind="open", words=["b", "a"])
    assert choose_words(opened) is None
    assert choose_words(opened, vocabulary="closed") == ["a", "b"]
    assert choose_words(ticket()) is None


def test_files_override_it(ticket, manifest, tmp_path):
    (tmp_path / "more.txt").write_text("yes\ngo\n")
    for each in (ticket(), ticket(kind="closed", words=["a"])):
        assert choose_words(each, words_from=[manifest]) == ["go", "it", "stop"]
        assert choose_words(each, words_from=[manifest, tmp_path / "more.txt"]) == ["go", "it", "stop", "yes"]


def test_what_cannot_be_is_said(ticket, manifest, tmp_path):
    with pytest.raises(ExportError, match="does not carry the words") as caught:
        choose_words(ticket(), vocabulary="closed")
    assert HINT in caught.value.hint
    with pytest.raises(ExportError, match="closed vocabulary"):
        choose_words(ticket(), vocabulary="open", words_from=[manifest])
    with pytest.raises(ExportError, match="cannot read"):
        choose_words(ticket(), words_from=[tmp_path / "gone.txt"])
    (tmp_path / "bad.txt").write_text("two words\n")
    with pytest.raises(BundleError, match="is no word"):
        choose_words(ticket(), words_from=[tmp_path / "bad.txt"])
    with pytest.raises(BundleError, match="is no word"):
        choose_words(ticket(kind="closed", words=["\x1b[2J"]))
    for hostile in ({"kind": "closed", "words": "abc"}, {"kind": "closed", "words": {"a": 1}}):
        assert choose_words(ticket(**hostile)) is None
