"""The fuzzer: a sample of every reader finds nothing, and what there is to find is found."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from benchmarks import fuzz
from benchmarks.fuzz_readers import READERS
from benchmarks.results import CHECKOUT
from runtime.errors import LotteryError

# A few cases of each here; benchmarks/results/fuzz.json has the whole run.
NUM_CASES = 25


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """Return {name: reader}, made once."""
    pytest.importorskip("cryptography", reason="the extra `sign` is not installed")
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in READERS.items()}


def test_a_whole_run_has_as_many_cases_as_it_must():
    assert sum(reader.cases for reader in READERS.values()) >= 200_000


def test_the_whole_run_that_is_kept_found_nothing():
    result = json.loads((CHECKOUT / "benchmarks" / "results" / "fuzz.json").read_text())
    assert result["summary"]["cases"] >= 200_000
    assert (result["summary"]["signals"], result["summary"]["hangs"], result["findings"]) == (0, 0, [])
    assert {row["reader"] for row in result["rows"]} == set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_a_sample_of_every_reader_finds_nothing(readers, name, tmp_path):
    found = [fuzz.check_case(readers[name], number=n, seed=0, folder=tmp_path) for n in range(NUM_CASES)]
    assert [complaint for _, complaint in found if complaint] == []
    assert any(not is_accepted for is_accepted, _ in found) or name == "metrics"


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("archive", "onnx")])
def test_right_files_are_read(readers, name, tmp_path):
    for data in readers[name].seeds:
        readers[name].read(data, tmp_path)


def test_a_case_is_a_function_of_its_number(readers):
    import random

    for name in ("manifest", "ticket_engine", "archive"):
        first, second = (readers[name].mutate(random.Random(f"0 {name} 7")) for _ in range(2))
        assert first == second


class _Bad:
    """A reader with every fault."""

    name, cases = "bad", 5

    def mutate(self, rng):
        return b""

    def read(self, data, folder):
        raise self.error


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (KeyError("a"), "KeyError at the fuzzer"),
        (RecursionError("deep"), "RecursionError"),
        (MemoryError(), "MemoryError"),
        (LotteryError("x" * 5000), "message of 5000 characters"),
    ],
)
def test_what_is_no_right_answer_is_a_finding(tmp_path, error, complaint):
    bad = _Bad()
    bad.error = error
    is_accepted, found = fuzz.check_case(bad, number=0, seed=0, folder=tmp_path)
    assert not is_accepted
    assert complaint in found


_KILLING_READER = """
import os, signal, sys, time
from benchmarks import fuzz

class Killing:
    def __init__(self, place):
        pass
    name = "killing"
    def mutate(self, rng):
        self.number = getattr(self, "number", START - 1) + 1
        return b""
    def read(self, data, folder):
        if self.number == 2: os.kill(os.getpid(), signal.SIGSEGV)
        if self.number == 4: time.sleep(60)

START = int(sys.argv[3])
fuzz.READERS = {"killing": Killing}
fuzz.CASE_S = 1
sys.exit(fuzz.main(sys.argv[1:]))
"""


def test_signals_and_hangs_are_found_and_the_rest_is_still_run(tmp_path, monkeypatch):
    (tmp_path / "killing.py").write_text(_KILLING_READER)
    run = subprocess.run

    def run_ours(command, **options):
        assert command[1:3] == ["-m", "benchmarks.fuzz"]
        options["env"] = {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}
        return run([command[0], str(tmp_path / "killing.py"), *command[3:]], **options)

    monkeypatch.setattr(subprocess, "run", run_ours)
    state = fuzz.run_reader("killing", first=0, cases=6, seed=0, folder=tmp_path)
    assert [(finding["case"], finding["kind"][:7]) for finding in state["findings"]] == [(2, "SIGSEGV"), (4, "no end ")]
    assert (state["accepted"], state["refused"]) == (4, 2)
    # What is done is not done again.
    started = time.monotonic()
    assert fuzz.run_reader("killing", first=0, cases=6, seed=0, folder=tmp_path) == state
    assert time.monotonic() >= started
    assert fuzz.summary({"killing": state}) == {
        "cases": 6, "readers": 1, "signals": 1, "hangs": 1, "tracebacks_and_messages": 0,
    }  # fmt: skip


def test_the_command_prints_a_table_and_one_line_of_json(monkeypatch, capsys):
    state = {"accepted": 3, "refused": 2, "findings": [], "seconds": 1.0}
    monkeypatch.setattr(fuzz, "run_reader", lambda name, **_: state)
    assert fuzz.main(["--reader", "tokens"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["reader", "cases", "read", "refused", "findings", "cases/s"]
    assert json.loads(lines[-1])["cases"] == 5


_READ_FROM_AN_OFFSET = """
import sys
from pathlib import Path
from lottery_train.corpora.audio import load_audio
from lottery_train.corpora.manifest import Utterance
from lottery_train.errors import CorpusError
for path in sys.argv[1:]:
    try:
        load_audio(Utterance(audio_path=Path(path), duration_s=0.1, text="a", offset_s=0.05))
        print("read")
    except CorpusError as error:
        print("refused")
"""


def test_a_damaged_vorbis_header_is_refused_where_it_is_read_from_an_offset(tmp_path):
    """libsndfile 1.2.2 crashes where it seeks in a stream whose decoder refused the headers; the sums are right."""
    from benchmarks.fuzz_audio_readers import _with_sums

    time_s = np.arange(3200) / 16000
    soundfile.write(tmp_path / "a.ogg", 0.3 * np.sin(2 * np.pi * 440 * time_s), 16000, format="OGG", subtype="VORBIS")
    right = (tmp_path / "a.ogg").read_bytes()
    paths = []
    for at in range(200, 1800, 40):
        data = bytearray(right)
        data[at] ^= 0x10
        paths.append(tmp_path / f"{at}.ogg")
        paths[-1].write_bytes(_with_sums(data))
    command = [sys.executable, "-c", _READ_FROM_AN_OFFSET, str(tmp_path / "a.ogg"), *map(str, paths)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert said[0] == "read"
    assert "refused" in said
    assert len(said) == len(paths) + 1


def test_right_sums_are_right(readers):
    for data in readers["ogg"].seeds:
        from benchmarks.fuzz_audio_readers import _with_sums

        assert _with_sums(data) == data
