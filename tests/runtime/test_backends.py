"""Which backend runs a bundle, what is said where one is missing, and that either one does without the other."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.engine.session import EngineSession
from runtime.errors import BundleError, LotteryError
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from runtime.session import OrtSession, choose_model, open_session
from tests.runtime.engine.tiny_ticket import write_engine_bundle
from tests.tiny_bundle import speak, write_tiny_bundle

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = "cab bad dead bee ace"
# A process in which importing onnxruntime fails, and even looking for it is noticed.
WITHOUT_ONNXRUNTIME = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ImportError("looked for " + name)
sys.meta_path.insert(0, Refuse())
"""
# The same as where it never was installed.
ABSENT_ONNXRUNTIME = "import sys; sys.modules['onnxruntime'] = None\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle with ONNX models in fp32 and int8, and a ticket in int8."""
    return write_engine_bundle(tmp_path_factory.mktemp("backends") / "bundle", precision="int8")


@pytest.fixture
def no_library(tmp_path, monkeypatch):
    """Make the engine's library missing, here and in processes that are started."""
    monkeypatch.setenv("LOTTERY_ENGINE_LIBRARY", str(tmp_path / "gone.so"))
    monkeypatch.setattr("runtime.session._said", set())


@pytest.fixture
def clip(tmp_path):
    soundfile.write(tmp_path / "clip.wav", speak(TEXT), 16000)
    return str(tmp_path / "clip.wav")


def run(program, *arguments):
    """Run Python code in a fresh process with warnings as errors; return the finished process."""
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


def transcribe(*arguments, before=""):
    return run(f"{before}import sys; from runtime.transcribe import main; sys.exit(main(sys.argv[1:]))", *arguments)


@pytest.mark.usefixtures("engine_library")
@pytest.mark.parametrize(
    ("precision", "backend", "expected"),
    [
        ("auto", "auto", ("engine", "int8")),
        ("int8", "auto", ("engine", "int8")),
        ("fp32", "auto", ("onnxruntime", "fp32")),
        ("auto", "engine", ("engine", "int8")),
        ("auto", "onnxruntime", ("onnxruntime", "int8")),
        ("fp32", "onnxruntime", ("onnxruntime", "fp32")),
    ],
)
def test_the_engine_runs_what_it_has_the_precision_for(bundle, capsys, precision, backend, expected):
    manifest = Manifest.load(bundle)
    assert choose_model(manifest, precision=precision, backend=backend) == expected
    session = open_session(bundle, manifest=manifest, precision=precision, backend=backend)
    assert type(session) is (EngineSession if expected[0] == "engine" else OrtSession)
    recognizer = Recognizer(bundle, precision=precision, backend=backend)
    assert (recognizer.backend, recognizer.precision) == expected == (session.backend, expected[1])
    assert (recognizer.instruction_set is None) == (expected[0] == "onnxruntime")
    assert recognizer.transcribe(speak(TEXT)).text == TEXT
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("engine_library")
def test_a_ticket_in_fp32_is_what_auto_takes_although_there_is_an_int8_model(tmp_path):
    bundle = write_engine_bundle(tmp_path / "bundle", precision="fp32")
    recognizer = Recognizer(bundle)
    assert (recognizer.backend, recognizer.precision) == ("engine", "fp32")
    assert Recognizer(bundle, precision="int8").backend == "onnxruntime"
    with pytest.raises(BundleError, match=r"the model\.ticket of bundle bundle is fp32, not int8") as caught:
        Recognizer(bundle, precision="int8", backend="engine")
    assert "--precision fp32" in caught.value.hint


@pytest.mark.usefixtures("engine_library")
def test_streams_of_any_push_size_are_one_shot_in_the_engine(bundle):
    recognizer, samples = Recognizer(bundle, backend="engine"), speak(TEXT, sample_rate_hz=44100)
    expected = recognizer.transcribe(samples, sample_rate_hz=44100)
    assert expected.text == TEXT
    for size in (100, 4410, 30011):
        stream = recognizer.stream(44100)
        for start in range(0, len(samples), size):
            stream.accept(samples[start : start + size])
        assert stream.finish() == expected


@pytest.mark.usefixtures("engine_library")
def test_an_altered_ticket_file_is_named(tmp_path):
    bundle = write_engine_bundle(tmp_path / "bundle")
    content = bytearray((bundle / "model.ticket").read_bytes())
    content[-1] ^= 1
    (bundle / "model.ticket").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.ticket: altered: its SHA-256"):
        Recognizer(bundle)
    # who does not use it may go on
    assert Recognizer(bundle, backend="onnxruntime").transcribe(speak("cab")).text == "cab"


