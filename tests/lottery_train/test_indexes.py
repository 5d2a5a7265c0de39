"""Indexes of corpora in the form people really have: quoted line breaks, byte-order marks, names of no file."""

import csv
import json
import os

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import IMPORTERS, import_corpus
from lottery_train.errors import CorpusError

# What `str.splitlines` takes for the end of a line, and an editor does not.
SEPARATORS = ["\u2028", "\u2029", "\x85", "\f", "\v", "\x1c"]


def _record(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(8000, 0.1), 16000)


def _imported(name, *, source_dir, out_dir):
    """Return the corpus, and its texts by split."""
    corpus = import_corpus(name, source_dir=source_dir, out_dir=out_dir)
    manifests = {split: path.read_text().split("\n")[:-1] for split, path in corpus.splits.items()}
    return corpus, {split: [json.loads(line)["text"] for line in lines] for split, lines in manifests.items()}


def _an4(root):
    for part, names in (("an4_train", ("a-fash-b", "b-ffmm-b", "c-fash-b")), ("an4_test", ("d-fcaw-b",))):
        ids = [f"{part}/{name.split('-')[1]}/{name}" for name in names]
        (root / "etc").mkdir(parents=True, exist_ok=True)
        (root / "etc" / f"{part}.fileids").write_text("\n".join(ids))
        lines = [f"<s> YES {name[0].upper()} </s> ({name})" for name in names]
        (root / "etc" / f"{part}.transcription").write_text("\n".join(lines))
        for name in ids:
            (root / "wav" / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / "wav" / f"{name}.sph", np.full(8000, 0.1), 16000, format="NIST")


@pytest.mark.parametrize("separator", SEPARATORS)
def test_an_index_has_a_line_only_where_a_line_feed_is(tmp_path, separator):
    _an4(tmp_path / "an4")
    index = tmp_path / "an4" / "etc" / "an4_train.transcription"
    lines = index.read_text().split("\n")
    index.write_text("\r\n".join([lines[0].replace(" YES ", f" YES{separator}NO "), *lines[1:], "no id"]))
    corpus, texts = _imported("an4", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert texts == {"train": ["yes no a", "yes c"], "dev": ["yes b"], "test": ["yes d"]}
    assert [item.line for item in corpus.skipped] == [4]


@pytest.mark.parametrize("separator", [*SEPARATORS, "\n", "\r\n"])
def test_a_quoted_cell_may_hold_any_separator(tmp_path, separator):
    with open(tmp_path / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[f"{number}.wav", f"turn{separator}left {number}"] for number in range(4)]
        csv.writer(file).writerows([["file", "text"], *rows])
        file.write("\nnone.wav,no recording\nshort\n")
    for number in range(4):
        _record(tmp_path / f"{number}.wav")
    corpus, texts = _imported("folder", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert sorted(sum(texts.values(), [])) == [f"turn left {number}" for number in range(4)]
    # The header, four rows of one or two lines, and a blank line.
    first = 7 + 4 * ("\n" in separator)
    assert sorted((item.line, item.reason[-12:]) for item in corpus.skipped) == [
        (first, "es not exist"),
        (first + 1, "header has 2"),
    ]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_common_voice_sentence_may_hold_any_separator(tmp_path, separator):
    rows = [["c1", "a.mp3", f"turn{separator}left"], ["c2", "a.mp3", 'a "quoted'], ["c3"], ["c4", "a.mp3", "stop"]]
    lines = ["\t".join(row) for row in [["client_id", "path", "sentence"], *rows]]
    (tmp_path / "train.tsv").write_text("\n".join(lines))
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "a.mp3", np.full(8000, 0.1), 16000, format="MP3")
    corpus, texts = _imported("common_voice", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert sorted(sum(texts.values(), [])) == ["a quoted", "stop", "turn left"]
    assert [(item.line, item.reason) for item in corpus.skipped] == [(4, "1 fields, the header has 3")]


@pytest.mark.parametrize("content", ["\ufefffile,text\na.wav,yes\n", "file,text\ra.wav,yes\r", "\n\nfile,text"])
def test_a_table_begins_with_its_header(tmp_path, content):
    (tmp_path / "metadata.csv").write_bytes(content.encode())
    _record(tmp_path / "a.wav")
    if content[0] == "\n":
        with pytest.raises(CorpusError, match="metadata.csv:1: the header lacks"):
            IMPORTERS["folder"].read_corpus(tmp_path)
    else:
        splits, skipped = IMPORTERS["folder"].read_corpus(tmp_path)
        assert [utterance.text for utterance in splits["train"]] == ["yes"]
        assert skipped == []


def test_what_is_no_file_is_counted_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    _record(tmp_path / "a.wav")
    names = ["x" * 300 + ".wav", "pipe.wav", "folder.wav", "nul\0.wav", "none.wav", "a.wav/b.wav", "a.wav"]
    content = "file,text\n" + "".join(f"{name},yes\n" for name in names)
    (tmp_path / "metadata.csv").write_text(content)
    splits, skipped = IMPORTERS["folder"].read_corpus(tmp_path)
    assert len(splits["train"]) == 1
    assert [item.line for item in skipped] == [2, 3, 4, 5, 6, 7]
    reasons = ["File name too long", "exist as a file", "exist as a file", "not exist", "not exist", "not exist"]
    for item, reason in zip(skipped, reasons, strict=True):
        assert item.reason.endswith(reason), item
