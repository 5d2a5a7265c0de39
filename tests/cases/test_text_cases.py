"""Indexes and manifests as people have them: those of ../shared/cases/text, and others of the same kinds made here.

What each must become stands in the README there; the same assertions hold for both.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import IMPORTERS, import_corpus, read_manifest
from lottery_train.dataset import load_dataset
from runtime.errors import LotteryError
from runtime.language_model import LanguageModel
from runtime.tokenizer import Tokenizer
from runtime.transcribe import main as transcribe

_CHECKOUT = Path(__file__).resolve().parents[2]
_SHARED = (_CHECKOUT.parent / "shared" / "cases", _CHECKOUT / "shared" / "cases")
SPOKEN = "rubout g m e f three nine"
# The same kinds of fault by other characters, places and numbers.
_LINE = '{"audio_filepath": "../audio/base.wav", %s}\n'
MADE = {
    "metadata.csv": 'file,text\r\nbase.wav,"rubout g m\r\n\x0be f three nine"\r\n'
    'FLOAT.wav,"rubout g m\u2029e f three nine"\r\n',
    "common_voice.tsv": "client_id\tpath\tsentence\tlocale\n"
    "spk0\tx.mp3\tplain one\ten\nspk1\tx.mp3\tline\x85separator here\ten\nspk3\tx.mp3\tform\x1dfeed here\ten\n",
    "manifest.jsonl": _LINE % '"duration": 4.0, "text": "\u202arubout g m e f three\ufeff nine"'
    + _LINE % '"duration": 1200, "text": "rubout g m e f three nine"'
    + _LINE % '"duration": 3.6, "text": "kranken\u200bhaus rubout"'
    + _LINE % '"duration": 1e308, "offset": 0, "text": "yes"',
    "bom_crlf.jsonl": "\ufeff"
    + (_LINE % '"duration": 4.0, "text": "rubout g m e f three nine"').replace("\n", "\r\n\r\n"),
}
ARPA = b"\\data\\\nngram 1=3\n\n\\1-grams:\n-99\t<s>\n-1\t</s>\n-1\tcaf\xe9\n\\end\\\n"


@pytest.fixture(params=["shared", "made"])
def cases(request, tmp_path):
    """Yield a folder with `text` and `audio`."""
    if request.param == "shared":
        for folder in _SHARED:
            if folder.is_dir():
                return folder
        pytest.skip("the cases are not at ../shared/cases beside the checkout")
    (tmp_path / "made" / "text").mkdir(parents=True)
    (tmp_path / "made" / "audio").mkdir()
    for name, text in MADE.items():
        (tmp_path / "made" / "text" / name).write_bytes(text.encode())
    (tmp_path / "made" / "text" / "latin1.arpa").write_bytes(ARPA)
    samples = 0.1 * np.sin(np.arange(64000) * 0.2)
    for name in ("base.wav", "FLOAT.wav"):
        soundfile.write(tmp_path / "made" / "audio" / name, samples, 16000)
    return tmp_path / "made"


def test_a_break_inside_a_quoted_cell_separates_words(cases, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for path in (cases / "text" / "metadata.csv", cases / "audio" / "base.wav", cases / "audio" / "FLOAT.wav"):
        shutil.copyfile(path, folder / path.name)
    with open(folder / "metadata.csv", "a") as file:
        file.write("none.wav,yes\n")
    splits, skipped = IMPORTERS["folder"].read_corpus(folder)
    assert [utterance.text for utterance in splits["train"]] == [SPOKEN] * 2
    # The number that an editor shows: a header, a row of two lines, one of one.
    assert [item.line for item in skipped] == [5]


def test_every_row_of_common_voice_is_kept(cases, tmp_path):
    folder = tmp_path / "en"
    (folder / "clips").mkdir(parents=True)
    soundfile.write(folder / "clips" / "x.mp3", np.full(16000, 0.1), 16000, format="MP3")
    table = (cases / "text" / "common_voice.tsv").read_bytes()
    (folder / "train.tsv").write_bytes(table + b"too short\n")
    corpus = import_corpus("common_voice", source_dir=folder, out_dir=tmp_path / "out")
    texts = [utterance.text for path in corpus.splits.values() for utterance in read_manifest(path)[0]]
    assert sorted(texts) == ["form feed here", "line separator here", "plain one"]
    assert [item.line for item in corpus.skipped] == [5]


def test_lines_of_a_manifest_are_cleaned_or_skipped_with_their_number(cases, tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    path = cases / "text" / "manifest.jsonl"
    utterances, unread = read_manifest(path, on_error="skip")
    assert [str(item).partition(": ")[0] for item in unread] == [f"{path}:4"]
    dataset = load_dataset(utterances, skipped=unread)
    assert dataset.texts == [SPOKEN, "krankenhaus rubout"]
    assert dataset.origins == [f"{path}:1", f"{path}:3"]
    assert [reason.partition(": ")[0] for reason in dataset.skipped] == [f"{path}:4", f"{path}:2"]
    assert "'duration' is " in dataset.skipped[1]
    # What the runtime asks of every symbol.
    assert all(symbol.isprintable() for symbol in Tokenizer.from_texts(dataset.texts).symbols)


def test_a_manifest_may_begin_with_a_byte_order_mark(cases):
    utterances, skipped = read_manifest(cases / "text" / "bom_crlf.jsonl")
    assert ([(utterance.text, utterance.line) for utterance in utterances], skipped) == ([(SPOKEN, 1)], [])


def test_a_language_model_of_another_encoding_is_named_with_its_line(cases, capsys):
    pytest.importorskip("kenlm", reason="the package of the extra `lm` is not installed")
    path = cases / "text" / "latin1.arpa"
    with pytest.raises(LotteryError, match=r"latin1\.arpa:7: not UTF-8 text: .* \(0xe9\)"):
        LanguageModel(path).prepare(Tokenizer.from_texts(["café"]))
    clip = cases / "audio" / "base.wav"
    assert transcribe([str(clip), "--decoder", "beam", "--lm", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}:7: not UTF-8 text")
