"""From a Conformer to ONNX files: the fp32 graph, and its int8 version.

Only standard operators are written (opset 18), so that any engine can read the files; onnxruntime fuses them when it
loads them. Nothing in the files depends on when, where or how often they were made.
"""

import contextlib
import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.container import FEATURES_NAME, LOGPROBS_NAME, Container
from export.errors import ExportError
from export.streaming import StreamingStep

OPSET = 18
# The newest intermediate representation that the onnxruntime inside released sherpa-onnx builds reads.
MAX_IR_VERSION = 10
# Below this the conversion of the activations costs more than the integer product saves (measured: 128 x 64).
MIN_INT8_WEIGHTS = 8192
_PRODUCER = "lottery-asr"
_MAX_BATCH = 1 << 16


def export_onnx(model, *, chunk_frames):
    """Convert a model to the container's graph, for any batch size.

    Args:
        model: Conformer.
        chunk_frames: encoder frames (40 ms) a chunk.
    Returns:
        onnx.ModelProto, float32.
    Raises:
        ExportError: the model does not fit the container.
    """
    container = Container(config=model.config, chunk_frames=chunk_frames)
    step = StreamingStep(model.eval(), container=container).eval()
    states = container.states
    # Two streams: an axis of length 1 would be taken for a constant.
    features = torch.zeros(2, container.geometry.window_frames, model.config.num_mels)
    batch = torch.export.Dim("N", min=1, max=_MAX_BATCH)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            step,
            (features, *container.initial_states(2)),
            input_names=[FEATURES_NAME, *(spec.name for spec in states)],
            output_names=[LOGPROBS_NAME, *(f"new_{spec.name}" for spec in states)],
            dynamic_shapes=({0: batch}, *({spec.shape.index(-1): batch} for spec in states)),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    graph = program.model_proto
    _strip(graph)
    _set_metadata(graph, container.metadata)
    if graph.ir_version > MAX_IR_VERSION or [entry.version for entry in graph.opset_import] != [OPSET]:
        raise ExportError(f"torch wrote IR {graph.ir_version} and operator sets {graph.opset_import}: unsupported")
    onnx.checker.check_model(graph)
    return graph


def quantize(graph):
    """Convert the larger matrix products with constant weights to dynamic int8.

    Weights: symmetric, one scale an output, 7 bits: two products of an 8-bit activation and a 7-bit weight never
    overflow the 16-bit sums of x86 processors without VNNI, so that every processor computes what was verified here.

    Args:
        graph: onnx.ModelProto of `export_onnx`; left as it is.
    Returns:
        onnx.ModelProto.
    """
    sizes = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    products = [node for node in graph.graph.node if node.op_type == "MatMul"]
    kept = [node.name for node in products if not _pays_off(sizes.get(node.input[1]))]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, prepared, target = (str(Path(folder) / name) for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(graph, source)
        # Shapes only: its optimiser would merge products and biases into Gemm, which has no dynamic int8 form.
        quant_pre_process(source, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=kept,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        result = onnx.load(target)
    _strip(result)
    _set_metadata(result, {entry.key: entry.value for entry in graph.metadata_props})
    onnx.checker.check_model(result)
    return result


def count_ops(graph):
    """Return how often each operator occurs: Counter."""
    return Counter(node.op_type for node in graph.graph.node)


def _pays_off(dims):
    return dims is not None and len(dims) == 2 and dims[0] * dims[1] >= MIN_INT8_WEIGHTS


def _strip(graph):
    """Remove what the tools noted about their own doing: source paths, doc strings, intermediate shapes."""
    graph.producer_name, graph.producer_version, graph.doc_string = _PRODUCER, "", ""
    del graph.metadata_props[:], graph.graph.metadata_props[:], graph.graph.value_info[:]
    body = graph.graph
    body.name, body.doc_string = "streaming_conformer_ctc", ""
    for item in (*body.node, *body.input, *body.output, *body.initializer):
        item.doc_string = ""
        del item.metadata_props[:]


def _set_metadata(graph, values):
    onnx.helper.set_model_props(graph, values)


@contextlib.contextmanager
def _quiet():
    """Keep the exporters' remarks about their own internals (missing torchvision, deprecations) from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
