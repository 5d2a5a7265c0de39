"""Verification of an export: every step of the conversion against the one before, on many chunks that carry state.

    masked dense model -> shrunk model -> one chunk at a time -> ONNX -> int8 -> .ort
                                                                  ONNX -> ticket engine, float32 and int8

The input is speech-like (runtime/synthetic.py): random numbers would exercise neither the range of log-mel features nor
the pauses in which caches and masks show their faults.
"""

import contextlib
import copy
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch

from export.container import Container
from export.errors import ExportError
from runtime.engine.session import EngineSession
from runtime.features import ENCODER_FRAME_MS, PADDING_VALUE, fbank, padded_frames
from runtime.synthetic import speech_like

SCHEMA_VERSION = 1
NUM_CHUNKS = 12
# The engine keeps states of its own, in rings: longer than any left context, so that they go round several times. And
# int8 is judged by shares of frames and symbols, which need many.
NUM_LONG_CHUNKS = 100
BATCHES = (1, 2)
# A frame in which fp32 leads by this many nats is decided: int8 has no excuse for another answer.
_DECIDED_NATS = 0.5
_MIN_AGREEMENT = 0.95
# Less probable symbols play no role in greedy decoding, and their log-probabilities wander.
_PLAUSIBLE = 0.01
# One in so many of them may be anything: a symbol told a frame earlier or later is as far off as a wrong one. Where
# there are fewer, all count.
_PLAUSIBLE_OUTLIERS = 1000
# Bounds of float32 hold for values up to this size; beyond it they grow as the gaps between neighbouring numbers do.
_SCALE = 16.0
_EXTENDED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the chain.

    Args:
        compares: what was compared, for people.
        bound: largest difference of log-probabilities and states that passes.
        reason: why the bound is what it is.
        numbers: what makes the difference: "float32" rounding, for which the bound grows with the largest value;
            "int8" rounding, for which plausible symbols and decided frames count; or nothing, "exact".
    """

    compares: str
    bound: float
    reason: str
    numbers: str = "exact"


_INT8_REASON = (
    f"a wrong scale or zero point costs far more. Counted for symbols of at least {_PLAUSIBLE:.0%}, all but one in "
    f"{_PLAUSIBLE_OUTLIERS}, and frames that fp32 decides by {_DECIDED_NATS} nats must agree in {_MIN_AGREEMENT:.0%}. "
    "What int8 does to the error rate, only real speech can tell"
)


_INT8_HINT = (
    "export without int8: --precision fp32 (or with --ticket-bits 8, where it is 4 and the engine's file that fails)"
)

STAGES = {
    "masked_vs_shrunk": Stage(
        compares="the masked dense model and the shrunk one, whole utterances, in float64",
        bound=1e-5,
        reason="the same sums without their zeros: in float64 nothing else can differ; `float32` is what the order of "
        "float32 additions makes of it",
    ),
    "chunked_vs_full": Stage(
        compares="whole utterances and one chunk at a time, in torch",
        bound=1e-4,
        reason="the same sums in matrices of other shapes, whose kernels round otherwise",
        numbers="float32",
    ),
    "torch_vs_onnx": Stage(
        compares="torch and onnxruntime fp32, one chunk at a time",
        bound=1e-4,
        reason="constants are folded and kernels differ: float32 rounding over all layers and chunks",
        numbers="float32",
    ),
    "onnx_vs_int8": Stage(
        compares="onnxruntime fp32 and int8",
        bound=2.0,
        reason=f"8-bit activations and 7-bit weights; {_INT8_REASON}",
        numbers="int8",
    ),
    "model_vs_ort": Stage(
        compares="the .ort file and the .onnx file it was made from, at the same level of optimisation",
        bound=1e-6,
        reason="the same kernels in the same order",
    ),
    "onnx_vs_engine_fp32": Stage(
        compares="onnxruntime fp32 and the ticket engine with float32 weights",
        bound=1e-4,
        reason="constants are folded and kernels differ: float32 rounding over all layers and chunks",
        numbers="float32",
    ),
    "onnx_vs_engine_int8": Stage(
        compares="onnxruntime fp32 and the ticket engine with int8 weights",
        bound=2.0,
        reason=f"8-bit activations, weights of 8 or 4 bits; {_INT8_REASON}",
        numbers="int8",
    ),
}


def verify(*, masked, model, chunk_frames, graphs, ort, tickets=(), num_chunks=NUM_CHUNKS):
    """Compare every step of an export with the one before.

    Args:
        masked: the ticket's Conformer; `model` itself where nothing was shrunk.
        model: the Conformer that was converted.
        chunk_frames: encoder frames a chunk.
        graphs: {"fp32": bytes of the .onnx file, "int8": the same, or missing}.
        ort: bytes of the .ort file, made from the last of `graphs`.
        tickets: precision -> bytes of a ticket file, "fp32" or "int8"; whatever is there runs in the engine.
        num_chunks: chunks a stream, >= 10; NUM_LONG_CHUNKS for int8 and in the engine.
    Returns:
        The JSON object of `parity.json`.
    Raises:
        ExportError: a figure is out of its bound.
        BundleError: the engine refuses a ticket file.
        EngineUnavailableError: there are ticket files and no engine.
    """
    masked.eval()
    model.eval()
    container = Container(config=model.config, chunk_frames=chunk_frames)
    figures = {}
    for batch in BATCHES:
        x_NTF = _features(batch, num_chunks=num_chunks, chunk_frames=chunk_frames)
        with _one_thread():
            pairs = _run_chain(x_NTF, model=model, container=container, graphs=graphs, ort=ort)
            pairs |= _run_long(graphs, tickets, batch=batch, container=container)
            if masked is not model:
                models = (masked, model)
                whole = [_run_whole(each, x_NTF, chunk=chunk_frames) for each in models]
                precise = [_run_whole(copy.deepcopy(each).double(), x_NTF, chunk=chunk_frames) for each in models]
                pairs["masked_vs_shrunk"] = (precise[0], []), (precise[1], [])
                figures.setdefault("float32", []).append(_differences(np.abs(whole[1] - whole[0])))
        for name, (reference, found) in pairs.items():
            figures.setdefault(name, []).append(_compare(name, reference, found))
    stages = {name: _report(name, _worst(figures[name])) for name in STAGES if name in figures}
    if "float32" in figures:
        stages["masked_vs_shrunk"]["float32"] = _worst(figures["float32"])
    _require_bounds(stages)
    signal = {"kind": "speech_like", "num_chunks": num_chunks, "chunk_frames": chunk_frames, "batches": list(BATCHES)}
    if tickets or "int8" in graphs:
        signal["num_long_chunks"] = NUM_LONG_CHUNKS
    return {"schema_version": SCHEMA_VERSION, "signal": signal, "stages": stages}


def summary(report):
    """Return (stage, largest difference, mean difference, bound, argmax agreement) rows of a `parity.json` object."""
    return [
        (
            name,
            figures.get("plausible", figures["log_probs"]["max"]),
            figures["log_probs"]["mean"],
            figures["bound"],
            figures["argmax_agreement"],
        )
        for name, figures in report["stages"].items()
    ]


@contextlib.contextmanager
def _one_thread():
    """Matrices this small are slower on several threads, and their sums depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _features(batch, *, num_chunks, chunk_frames):
    """Return float32 (batch, 4 * T + 3, 80): each row another utterance, with a pause at the end."""
    total = padded_frames(num_chunks, chunk_frames=chunk_frames)
    rows = []
    for seed in range(batch):
        features = fbank(speech_like(0.9 * num_chunks * chunk_frames * ENCODER_FRAME_MS / 1000, seed=seed))[:total]
        rows.append(np.pad(features, ((0, total - len(features)), (0, 0)), constant_values=PADDING_VALUE))
    return np.stack(rows)