def test_a_missing_library_is_said_once_and_everything_runs_on_onnxruntime(bundle, no_library, capsys):
    recognizers = [Recognizer(bundle), Recognizer(bundle, precision="int8")]
    streams = [recognizer.stream() for recognizer in recognizers for _ in range(2)]
    for stream in streams:
        stream.accept(speak("cab bad"))
        assert stream.finish().text == "cab bad"
    assert {recognizer.backend for recognizer in recognizers} == {"onnxruntime"}
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("note: running on onnxruntime: the ticket engine is not installed: no ")


def test_a_missing_library_is_not_mentioned_where_it_would_not_be_used(bundle, no_library, tmp_path, capsys):
    Recognizer(bundle, precision="fp32")
    Recognizer(bundle, backend="onnxruntime")
    Recognizer(write_tiny_bundle(tmp_path / "plain"))
    assert capsys.readouterr() == ("", "")


def test_an_engine_that_was_asked_for_and_is_missing_is_an_error(bundle, no_library, clip):
    child = transcribe(bundle, clip, "--backend", "engine")
    assert (child.returncode, child.stdout) == (2, "")
    error, hint = child.stderr.splitlines()
    assert error.startswith("error: the ticket engine is not installed: no ")
    assert "apt install g++" in hint
    assert hint.endswith("or use --backend onnxruntime")


@pytest.mark.usefixtures("engine_library")
def test_a_bundle_with_a_ticket_runs_where_onnxruntime_is_not_even_looked_for(bundle, clip):
    child = transcribe(bundle, clip, before=WITHOUT_ONNXRUNTIME)
    assert (child.returncode, child.stdout, child.stderr) == (0, f"{TEXT}\n", "")


@pytest.mark.usefixtures("engine_library")
def test_the_other_commands_run_without_onnxruntime_too(bundle, clip):
    listen = "import sys; from runtime.listen import main; sys.exit(main(sys.argv[1:]))"
    child = run(WITHOUT_ONNXRUNTIME + listen, bundle, "--replay", clip, "--speed", "0", "--jsonl")
    assert child.returncode == 0, child.stderr
    assert TEXT in child.stdout
    bench = "import sys; from runtime.bench import main; sys.exit(main(sys.argv[1:]))"
    child = run(WITHOUT_ONNXRUNTIME + bench, bundle, "--backend", "engine", "--repeats", "1")
    assert child.returncode == 0, child.stderr
    assert "engine" in child.stdout


@pytest.mark.usefixtures("engine_library")
def test_what_only_onnxruntime_could_run_names_both_ways_out(bundle, clip):
    child = transcribe(bundle, clip, "--precision", "fp32", before=ABSENT_ONNXRUNTIME)
    assert child.returncode == 2
    error, hint = child.stderr.splitlines()
    assert "onnxruntime is not installed, and the model.ticket of bundle bundle is int8, not fp32" in error
    assert hint.startswith("hint: pip install onnxruntime; or use --precision int8")


def test_without_either_backend_the_error_names_both_ways_out(bundle, no_library, clip):
    child = transcribe(bundle, clip, before=ABSENT_ONNXRUNTIME)
    assert (child.returncode, child.stdout) == (2, "")
    error, hint = child.stderr.splitlines()
    assert "nothing here can run bundle bundle: onnxruntime is not installed, and the ticket engine is not" in error
    assert "pip install onnxruntime; or " in hint
    assert "apt install g++" in hint


def test_onnxruntime_that_was_asked_for_and_is_missing_is_an_error(bundle, clip):
    child = transcribe(bundle, clip, "--backend", "onnxruntime", before=ABSENT_ONNXRUNTIME)
    assert child.returncode == 2
    assert child.stderr.splitlines()[-1] == "hint: pip install onnxruntime"


def test_onnxruntime_that_is_broken_says_why(bundle, monkeypatch, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libgomp.so.1 is missing')")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LotteryError, match=r"onnxruntime cannot be imported: libgomp\.so\.1 is missing"):
        Recognizer(bundle, backend="onnxruntime")


@pytest.mark.usefixtures("engine_library")
def test_both_backends_hear_the_same(bundle):
    samples = np.concatenate([speak(TEXT), speak("add bee")])
    heard = [Recognizer(bundle, backend=backend).transcribe(samples) for backend in ("engine", "onnxruntime")]
    assert heard[0].ids == heard[1].ids
    for ours, theirs in zip(heard[0].words, heard[1].words, strict=True):
        # a frame of the smoothing that the ONNX model has and the ticket has not
        assert abs(ours.start_s - theirs.start_s) <= 0.0401
