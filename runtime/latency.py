"""What `lottery-bench` measures, in this process: time a chunk and memory; runtime.paced measures the waiting.

A chunk's time is what a device spends on it: features, model step and decoding, from the samples to the symbols. The
model step alone is recorded beside it. Clips of all candidates are interleaved, so that a busy or throttling machine
slows all of them, and the order rotates, so that none always runs after the same neighbour.
"""

import sys
import time
from dataclasses import dataclass

import numpy as np

from runtime.features import HOP_SAMPLES, SAMPLE_RATE_HZ


class TimedSession:
    """A Session that notes how long each step takes.

    Args:
        session: the Session that does the work.
    """

    def __init__(self, session):
        self._session = session
        self.geometry = session.geometry
        self.step_ms = []

    def initial_state(self, batch=1):
        """Return the state of `batch` utterances that have not begun."""
        return self._session.initial_state(batch)

    def step(self, x_NTF, state):
        """Run one chunk and note its time."""
        start = time.perf_counter()
        result = self._session.step(x_NTF, state)
        self.step_ms.append(1e3 * (time.perf_counter() - start))
        return result


@dataclass(frozen=True, kw_only=True)
class ClipTiming:
    """One pass over the clip, as fast as it goes.

    Args:
        chunk_ms: time of each push that completed one chunk: features, model and decoding.
        model_ms: time of each model step, those of finish() included.
        wall_s, cpu_s: whole clip, finish() included; CPU time counts every thread.
        audio_s: length of the clip.
    """

    chunk_ms: tuple[float, ...]
    model_ms: tuple[float, ...]
    wall_s: float
    cpu_s: float
    audio_s: float


def time_clip(recognizer, *, samples):
    """Recognise the clip once and time it.

    Args:
        recognizer: Recognizer; its session is replaced while this runs.
        samples: float32 (n,), 16 kHz mono, longer than a chunk.
    Returns:
        ClipTiming.
    """
    session = recognizer.session
    recognizer.session = timed = TimedSession(session)
    try:
        push = session.geometry.shift_frames * HOP_SAMPLES
        chunk_ms = []
        cpu_start, start = time.process_time(), time.perf_counter()
        stream = recognizer.stream()
        for first in range(0, len(samples), push):
            push_start = time.perf_counter()
            if stream.accept(samples[first : first + push]) == 1:
                chunk_ms.append(1e3 * (time.perf_counter() - push_start))
        stream.finish()
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    finally:
        recognizer.session = session
    return ClipTiming(
        chunk_ms=tuple(chunk_ms),
        model_ms=tuple(timed.step_ms),
        wall_s=wall_s,
        cpu_s=cpu_s,
        audio_s=len(samples) / SAMPLE_RATE_HZ,
    )


def time_interleaved(recognizers, *, samples, repeats, first_round=0, on_round=lambda: None):
    """Time the clip `repeats` times with every recognizer, interleaved, after one untimed pass each.

    Args:
        recognizers: list of Recognizer.
        samples: float32 (n,), 16 kHz mono.
        repeats: rounds, >= 1; each round passes the clip once through every recognizer.
        first_round: number of the first round: a resumed measurement continues the rotation.
        on_round: called after each round.
    Returns:
        list (one entry a recognizer) of lists (one entry a round) of ClipTiming.
    """
    for recognizer in recognizers:
        time_clip(recognizer, samples=samples)
    timings = [[] for _ in recognizers]
    for number in range(first_round, first_round + repeats):
        for position in range(len(recognizers)):
            index = (position + number) % len(recognizers)
            timings[index].append(time_clip(recognizers[index], samples=samples))
        on_round()
    return timings


def percentiles(values):
    """Return {"p50", "p95", "p99", "mean", "count"} of a sequence of numbers; the numbers are None when it is empty."""
    if not len(values):
        return {"p50": None, "p95": None, "p99": None, "mean": None, "count": 0}
    p50, p95, p99, mean = map(float, (*np.percentile(values, [50, 95, 99]), np.mean(values)))
    return {"p50": p50, "p95": p95, "p99": p99, "mean": mean, "count": len(values)}


def peak_rss_bytes():
    """Return the largest resident memory of this process so far; None where the system does not tell.

    On Linux this is VmHWM: getrusage's maximum would begin with the size of the process that started this one.
    """
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
