"""What --save keeps: audio to the sample, and a manifest that the training package reads."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from lottery_train.corpora.audio import load_audio
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


@pytest.mark.parametrize("taken", ["a.flac", "a.jsonl"])
def test_nothing_is_overwritten_where_a_clock_went_back(tmp_path, taken):
    (tmp_path / taken).write_bytes(b"precious")
    for _ in range(2):
        with Recording(tmp_path, name="a") as recording:
            recording.begin(sample_rate_hz=RATE)
            add(recording, np.zeros(RATE, np.float32))
            recording.add_line(line(("a", 0.5, 0.6)))
    assert (tmp_path / taken).read_bytes() == b"precious"
    for name in ("a_2", "a_3"):
        assert read_lines(tmp_path / f"{name}.jsonl")[0]["audio_filepath"] == f"{name}.flac"
        assert soundfile.info(tmp_path / f"{name}.flac").frames == RATE


SESSION = """
import sys
import numpy as np
from runtime.recording import Recording
from tests.runtime.test_recording import RATE, line
def keep(recording, *, num_streams, rng=np.random.default_rng(0)):
    for _ in range(num_streams):
        recording.begin(sample_rate_hz=RATE)
        for _ in range(100):
            recording.add(rng.uniform(-1, 1, RATE // 50).astype(np.float32))
        recording.add_line(line(("noise", 0.5, 1.2)))
"""


def run_session(program, folder):
    return subprocess.run(
        [sys.executable, "-c", SESSION + program, str(folder)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )


def kept_parts(path):
    """Return what lottery-train makes of a manifest: float32 samples, one for each line."""
    utterances, problems = read_manifest(path)
    assert not problems
    return [load_audio(utterance) for utterance in utterances]


def test_after_a_kill_every_line_has_its_audio(tmp_path):
    done = run_session(
        "keep(Recording(sys.argv[1], name='a'), num_streams=3)\nimport os; os.kill(os.getpid(), 9)", tmp_path
    )
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.flac", "a.jsonl"]
    noise = np.random.default_rng(0).uniform(-1, 1, 6 * RATE)
    # The line that ended last waited for the encoder.
    for index, part in enumerate(kept_parts(tmp_path / "a.jsonl")):
        begin = round((2 * index + 0.1) * RATE)
        assert len(part) == 1.5 * RATE
        assert np.abs(part - noise[begin : begin + len(part)]).max() < 1e-3
    assert index == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the size of files")
def test_a_full_disk_ends_no_session_and_is_told(tmp_path):
    program = """
import resource
recording = Recording(sys.argv[1], name="a", say=print, retry_s=3.0)
keep(recording, num_streams=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (170_000, resource.RLIM_INFINITY))
keep(recording, num_streams=4)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
keep(recording, num_streams=4)
recording.close()
print(recording.lost_s, recording.num_lost_lines)
"""
    done = run_session(program, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    failure, again, *ends, figures = done.stdout.splitlines()
    lost_s, num_lost_lines = map(float, figures.split())
    assert failure.startswith(f"{tmp_path}: cannot write: ")
    assert again == f"{tmp_path / 'a_2.flac'}: the session is saved again"
    assert ends == [f"{tmp_path}: {lost_s:.1f} s of audio and {num_lost_lines:.0f} lines were not saved"]
    parts = kept_parts(tmp_path / "a.jsonl") + kept_parts(tmp_path / "a_2.jsonl")
    assert len(parts) == 9 - num_lost_lines
    assert 2 <= num_lost_lines <= 6
    assert {len(part) for part in parts} == {1.5 * RATE}
    found_s = sum(soundfile.info(path).duration for path in tmp_path.glob("a_2.flac"))
    assert 18 - found_s - lost_s < 6, "what is neither lost nor in the second file is in the first"


def test_a_disk_that_is_full_from_the_start_leaves_no_files(tmp_path):
    program = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
recording = Recording(sys.argv[1], name="a", say=print, retry_s=1.0)
keep(recording, num_streams=5)
recording.close()
"""
    done = run_session(program, tmp_path)
    assert done.stderr == ""
    first, last = done.stdout.splitlines()
    assert "cannot write" in first
    assert last == f"{tmp_path}: 10.0 s of audio and 5 lines were not saved"
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_cannot_be_written_has_no_part_of_a_line(tmp_path, monkeypatch):
    said = []
    with Recording(tmp_path, name="a", say=said.append) as recording:
        recording.begin(sample_rate_hz=RATE)
        (tmp_path / "a.jsonl").mkdir()
        add(recording, np.zeros(2 * RATE, np.float32))
        recording.add_line(line(("a", 0.5, 0.6)))
        add(recording, np.zeros(RATE, np.float32))
    assert "Is a directory" in said[0]
    assert recording.num_lost_lines == 1


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LotteryError, match="file"):
        Recording(tmp_path / "file" / "folder")
