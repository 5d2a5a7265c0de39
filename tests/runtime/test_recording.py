"""What --save keeps: audio to the sample, and a manifest that the training package reads."""

import json

import numpy as np
import pytest
import soundfile

from lottery_train.corpora.manifest import read_manifest
from runtime.errors import LotteryError
from runtime.recognizer import Recognizer, Result, Word
from runtime.recording import Recording
from tests.tiny_bundle import speak, write_tiny_bundle

RATE = 16000


def line(*words):
    """Return a Result of (text, start_s, end_s)."""
    words = tuple(Word(text=text, start_s=start_s, end_s=end_s, confidence=1.0) for text, start_s, end_s in words)
    return Result(text=" ".join(word.text for word in words), words=words, ids=(), is_final=True)


def add(recording, samples):
    for start in range(0, len(samples), 480):
        recording.add(samples[start : start + 480])


def read_lines(path):
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_the_audio_is_kept_to_the_sample(tmp_path):
    samples = np.random.default_rng(0).uniform(-1.2, 1.2, 50_000).astype(np.float32)
    with Recording(tmp_path / "new", name="a") as recording:
        recording.begin(sample_rate_hz=RATE)
        add(recording, samples)
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.flac.part"]
    kept, rate = soundfile.read(tmp_path / "new" / "a.flac", dtype="int16")
    assert rate == RATE
    assert np.abs(kept - np.clip(samples, -1, 1) * 32767.5).max() <= 1


def test_lines_are_parts_of_the_audio_that_training_reads(tmp_path):
    """The parts, cut out by the manifest and recognised again, say what the manifest says."""
    recognizer = Recognizer(write_tiny_bundle(tmp_path / "bundle"))
    with Recording(tmp_path, name="talk") as recording:
        for text in ("cab bad", "dead bee"):
            samples = np.concatenate([np.zeros(9600, np.float32), speak(text), np.zeros(20000, np.float32)])
            recording.begin(sample_rate_hz=RATE)
            add(recording, samples)
            recording.add_line(recognizer.transcribe(samples))
    utterances, problems = read_manifest(tmp_path / "talk.jsonl")
    assert not problems
    kept, _ = soundfile.read(tmp_path / "talk.flac", dtype="float32")
    for utterance, text in zip(utterances, ("cab bad", "dead bee"), strict=True):
        assert utterance.text == text
        begin = round(utterance.offset_s * RATE)
        part = kept[begin : begin + round(utterance.duration_s * RATE)]
        assert len(part) < len(samples) - RATE, "without the silence around"
        assert recognizer.transcribe(part).text == text


def test_lines_do_not_overlap_nor_leave_the_audio(tmp_path):
    with Recording(tmp_path, name="a") as recording:
        recording.begin(sample_rate_hz=RATE)
        add(recording, np.zeros(5 * RATE, np.float32))
        recording.add_line(line(("a", 0.1, 0.5), ("b", 1.0, 2.0)), is_cut=True)
        recording.add_line(line())
        recording.add_line(line(("c", 2.1, 4.9)))
        recording.begin(sample_rate_hz=RATE)
        add(recording, np.zeros(5 * RATE, np.float32))
        recording.add_line(line(("d", 1.0, 2.0)))
    lines = read_lines(tmp_path / "a.jsonl")
    spans = [(each["offset"], each["offset"] + each["duration"], each["text"]) for each in lines]
    assert spans == [
        (0.0, 2.0, "a b"),
        (2.0, 5.0, "c"),
        (pytest.approx(5.6), pytest.approx(7.4), "d"),
    ]


def test_another_rate_begins_another_file(tmp_path):
    with Recording(tmp_path, name="a") as recording:
        for rate in (RATE, RATE, 48000):
            recording.begin(sample_rate_hz=rate)
            add(recording, np.zeros(rate, np.float32))
            recording.add_line(line(("a", 0.5, 0.6)))
    assert soundfile.info(tmp_path / "a.flac").frames == 2 * RATE
    assert soundfile.info(tmp_path / "a_2.flac").frames == 48000
    assert [each["offset"] for each in read_lines(tmp_path / "a.jsonl")] == [0.1, 1.1]
    assert read_lines(tmp_path / "a_2.jsonl")[0]["audio_filepath"] == "a_2.flac"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "a.flac").write_bytes(b"precious")
    recording = Recording(tmp_path, name="a")
    with pytest.raises(LotteryError, match="is there already"):
        recording.begin(sample_rate_hz=RATE)
    assert (tmp_path / "a.flac").read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LotteryError, match="file"):
        Recording(tmp_path / "file" / "folder")
