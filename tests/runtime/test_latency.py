"""What the benchmark measures: counts and definitions, on clocks that the tests move."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.features import num_chunks
from runtime.latency import percentiles, time_clip, time_interleaved
from runtime.machine import describe_machine, machine_line
from runtime.recognizer import Recognizer
from runtime.synthetic import speech_like
from tests.tiny_bundle import CHUNK_FRAMES, write_tiny_bundle

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("latency") / "tiny"))


def test_every_step_is_timed_once(recognizer):
    samples, session = speech_like(3.0), recognizer.session
    timing = time_clip(recognizer, samples=samples)
    assert len(timing.model_ms) == num_chunks(300, chunk_frames=CHUNK_FRAMES)
    # all but those that finish() decodes: 3 s holds 18 windows of 160 ms and 55 ms of overlap
    assert len(timing.chunk_ms) == 18
    assert timing.audio_s == 3.0
    assert sum(timing.model_ms) < 1e3 * timing.wall_s
    assert min(timing.chunk_ms) > 0
    assert recognizer.session is session


def test_session_is_restored_after_an_error(recognizer):
    session = recognizer.session
    with pytest.raises(ValueError):
        time_clip(recognizer, samples=np.full(16000, np.nan, np.float32))
    assert recognizer.session is session


def test_rounds_are_interleaved_and_rotate(monkeypatch):
    order = []
    monkeypatch.setattr("runtime.latency.time_clip", lambda name, samples: order.append(name) or name)
    timings = time_interleaved(["a", "b", "c"], samples=None, repeats=4)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert timings == [["a"] * 4, ["b"] * 4, ["c"] * 4]
    order.clear()
    time_interleaved(["a", "b", "c"], samples=None, repeats=1, first_round=2)
    assert "".join(order) == "abc" + "cab"


def test_percentiles():
    found = percentiles(range(101))
    assert found == {"p50": 50, "p95": 95, "p99": 99, "mean": 50, "count": 101}
    assert percentiles([])["p50"] is None


def test_peak_memory_is_the_child_s_own():
    """getrusage would report this process's 300 MB in the child: the reason for VmHWM."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the system has no /proc: peak memory comes from getrusage")
    ballast = np.ones(300_000_000, np.uint8)
    program = (
        "from runtime.latency import peak_rss_bytes; import numpy as np; small = peak_rss_bytes();"
        "block = np.ones(150_000_000, np.uint8); del block; print(small, peak_rss_bytes())"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    small, large = map(int, child.stdout.split())
    assert small < len(ballast) / 2
    assert large - small == pytest.approx(150_000_000, rel=0.1)


def test_synthetic_signal_is_fixed_and_like_speech():
    signal = speech_like(5.0)
    assert signal.dtype == np.float32
    assert signal.shape == (80000,)
    assert np.array_equal(signal, speech_like(5.0))
    assert not np.array_equal(signal, speech_like(5.0, seed=1))
    assert 0.3 < np.abs(signal).max() <= 0.5
    # syllables and pauses: loudness in 20 ms pieces spans more than 30 dB
    loudness = np.sqrt((signal.reshape(-1, 320) ** 2).mean(1))
    assert np.quantile(loudness, 0.9) > 30 * np.quantile(loudness, 0.02)
    # voiced: most energy below 4 kHz
    power = np.abs(np.fft.rfft(signal)) ** 2
    assert power[: len(power) // 2].sum() > 0.8 * power.sum()


def test_machine_line_names_what_matters():
    machine = describe_machine(threads=2, packages=("numpy", "no-such-package"))
    assert machine["versions"] == {"numpy": np.__version__, "no-such-package": None}
    assert machine["cores"] >= 1
    line = machine_line(machine)
    for part in (machine["cpu"], "2 threads", f"numpy {np.__version__}", machine["python"]):
        assert part in line