def _run_chain(x_NTF, *, model, container, graphs, ort):
    """Return stage -> (reference, found), each (log-probabilities, last states)."""
    stepped = _run_steps(model, x_NTF, container=container)
    whole = _run_whole(model, x_NTF, chunk=container.chunk_frames)
    fp32 = _run_file(graphs["fp32"], x_NTF, container=container)
    source = graphs.get("int8", graphs["fp32"])
    return {
        "chunked_vs_full": ((whole, []), stepped),
        "torch_vs_onnx": (stepped, fp32),
        "model_vs_ort": (
            _run_file(source, x_NTF, container=container, level=_EXTENDED),
            _run_file(ort, x_NTF, container=container),
        ),
    }


def _run_long(graphs, tickets, *, batch, container):
    """Return stage -> (reference, found) as `_run_chain` does, of what needs many chunks: int8, and the engine."""
    if not tickets and "int8" not in graphs:
        return {}
    x_NTF = _features(batch, num_chunks=NUM_LONG_CHUNKS, chunk_frames=container.chunk_frames)
    expected = _run_file(graphs["fp32"], x_NTF, container=container)
    pairs = {}
    if "int8" in graphs:
        pairs["onnx_vs_int8"] = (expected, _run_file(graphs["int8"], x_NTF, container=container))
    for precision, data in dict(tickets).items():
        # The engine's states are no one else's to compare.
        found = _run_ticket(data, x_NTF, container=container), []
        pairs[f"onnx_vs_engine_{precision}"] = ((expected[0], []), found)
    return pairs


