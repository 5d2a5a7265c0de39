"""Measurements in a process of their own, where threads are fixed before numpy starts and memory is the model's own.

The parent calls `measure_clips`, `measure_paced` and `measure_footprint`; the child is
`python -P -m runtime.measurement`, which reads one job as JSON from stdin and writes one answer as JSON to stdout.
Progress goes to stderr.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.streams import quiet_libraries

MAX_AUDIO_S = 60.0
# Fewer, and a percentile of their times says nothing.
MIN_CHUNKS = 3
_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
# The libraries that numpy's matrix product may come from.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bundle at one precision in one backend: what is compared.

    Args:
        bundle: path of the bundle directory.
        precision: "fp32" or "int8".
        backend: "onnxruntime" or "engine".
    """

    bundle: str
    precision: str
    backend: str = "onnxruntime"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What all candidates have in common.

    Args:
        threads: of onnxruntime and of numpy.
        audio: path of a sound file, or None for the built-in signal; only its first MAX_AUDIO_S seconds are used.
        require_signature, allow_any_operators: see runtime.recognizer.Recognizer.
    """

    threads: int = 1
    audio: str | None = None
    require_signature: str | None = None
    allow_any_operators: bool = False


def measure_clips(candidates, *, conditions, repeats, first_round=0):
    """Time the clip with all candidates, interleaved; see runtime.latency.time_interleaved.

    Returns:
        list (one entry a candidate) of lists (one entry a round) of dicts with the fields of ClipTiming.
    """
    return _run(candidates, kind="clips", conditions=conditions, repeats=repeats, first_round=first_round)


def measure_paced(candidates, *, conditions):
    """Play the clip at the pace of a microphone to one candidate after the other: list of dicts of PacedTiming."""
    return _run(candidates, kind="paced", conditions=conditions)


def measure_footprint(candidate, *, conditions):
    """Load one candidate in a fresh process and recognise the clip.

    Returns:
        dict: instruction_set (of the engine; None for onnxruntime), load_s (model load and verification, imports
        apart), peak_rss_bytes, imports_rss_bytes (the peak before the model was loaded); the last two None where the
        system does not tell.
    """
    return _run([candidate], kind="footprint", conditions=conditions)


def _run(candidates, **job):
    """Run one job in a child process.

    Raises:
        LotteryError: the child met one, or died.
    """
    job["conditions"] = asdict(job["conditions"])
    job["candidates"] = [asdict(candidate) for candidate in candidates]
    threads = {name: str(job["conditions"]["threads"]) for name in _THREAD_VARIABLES}
    path = os.pathsep.join(filter(None, [str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH")]))
    child = subprocess.run(
        # -P keeps the user's folder off the module path: a folder named runtime/ there must not become this package.
        [sys.executable, "-P", "-m", "runtime.measurement"],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **threads, "PYTHONPATH": path},
    )
    if child.returncode != 0:
        raise LotteryError(
            f"the measuring process ended with status {child.returncode}",
            hint="its own message stands above; too little memory is a usual reason",
        )
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise LotteryError(answer["error"], hint=answer["hint"])
    return answer["result"]


def load_clip(audio):
    """Return what all candidates listen to: float32 (n,), 16 kHz mono.

    Args:
        audio: path of a sound file, or None for the built-in signal.
    Raises:
        LotteryError: the file cannot be read, or is shorter than two seconds.
    """
    import numpy as np
    import soxr

    from runtime.audio import read_blocks
    from runtime.features import SAMPLE_RATE_HZ
    from runtime.synthetic import speech_like

    if audio is None:
        return speech_like()
    kept, kept_s = [], 0.0
    with read_blocks(audio) as blocks:
        for block in blocks:
            kept.append(block)
            kept_s += len(block) / blocks.sample_rate_hz
            if kept_s >= MAX_AUDIO_S:
                break
    if kept_s < 2.0:
        raise LotteryError(f"{audio}: {kept_s:.2f} s of audio, a measurement needs 2 s or more")
    # Resampled before the clock starts: the model is measured, not the resampler.
    return np.asarray(soxr.resample(np.concatenate(kept), blocks.sample_rate_hz, SAMPLE_RATE_HZ), np.float32)


def require_chunks(samples, *, chunk_frames, bundle):
    """Refuse a clip that would leave too few chunks to time.

    Args:
        samples: float32 (n,), 16 kHz mono.
        chunk_frames: encoder frames a chunk of the bundle.
        bundle: its path, for the message.
    Raises:
        LotteryError: fewer than MIN_CHUNKS would be complete before the clip ends.
    """
    from runtime.features import ENCODER_FRAME_MS, SAMPLE_RATE_HZ

    chunk_s = chunk_frames * ENCODER_FRAME_MS / 1000
    audio_s = len(samples) / SAMPLE_RATE_HZ
    # The first chunk ends a little after its own length: its last frame looks ahead.
    needed_s = (MIN_CHUNKS + 1) * chunk_s
    if audio_s < needed_s:
        can_be_longer = needed_s <= MAX_AUDIO_S
        raise LotteryError(
            f"{bundle}: {audio_s:.2f} s of audio, chunks of {chunk_s:g} s need {needed_s:g} s or more to be timed",
            hint="give a longer clip with --audio" if can_be_longer else "export it with a shorter --chunk-ms",
        )


def _open(candidate, *, conditions, samples):
    from runtime.recognizer import Recognizer

    recognizer = Recognizer(
        candidate["bundle"],
        precision=candidate["precision"],
        backend=candidate["backend"],
        num_threads=conditions["threads"],
        require_signature=conditions["require_signature"],
        allow_any_operators=conditions["allow_any_operators"],
    )
    require_chunks(samples, chunk_frames=recognizer.manifest.chunk_frames, bundle=candidate["bundle"])
    return recognizer


def _clips(job):
    from tqdm import tqdm

    from runtime.latency import time_interleaved

    samples = load_clip(job["conditions"]["audio"])
    recognizers = [_open(candidate, conditions=job["conditions"], samples=samples) for candidate in job["candidates"]]
    with tqdm(total=job["repeats"], desc="timing", unit="round", disable=not sys.stderr.isatty()) as progress:
        timings = time_interleaved(
            recognizers,
            samples=samples,
            repeats=job["repeats"],
            first_round=job["first_round"],
            on_round=progress.update,
        )
    return [[asdict(timing) for timing in rounds] for rounds in timings]


def _paced(job):
    from tqdm import tqdm

    from runtime.latency import time_clip
    from runtime.paced import time_paced

    samples = load_clip(job["conditions"]["audio"])
    timings = []
    for candidate in tqdm(job["candidates"], desc="real-time stream", unit="bundle", disable=not sys.stderr.isatty()):
        recognizer = _open(candidate, conditions=job["conditions"], samples=samples)
        time_clip(recognizer, samples=samples)
        timings.append(asdict(time_paced(recognizer, samples=samples)))
    return timings


def _footprint(job):
    # Loading the library is not loading the model.
    if job["candidates"][0]["backend"] == "engine":
        from runtime.engine import library

        library.load()
    else:
        with quiet_libraries():
            import onnxruntime  # noqa: F401

    from runtime.latency import peak_rss_bytes, time_clip

    samples = load_clip(job["conditions"]["audio"])
    imports_rss_bytes = peak_rss_bytes()
    start = time.perf_counter()
    recognizer = _open(job["candidates"][0], conditions=job["conditions"], samples=samples)
    load_s = time.perf_counter() - start
    time_clip(recognizer, samples=samples)
    return {
        "instruction_set": recognizer.instruction_set,
        "load_s": load_s,
        "peak_rss_bytes": peak_rss_bytes(),
        "imports_rss_bytes": imports_rss_bytes,
    }


def _answer(job):
    try:
        return {"result": {"clips": _clips, "paced": _paced, "footprint": _footprint}[job["kind"]](job)}
    except LotteryError as error:
        return {"error": str(error), "hint": error.hint}


def _main(argv):
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    sys.exit(run_command(_main))
