"""Times models in a process of their own: one core, one thread, interleaved; `python -P -m benchmarks.engine_timing`.

The parent calls `measure`; the child reads one job as JSON from stdin and writes one answer as JSON to stdout.

How a round goes: every contestant once, in an order that rotates from round to round. Before each, the process reads a
buffer several times as large as the second-level cache, so that no weights, however small, are left in it from the
round before; then comes a chunk (`cold`: weights come from beyond, as in a real model, which does other things between
two chunks) and at once another (`warm`: what fits in the cache is still there). Each contestant hears the same
speech-like signal and carries its state on.
"""

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import CHECKOUT
from runtime.errors import LotteryError

WARM_UP_CHUNKS = 2
# A core that has run the matrix instructions of one contestant stays at a lower clock for a while: each gets time to
# come to its own. Measured: beside onnxruntime int8 (AMX) the next one's chunk takes up to 1.5 times as long.
SETTLE_S = 0.01
FOOTPRINT_CHUNKS = 3
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_CACHE_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
# Where the system does not tell the size of the second-level cache.
_USUAL_L2_BYTES = 2 << 20
_CACHE_MULTIPLE = 4


def measure(kind, **job):
    """Run one job in a fresh process.

    Args:
        kind: "rounds", "footprint", "error" or "peaks": see the functions of those names, which say what they take.
    Returns:
        What the function returns.
    Raises:
        LotteryError: the process met an error, or died.
    """
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    child = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.engine_timing"],
        input=json.dumps({"kind": kind, **job}),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, "1"), "PYTHONPATH": path},
    )
    if child.returncode != 0:
        raise LotteryError(
            f"the measuring process ended with status {child.returncode}",
            hint="its own message stands above; too little memory is a usual reason",
        )
    return json.loads(child.stdout)


def rounds(*, models, chunk_frames, num_rounds):
    """Time models, interleaved.

    Args:
        models: list of [key, contestant, path].
        chunk_frames: encoder frames a chunk of them all.
        num_rounds: timed rounds.
    Returns:
        key -> {"load_s", "cold_ms", "warm_ms" (lists, one number a round), "facts"}, or {"error"} where the runtime is
        missing or refuses the file.
    """
    from tqdm import tqdm

    windows, evict = speech_windows(chunk_frames), Eviction()
    found, opened = {}, []
    for key, contestant, path in tqdm(models, desc="loading", unit="model", disable=not sys.stderr.isatty()):
        model, found[key] = _try_open(contestant, path)
        if model is not None:
            opened.append((model, found[key]))
    for model, _ in opened:
        for number in range(WARM_UP_CHUNKS):
            model.run(windows[number % len(windows)])
    # A collection in the middle of a chunk would be timed as the model's.
    gc.disable()
    for number in tqdm(range(num_rounds), desc="timing", unit="round", disable=not sys.stderr.isatty()):
        first = (WARM_UP_CHUNKS + 2 * number) % len(windows)
        for position in range(len(opened)):
            model, times = opened[(position + number) % len(opened)]
            settled_s = time.perf_counter() + SETTLE_S
            while time.perf_counter() < settled_s:
                model.run(windows[first])
            evict()
            for name, window in (("cold_ms", first), ("warm_ms", (first + 1) % len(windows))):
                start = time.perf_counter()
                model.run(windows[window])
                times[name].append(1e3 * (time.perf_counter() - start))
        gc.collect()
    return found


def _try_open(contestant, path):
    """Return (model, its empty record), or (None, what went wrong)."""
    from benchmarks.engine_runtimes import import_runtime, timed_open

    try:
        import_runtime(contestant)
        model, load_s = timed_open(contestant, path)
    except ImportError as error:
        return None, {"error": f"not installed: {error}"}
    except Exception as error:
        # Runtimes raise classes of their own, which share no base. Where the file lies is no one's business.
        text = str(error).replace(str(path), Path(path).name)
        return None, {"error": text.splitlines()[0] if text else type(error).__name__}
    return model, {"load_s": load_s, "cold_ms": [], "warm_ms": [], "facts": model.facts}


def footprint(*, contestant, path, chunk_frames):
    """Load one model in this fresh process and run some chunks.

    Returns:
        {"load_s", "peak_rss_bytes", "imports_rss_bytes" (the peak before the model was loaded)}, or {"error"}.
    """
    import numpy as np

    from benchmarks.engine_runtimes import import_runtime
    from runtime.features import NUM_MELS
    from runtime.latency import peak_rss_bytes

    # Not speech: its features would take more memory than many a model.
    window = np.random.default_rng(0).normal(size=(1, 4 * chunk_frames + 3, NUM_MELS)).astype(np.float32)
    try:
        import_runtime(contestant)
    except ImportError as error:
        return {"error": f"not installed: {error}"}
    imports_rss_bytes = peak_rss_bytes()
    model, record = _try_open(contestant, path)
    if model is None:
        return record
    for _ in range(FOOTPRINT_CHUNKS):
        model.run(window)
    return {
        "load_s": record["load_s"],
        "peak_rss_bytes": peak_rss_bytes(),
        "imports_rss_bytes": imports_rss_bytes,
    }


