"""A whole bundle of a few kilobytes whose model hears tones: every symbol is a pitch, silence is the CTC blank.

The graph is made of operators that lottery-export writes, and has the inputs, outputs and states of the real container
(docs: bundle format). It computes each frame's emissions from one feature frame, then mixes in the previous frame
(through `cached_conv1_0`) and the mean of the last LEFT_CONTEXT frames (through `cached_key_0`, weighted by
`processed_lens`): a runtime that mishandles a state gets other probabilities, which `reference_logprobs` exposes.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.features import HIGH_HZ, LOW_HZ, NUM_MELS, SAMPLE_RATE_HZ
from runtime.manifest import FileEntry, Geometry, Manifest, StateSpec
from runtime.tokenizer import WORD_START, Tokenizer

TOKENIZER = Tokenizer(("<blk>", WORD_START, "a", "b", "c", "d", "e"))
CHUNK_FRAMES = 4
LEFT_CONTEXT = 8
TONE_S = 0.16
GAP_S = 0.08
_VOCAB = len(TOKENIZER)
_CONV = 8
# The mel bin of each symbol but the blank; all below 3.4 kHz, so that telephone audio carries them.
_BINS = (8, 17, 26, 35, 44, 53)
_THRESHOLD = 0.0
_PREVIOUS, _CONTEXT = 0.3, 0.02
_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64


def geometry(chunk_frames=CHUNK_FRAMES):
    """Return the Geometry of the tiny model."""
    return Geometry(chunk_frames=chunk_frames, left_context=LEFT_CONTEXT, vocab_size=_VOCAB)


def speak(text, *, sample_rate_hz=SAMPLE_RATE_HZ, gap_s=GAP_S):
    """Return float32 (n,): the tones that spell `text` (letters a to e, spaces), silence between and around."""
    mel = [1127.0 * np.log1p(hz / 700.0) for hz in (LOW_HZ, HIGH_HZ)]
    time_s = np.arange(round(TONE_S * sample_rate_hz)) / sample_rate_hz
    gap = np.zeros(round(gap_s * sample_rate_hz))
    pieces = [gap]
    for symbol in (TOKENIZER.symbols.index(character) for character in text.replace(" ", WORD_START)):
        centre = mel[0] + (mel[1] - mel[0]) * (_BINS[symbol - 1] + 1) / (NUM_MELS + 1)
        pieces += [0.3 * np.sin(2 * np.pi * 700.0 * np.expm1(centre / 1127.0) * time_s), gap]
    return np.concatenate(pieces).astype(np.float32)


def write_tiny_bundle(path, *, chunk_frames=CHUNK_FRAMES, has_fp32=True, has_int8=True):
    """Write a bundle directory and return its path; the int8 model is the same graph under another name."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    model = build_model(chunk_frames)
    names = {"model": "model.onnx"} if has_fp32 else {}
    names |= {"model_int8": "model.int8.onnx"} if has_int8 else {}
    for name in names.values():
        onnx.save(model, path / name)
    names["tokens"] = "tokens.txt"
    TOKENIZER.save(path / names["tokens"])
    Manifest(
        name=path.name,
        created_by="tests",
        chunk_frames=chunk_frames,
        left_context=LEFT_CONTEXT,
        vocab_size=_VOCAB,
        states=state_specs(),
        files={role: FileEntry.of(name, bundle=path) for role, name in names.items()},
    ).write(path)
    return path


