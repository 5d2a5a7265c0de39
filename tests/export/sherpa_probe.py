"""A model that says what it hears: sherpa-onnx shows no features, so its tokens spell those of every chunk.

Each feature becomes a number of 24 bits, written as three symbols of 8 bits. Symbols of even and of odd places differ,
so that CTC never collapses two of them.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from export.container import FEATURES_NAME, LOGPROBS_NAME, Container
from lottery_train.models import ConformerConfig
from runtime.tokenizer import BLANK, Tokenizer

CHUNK_FRAMES = 1
BASE, NUM_DIGITS = 256, 3
# Features lie within ±32: the natural log of the energies of samples in ±1 is between -16 and 12.
LOW, STEP = -32.0, 64.0 / BASE**NUM_DIGITS
# Digits d in even and in odd places are the symbols 1 + 2d and 2 + 2d.
TOKENIZER = Tokenizer((BLANK, *(f"s{index}" for index in range(1, 1 + 2 * BASE))))
_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def container():
    """Return the Container of the probe; its states are as small as they come."""
    config = ConformerConfig.uniform(
        num_blocks=1,
        ff=8,
        heads=1,
        conv=8,
        vocab_size=len(TOKENIZER),
        model_width=8,
        stem_width=8,
        head_width=8,
        conv_kernel=3,
        left_context_frames=1,
        max_chunk_frames=1,
    )
    return Container(config=config, chunk_frames=CHUNK_FRAMES)


def build_probe():
    """Return the onnx.ModelProto: features (1, 7, 80) in; symbols of 7 * 80 * 3 digits, most significant first, out."""
    shape, states = container().geometry, container().states
    num_symbols = shape.window_frames * shape.num_mels * NUM_DIGITS
    constants = {
        "low": np.float64(LOW),
        "step": np.float64(STEP),
        "column": np.array([-1, 1]),
        "places": BASE ** np.arange(NUM_DIGITS - 1, -1, -1),
        "base": np.int64(BASE),
        "flat": np.array([1, num_symbols]),
        "two": np.int64(2),
        "offsets": 1 + np.arange(num_symbols)[None] % 2,
        "depth": np.int64(len(TOKENIZER)),
        "values": np.array([0, 1], np.float32),
    }
    nodes = [
        helper.make_node("Cast", [FEATURES_NAME], ["exact"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["exact", "low"], ["above"]),
        helper.make_node("Div", ["above", "step"], ["steps"]),
        helper.make_node("Round", ["steps"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["number"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["number", "column"], ["numbers"]),
        helper.make_node("Div", ["numbers", "places"], ["shifted"]),
        helper.make_node("Mod", ["shifted", "base"], ["digits"]),
        helper.make_node("Reshape", ["digits", "flat"], ["line"]),
        helper.make_node("Mul", ["line", "two"], ["doubled"]),
        helper.make_node("Add", ["doubled", "offsets"], ["symbols"]),
        helper.make_node("OneHot", ["symbols", "depth", "values"], [LOGPROBS_NAME]),
        *(helper.make_node("Identity", [state.name], [f"new_{state.name}"]) for state in states),
    ]

    def values(prefix):
        return [
            helper.make_tensor_value_info(prefix + state.name, _TYPES[state.dtype], [abs(size) for size in state.shape])
            for state in states
        ]

    features = helper.make_tensor_value_info(FEATURES_NAME, TensorProto.FLOAT, [1, shape.window_frames, shape.num_mels])
    logprobs = helper.make_tensor_value_info(LOGPROBS_NAME, TensorProto.FLOAT, [1, num_symbols, len(TOKENIZER)])
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes, "probe", [features, *values("")], [logprobs, *values("new_")], initializer=initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, container().metadata)
    return model


def read_probe(tokens):
    """Return the features that tokens spell: float64 (chunks, 7, 80), within STEP / 2."""
    shape = container().geometry
    ids = np.array([TOKENIZER.symbols.index(token) for token in tokens])
    numbers = ((ids - 1) // 2).reshape(-1, NUM_DIGITS) @ BASE ** np.arange(NUM_DIGITS - 1, -1, -1)
    return (LOW + numbers * STEP).reshape(-1, shape.window_frames, shape.num_mels)