def error(*, reference, other, chunk_frames, num_chunks):
    """Run the same chunks through two models, state carried on.

    Args:
        reference, other: [contestant, path].
        num_chunks: how many.
    Returns:
        {"max", "mean"}: differences of log-probabilities.
    """
    import numpy as np

    from benchmarks.engine_runtimes import open_model

    windows = speech_windows(chunk_frames, num_chunks=num_chunks)
    first, second = open_model(*reference), open_model(*other)
    differences = np.stack([np.abs(first.run(window) - second.run(window)) for window in windows])
    return {"max": float(differences.max()), "mean": float(differences.mean()), "num_chunks": len(windows)}


def speech_windows(chunk_frames, *, num_chunks=None):
    """Return the windows, float32 (1, 4T+3, F), of a speech-like signal of 30 s, or as long as `num_chunks` need."""
    import numpy as np

    from runtime.features import ENCODER_FRAME_MS, fbank
    from runtime.synthetic import speech_like

    chunk_s = chunk_frames * ENCODER_FRAME_MS / 1000
    features_TF = fbank(speech_like(30.0 if num_chunks is None else (num_chunks + 2) * chunk_s)).astype(np.float32)
    shift, length = 4 * chunk_frames, 4 * chunk_frames + 3
    starts = range(0, len(features_TF) - length + 1, shift)
    return [np.ascontiguousarray(features_TF[None, start : start + length]) for start in starts][:num_chunks]


class Eviction:
    """Reads a buffer several times as large as the second-level cache, which leaves nothing else in it."""

    def __init__(self):
        import numpy as np

        self.num_bytes = _CACHE_MULTIPLE * l2_bytes()
        # Written, because untouched pages are all one.
        self._buffer = np.ones(self.num_bytes // 8, np.int64)

    def __call__(self):
        self._buffer.sum()


def l2_bytes():
    """Return the size of the second-level cache of a core."""
    for folder in sorted(_CACHE_FOLDER.glob("index*")):
        try:
            level, size = ((folder / name).read_text().strip() for name in ("level", "size"))
        except OSError:
            continue
        if level == "2" and size.endswith("K"):
            return int(size[:-1]) << 10
    return _USUAL_L2_BYTES


def peaks(*, path):
    """Measure what the machine gives one thread.

    Args:
        path: ticket file of `peak_model`, whose weights fit in the second-level cache.
    Returns:
        dict: `read_bytes_per_s` (numpy reading 64 MiB, the fastest of three ways), `fp32_multiply_adds_per_s` (numpy's
        matrix product of two 512 x 512 matrices), `int8_multiply_adds_per_s` (four times that: a vector instruction
        for sums of 8-bit products does four in the place of one in float32, where a processor has such), and
        `engine_step_ms` of the ticket file, weights in cache.
    """
    import numpy as np

    from benchmarks.engine_runtimes import EngineModel

    buffer = np.ones(64 << 17, np.int64)
    # No byte of the text is 7, so that the search reads them all.
    floats, text = buffer.view(np.float32), buffer.tobytes()
    read_s = _fastest(lambda: buffer.sum(), lambda: np.dot(floats, floats), lambda: text.find(7), repeats=15)
    square = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    product_s = _fastest(lambda: square @ square, repeats=60)
    model = EngineModel(path)
    window = speech_windows(PEAK_CHUNK_FRAMES)[0]
    step_s = _fastest(lambda: model.run(window), repeats=200)
    fp32 = 512**3 / product_s
    return {
        "read_bytes_per_s": buffer.nbytes / read_s,
        "fp32_multiply_adds_per_s": fp32,
        "int8_multiply_adds_per_s": 4 * fp32,
        "engine_step_ms": 1e3 * step_s,
        "l2_bytes": l2_bytes(),
        "evicted_bytes": Eviction().num_bytes,
    }


# Of the model that shows how fast the engine's int8 product is where nothing else counts.
PEAK_CHUNK_FRAMES = 64


def _fastest(*functions, repeats):
    fastest_s = float("inf")
    for _ in range(repeats):
        for function in functions:
            start = time.perf_counter()
            function()
            fastest_s = min(fastest_s, time.perf_counter() - start)
    return fastest_s


def _pin():
    """Stay on one core: a runtime's own thread would use another's cache, which nothing evicts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _main():
    job = json.load(sys.stdin)
    _pin()
    kind = job.pop("kind")
    json.dump({"rounds": rounds, "footprint": footprint, "error": error, "peaks": peaks}[kind](**job), sys.stdout)


if __name__ == "__main__":
    try:
        _main()
    except LotteryError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