def state_specs():
    """Return the states of the container, in the order of the graph's inputs."""
    shapes = {
        "cached_key_0": (LEFT_CONTEXT, -1, _VOCAB),
        "cached_nonlin_attn_0": (1, -1, LEFT_CONTEXT, 3 * _CONV // 4),
        "cached_val1_0": (LEFT_CONTEXT, -1, 1),
        "cached_val2_0": (LEFT_CONTEXT, -1, 1),
        "cached_conv1_0": (-1, _CONV, 1),
        "cached_conv2_0": (-1, _CONV, 1),
        "embed_states": (-1, 128, 3, 19),
        "processed_lens": (-1,),
    }
    return tuple(
        StateSpec(name=name, shape=shape, dtype="int64" if name == "processed_lens" else "float32")
        for name, shape in shapes.items()
    )


def emission_weights():
    """Return float32 (80, V) and (V,): features to emissions, positive for the symbol whose tone sounds."""
    weights = np.zeros((NUM_MELS, _VOCAB), np.float32)
    for symbol, centre in enumerate(_BINS, start=1):
        weights[centre - 1 : centre + 2, symbol] = 1 / 3
    bias = np.full(_VOCAB, -_THRESHOLD, np.float32)
    bias[0] = 0.0
    return weights, bias


def reference_logprobs(features_TF, *, chunk_frames=CHUNK_FRAMES):
    """Compute what the model returns for a whole clip, without caches: float64 (T', V).

    Args:
        features_TF: padded features, a whole number of chunks.
    """
    weights, bias = emission_weights()
    emissions = features_TF[3:-3:4].astype(np.float64) @ weights + bias
    previous = np.concatenate([np.zeros((1, _VOCAB)), emissions[:-1]])
    logits = (1 - _PREVIOUS) * emissions + _PREVIOUS * previous
    for start in range(0, len(logits), chunk_frames):
        logits[start : start + chunk_frames] += (
            _CONTEXT * emissions[max(0, start - LEFT_CONTEXT) : start].sum(axis=0) / LEFT_CONTEXT
        )
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def build_model(chunk_frames=CHUNK_FRAMES, *, states=None):
    """Return the ONNX model; `states` replaces the declared inputs, to make a graph that a manifest contradicts."""
    states = state_specs() if states is None else states
    weights, bias = emission_weights()
    constants = {
        "weights": weights,
        "bias": bias,
        "first": np.array([3]),
        "end": np.array([4 * chunk_frames]),
        "axis0": np.array([0]),
        "axis1": np.array([1]),
        "axis2": np.array([2]),
        "four": np.array([4]),
        "zero": np.array([0]),
        "minus1": np.array([-1]),
        "huge": np.array([1 << 30]),
        "vocab": np.array([_VOCAB]),
        "chunk": np.array([chunk_frames]),
        "now": np.float32(1 - _PREVIOUS),
        "before": np.float32(_PREVIOUS),
        "past": np.float32(_CONTEXT),
        "one": np.array([1]),
        "is_now": np.float32(1),
        "is_not": np.float32(0),
    }
    node = helper.make_node
    nodes = [
        node("Slice", ["x", "first", "end", "axis1", "four"], ["centres"]),
        node("MatMul", ["centres", "weights"], ["products"]),
        node("Add", ["products", "bias"], ["emissions"]),
        # the frame before, across the seam
        node("Slice", ["cached_conv1_0", "zero", "vocab", "axis1"], ["seam"]),
        node("Transpose", ["seam"], ["seam_row"], perm=[0, 2, 1]),
        node("Slice", ["emissions", "zero", "minus1", "axis1"], ["all_but_last"]),
        node("Concat", ["seam_row", "all_but_last"], ["previous"], axis=1),
        node("Mul", ["emissions", "now"], ["part_now"]),
        node("Mul", ["previous", "before"], ["part_before"]),
        # the frames before the chunk; `processed_lens` hides what an unborn utterance cannot have
        node("ReduceMean", ["cached_key_0", "axis0"], ["means"], keepdims=0),
        node("GreaterOrEqual", ["processed_lens", "one"], ["is_begun"]),
        node("Where", ["is_begun", "is_now", "is_not"], ["is_begun_float"]),
        node("Unsqueeze", ["is_begun_float", "axis1"], ["gate"]),
        node("Mul", ["means", "gate"], ["gated"]),
        node("Mul", ["gated", "past"], ["scaled"]),
        node("Unsqueeze", ["scaled", "axis1"], ["context"]),
        node("Add", ["part_now", "part_before"], ["mixed"]),
        node("Add", ["mixed", "context"], ["logits"]),
        node("LogSoftmax", ["logits"], ["log_probs"], axis=-1),
        # the next states
        node("Transpose", ["emissions"], ["emissions_first"], perm=[1, 0, 2]),
        node("Concat", ["cached_key_0", "emissions_first"], ["longer"], axis=0),
        node("Slice", ["longer", "chunk", "huge", "axis0"], ["new_cached_key_0"]),
        node("Slice", ["emissions", "minus1", "huge", "axis1"], ["last_row"]),
        node("Transpose", ["last_row"], ["last"], perm=[0, 2, 1]),
        # zeros in the other channels, from a state that stays as it begins
        node("Slice", ["cached_conv2_0", "vocab", "huge", "axis1"], ["spare"]),
        node("Concat", ["last", "spare"], ["new_cached_conv1_0"], axis=1),
        node("Add", ["processed_lens", "chunk"], ["new_processed_lens"]),
    ]
    passed_on = ("cached_nonlin_attn_0", "cached_val1_0", "cached_val2_0", "cached_conv2_0", "embed_states")
    nodes += [node("Identity", [name], [f"new_{name}"]) for name in passed_on]
    inputs = [helper.make_tensor_value_info("x", _FLOAT, ["N", geometry(chunk_frames).window_frames, NUM_MELS])]
    outputs = [helper.make_tensor_value_info("log_probs", _FLOAT, ["N", chunk_frames, _VOCAB])]
    for state in states:
        kind = _INT if state.dtype == "int64" else _FLOAT
        shape = ["N" if size == -1 else size for size in state.shape]
        inputs.append(helper.make_tensor_value_info(state.name, kind, shape))
        outputs.append(helper.make_tensor_value_info(f"new_{state.name}", kind, shape))
    used = {name for given in nodes for name in given.input}
    initializers = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in used
    ]
    graph = helper.make_graph(nodes, "tones", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model
