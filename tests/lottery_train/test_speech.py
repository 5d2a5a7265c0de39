"""One bad utterance does not end a run: it is skipped, counted and shown."""

import json

import pytest

from lottery_train.errors import CorpusError
from lottery_train.speech import prepare_speech
from tests.lottery_train.tiny import tiny_run, write_tones


@pytest.fixture
def pack(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    return write_tones(tmp_path / "tones", num_train=6, num_dev=3, num_test=3)


def add_line(manifest, **changes):
    line = json.loads(manifest.read_text().splitlines()[0]) | changes
    manifest.write_text(manifest.read_text() + json.dumps(line) + "\n")


def test_bad_lines_are_skipped_counted_and_named(pack, tmp_path, capsys):
    train, dev = pack / "train.jsonl", pack / "dev.jsonl"
    add_line(train, audio_filepath="audio/nowhere.wav")
    add_line(train, duration=99.0)
    with open(train, "a") as file:
        file.write("{broken\n")
    add_line(dev, text="a z")
    (pack / "audio" / "test_1.wav").write_bytes(b"")
    speech = prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
    assert (len(speech.train), len(speech.dev), len(speech.test)) == (6, 3, 2)
    shown = capsys.readouterr().err
    assert "train: 3 of 9 utterances skipped" in shown
    assert f"{train}:7: " in shown
    assert f"{train}:9: " in shown
    assert f"{dev}:4: text holds characters outside the tokens: z" in shown
    assert "test_1.wav" in shown


def test_tokens_are_settled_by_the_first_start(pack, tmp_path):
    first = prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
    add_line(pack / "train.jsonl", text="zulu")
    again = prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
    assert again.tokenizer == first.tokenizer
    assert len(again.train.skipped) == 1


def test_a_corpus_with_nothing_usable_is_refused(pack, tmp_path):
    (pack / "dev.jsonl").write_text("")
    with pytest.raises(CorpusError, match=r"dev\.jsonl"):
        prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
