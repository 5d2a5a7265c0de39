"""demo/live.py: the example of the public API does what it says, on what a plain install holds."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import runtime
from demo import live
from runtime.recognizer import Recognizer
from runtime.source import Source
from tests.tiny_bundle import speak, write_tiny_bundle

_SOURCE = Path(live.__file__)


class Vanishing(Source):
    """A device that delivers, is lost, and comes back in time for the next blocks."""

    def __init__(self, *parts):
        super().__init__("vanishing", sample_rate_hz=16000, block_s=0.1, queue_s=10.0)
        self._parts = parts

    def _start(self):
        pass

    def blocks(self):
        for number, samples in enumerate(self._parts):
            if number:
                self.is_lost = True
                yield from [np.zeros(0, np.float32)] * 3
                self.is_lost, self.num_gaps = False, number
            for start in range(0, len(samples), 1600):
                yield samples[start : start + 1600]


@pytest.fixture(autouse=True)
def _keep_the_signal_handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("live") / "bundle")


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Two lines with a pause between, the last word cut short."""
    samples = np.concatenate([speak("cab bad"), np.zeros(20000, np.float32), speak(" dead bee")[:-1900]])
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, samples, 16000)
    return path


def test_a_replay_prints_finished_lines_and_the_one_being_spoken(bundle, talk, capsys):
    assert live.main([str(bundle), "--replay", str(talk)]) == 0
    out, err = capsys.readouterr()
    assert out == "cab bad\ndead bee\n"
    shown = [update.removesuffix("\x1b[K") for update in err.split("\r")[1:]]
    assert shown[0] == "c"
    assert shown.count("") == 2, "each finished line leaves the place of the line being spoken"
    assert shown.index("cab bad") < shown.index("")


def test_the_results_are_those_of_the_whole_file(bundle, talk):
    recognizer = Recognizer(bundle)
    samples, _ = soundfile.read(talk, dtype="float32")
    source = runtime.ReplaySource(talk, speed=0)
    results = list(live.live_text(source, recognizer=recognizer, rules=runtime.EndpointRules(silence_s=0.8)))
    final = [result for result in results if result.is_final]
    assert [result.text for result in final] == ["cab bad", "dead bee"]
    assert sum((result.words for result in final), ()) == recognizer.transcribe(samples).words
    assert len(results) > len(final) + 5


def test_a_line_ends_where_the_device_vanished(bundle):
    recognizer = Recognizer(bundle)
    # The second part would be another word if its stream went on with the caches of the first.
    source = Vanishing(speak("cab bad")[:-1900], speak("dead"), np.zeros(1600, np.float32), speak("bee"))
    results = list(live.live_text(source, recognizer=recognizer, rules=runtime.EndpointRules(silence_s=0.8)))
    assert [result.text for result in results if result.is_final] == ["cab bad", "dead", "bee"]
    assert results[-1].words == recognizer.transcribe(speak("bee")).words


def test_ctrl_c_ends_it_with_the_last_words(bundle, tmp_path):
    samples = np.concatenate([speak("cab bad")[:-1900], np.zeros(16000 * 60, np.float32)])
    soundfile.write(tmp_path / "long.wav", samples, 16000)
    running = subprocess.Popen(
        [sys.executable, "-m", "demo.live", str(bundle), "--replay", str(tmp_path / "long.wav")],
        cwd=_SOURCE.parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        shown = b""
        while b"cab b" not in shown and (byte := running.stderr.read(1)):
            shown += byte
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    assert out.startswith(b"cab b")
    assert out.count(b"\n") == 1
    assert b"Traceback" not in err


def test_an_error_is_told_with_its_hint(bundle, tmp_path, capsys):
    assert live.main([str(tmp_path / "absent"), "--replay", "a.wav"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path / 'absent'}: no such bundle",
        "hint: give the directory that lottery-export wrote",
    ]


def test_it_is_one_page_of_the_public_api():
    text = _SOURCE.read_text()
    assert len(text.splitlines()) <= 80
    imported = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert {module for module, _ in imported} == {"runtime"}
    assert {name for _, name in imported} <= set(runtime.__all__)


def test_it_runs_as_a_module_without_training_packages(bundle, talk):
    program = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(['torch', 'lottery_train', 'export']));"
        f"sys.argv = ['live', {str(bundle)!r}, '--replay', {str(talk)!r}];"
        "runpy.run_module('demo.live', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=_SOURCE.parents[1], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "cab bad\ndead bee\n")