def _run_ticket(data, x_NTF, *, container):
    """Run the bytes of a ticket file; return the log-probabilities."""
    session = EngineSession(data)
    state, outputs = session.initial_state(len(x_NTF)), []
    for window in _windows(x_NTF, geometry=container.geometry):
        logprobs, state = session.step(window, state)
        outputs.append(logprobs)
    return np.concatenate(outputs, 1)


@torch.no_grad()
def _run_whole(model, x_NTF, *, chunk):
    return model(torch.from_numpy(x_NTF).to(model.head.weight.dtype), chunk=chunk).numpy()


@torch.no_grad()
def _run_steps(model, x_NTF, *, container):
    """Run `Conformer.step`; return the log-probabilities and the last states, packed."""
    caches, num_past = model.initial_caches(len(x_NTF)), torch.zeros(len(x_NTF), dtype=torch.int64)
    chunk, outputs = container.chunk_frames, []
    for window in _windows(x_NTF, geometry=container.geometry):
        logprobs, caches = model.step(torch.from_numpy(window), chunk=chunk, caches=caches, num_past=num_past)
        outputs.append(logprobs)
        num_past = num_past + chunk
    return torch.cat(outputs, 1).numpy(), [state.numpy() for state in container.pack(caches, num_past=num_past)]


def _run_file(data, x_NTF, *, container, level=_ALL):
    """Run the bytes of a model file; return the log-probabilities and the last states."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    states = [state.numpy() for state in container.initial_states(len(x_NTF))]
    outputs = []
    for window in _windows(x_NTF, geometry=container.geometry):
        logprobs, *states = session.run(None, dict(zip(names, [window, *states], strict=True)))
        outputs.append(logprobs)
    return np.concatenate(outputs, 1), states


def _windows(x_NTF, *, geometry):
    for start in range(0, x_NTF.shape[1] - geometry.window_frames + 1, geometry.shift_frames):
        yield np.ascontiguousarray(x_NTF[:, start : start + geometry.window_frames])


def _compare(name, reference, found):
    """Return the figures of one stage and batch."""
    (expected, expected_states), (logprobs, states) = reference, found
    agrees = logprobs.argmax(-1) == expected.argmax(-1)
    figures = {
        "log_probs": _differences(np.abs(logprobs - expected)),
        "argmax_agreement": float(agrees.mean()),
        "largest": float(np.abs(expected).max()),
    }
    if expected_states:
        pairs = zip(states, expected_states, strict=True)
        figures["states"] = _differences(np.concatenate([np.abs(a.astype(np.float64) - b).ravel() for a, b in pairs]))
    if STAGES[name].numbers == "int8":
        ordered = np.sort(expected, -1)
        is_decided = ordered[..., -1] - ordered[..., -2] >= _DECIDED_NATS
        plausible = np.abs(logprobs - expected)[expected >= np.log(_PLAUSIBLE)]
        figures["plausible_max"] = float(plausible.max())
        figures["plausible"] = float(np.quantile(plausible, 1 - 1 / _PLAUSIBLE_OUTLIERS, method="higher"))
        figures["decided_share"] = float(is_decided.mean())
        figures["decided_agreement"] = float(agrees[is_decided].mean()) if is_decided.any() else 1.0
    return figures


def _differences(values):
    return {"max": float(values.max()), "mean": float(values.mean())}


def _worst(figures):
    """Merge the figures of all batches: the smallest share, the largest difference."""
    merged = {}
    for key, first in figures[0].items():
        values = [each[key] for each in figures]
        if isinstance(first, dict):
            merged[key] = _worst(values)
        else:
            merged[key] = min(values) if key.endswith(("agreement", "share")) else max(values)
    return merged


def _report(name, figures):
    """Add what was compared and the bound to the figures of a stage."""
    stage, largest = STAGES[name], figures.pop("largest")
    bound = stage.bound * max(1.0, largest / _SCALE) if stage.numbers == "float32" else stage.bound
    return {"compares": stage.compares, **figures, "bound": bound, "reason": stage.reason}


def _require_bounds(stages):
    for name, figures in stages.items():
        largest, agreement = figures["log_probs"]["max"], ""
        is_int8 = STAGES[name].numbers == "int8"
        if is_int8:
            largest = figures["plausible"]
            agreement = f"; decided frames agree in {figures['decided_agreement']:.1%}"
        elif "states" in figures:
            largest = max(largest, figures["states"]["max"])
        is_agreed = figures.get("decided_agreement", 1.0) >= _MIN_AGREEMENT
        # Written so that NaN fails.
        if not (largest <= figures["bound"] and is_agreed):
            raise ExportError(
                f"{name} ({figures['compares']}): largest difference {largest:.3g}, mean "
                f"{figures['log_probs']['mean']:.3g}, bound {figures['bound']:.3g}{agreement}",
                hint=_INT8_HINT if is_int8 else None,
            )
