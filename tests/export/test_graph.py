"""The files: torch == ONNX over ten chunks with state, int8 that is int8, .ort == .onnx, no traces of the maker."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.graph import MAX_IR_VERSION, MIN_INT8_WEIGHTS, OPSET, count_ops
from runtime.features import fbank
from runtime.synthetic import speech_like
from tests.export.models import CHUNK_FRAMES

NUM_CHUNKS = 12
LEVELS = onnxruntime.GraphOptimizationLevel


def features(batch):
    """Return float32 (batch, T, 80): speech-like, each row another utterance."""
    num_frames = 4 * CHUNK_FRAMES * NUM_CHUNKS + 3
    return np.stack([fbank(speech_like(5.0, seed=seed))[:num_frames] for seed in range(batch)])


def run_chunks(data, x_NTF, *, container, level=LEVELS.ORT_ENABLE_ALL):
    """Run the bytes of a model file; return (log-probabilities, last states)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names, geometry = [given.name for given in session.get_inputs()], container.geometry
    states, outputs = [state.numpy() for state in container.initial_states(len(x_NTF))], []
    for chunk in range(NUM_CHUNKS):
        window = x_NTF[:, chunk * geometry.shift_frames :][:, : geometry.window_frames]
        logprobs, *states = session.run(None, dict(zip(names, [window, *states], strict=True)))
        outputs.append(logprobs)
    return np.concatenate(outputs, 1), states


@pytest.mark.parametrize("batch", [1, 3])
def test_torch_equals_onnx(exported, batch):
    x_NTF = features(batch)
    found, states = run_chunks(exported.fp32.SerializeToString(), x_NTF, container=exported.container)
    with torch.no_grad():
        expected = exported.model(torch.from_numpy(x_NTF), chunk=CHUNK_FRAMES).numpy()
    assert expected.shape == (batch, NUM_CHUNKS * CHUNK_FRAMES, exported.model.config.vocab_size)
    # float32 rounding of four modules a block, and of folded constants, on values up to 30
    difference = np.abs(found - expected)
    assert difference.max() < 1e-4, f"max {difference.max()}, mean {difference.mean()}"
    assert (states[-1] == NUM_CHUNKS * CHUNK_FRAMES).all()
    # the comparison sees the states: without them the chunks come out otherwise
    alone, _ = run_chunks(
        exported.fp32.SerializeToString(), x_NTF[:, 4 * CHUNK_FRAMES :].repeat(2, 1), container=exported.container
    )
    assert np.abs(alone[:, CHUNK_FRAMES:] - expected[:, CHUNK_FRAMES:]).max() > 0.1


def test_the_model_under_test_is_pruned_unevenly(exported):
    """Two of its modules are gone, and its blocks differ in every width: all tests here run on such a model."""
    first, second = exported.model.config.blocks
    assert first.heads == 0
    assert second.ff1 == 0
    assert len({first.conv, second.conv, first.ff1, first.ff2, second.ff2}) == 5


def test_int8_is_int8(exported):
    before, after = count_ops(exported.fp32), count_ops(exported.int8)
    sizes = {tensor.name: np.prod(tensor.dims) for tensor in exported.fp32.graph.initializer}
    products = [node for node in exported.fp32.graph.node if node.op_type == "MatMul"]
    large = [node for node in products if sizes.get(node.input[1], 0) >= MIN_INT8_WEIGHTS]
    assert len(large) >= 6
    assert after["MatMulInteger"] == after["DynamicQuantizeLinear"] == len(large)
    assert after["MatMul"] == before["MatMul"] - len(large)
    assert "Gemm" not in before
    # three of four bytes of their weights are gone from the file; scales and nodes come on top
    saved = exported.fp32.ByteSize() - exported.int8.ByteSize()
    assert saved > 2.5 * sum(sizes[node.input[1]] for node in large)


def test_int8_weights_leave_room_for_sums(exported):
    """7 bits: a pair of products of them with unsigned 8 bits stays below 2^15, on every processor."""
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in exported.int8.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
    ]
    assert len(weights) >= 6
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) == 64
    # one scale an output: every column uses the range
    assert all((np.abs(weight.astype(int)).max(0) == 64).mean() > 0.95 for weight in weights)


@pytest.mark.parametrize("batch", [1, 3])
def test_int8_agrees(exported, batch):
    x_NTF = features(batch)
    expected, _ = run_chunks(exported.fp32.SerializeToString(), x_NTF, container=exported.container)
    found, _ = run_chunks(exported.int8.SerializeToString(), x_NTF, container=exported.container)
    ordered = np.sort(expected, -1)
    is_decided = ordered[..., -1] - ordered[..., -2] > 0.5
    agreement = (found.argmax(-1) == expected.argmax(-1))[is_decided].mean()
    assert is_decided.mean() > 0.5
    # a random network is harder than a trained one; ties are left out
    assert agreement > 0.97
    assert 0 < np.abs(found - expected).mean() < 0.3


def test_fused_int8_products_reach_the_kernels(exported, tmp_path):
    """onnxruntime must recognise the pattern: unfused it is slower than float32."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(exported.int8.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fused = count_ops(onnx.load(tmp_path / "optimised.onnx"))
    assert fused["DynamicQuantizeMatMul"] == count_ops(exported.int8)["MatMulInteger"]
    assert fused["MatMulInteger"] == 0
    # and the patterns that the step is written for
    blocks = exported.model.config.blocks
    num_convolutions = sum(widths.conv > 0 for widths in blocks)
    num_feed_forwards = sum((widths.ff1 > 0) + (widths.ff2 > 0) for widths in blocks)
    assert fused["SimplifiedLayerNormalization"] == num_convolutions
    assert fused["FusedMatMul"] == 2 * sum(widths.heads > 0 for widths in blocks)
    assert fused["QuickGelu"] == 1 + num_feed_forwards + num_convolutions
    # what is left of these are the gates
    assert fused["Sigmoid"] == num_convolutions


def test_ort_equals_onnx(exported):
    x_NTF = features(2)
    # At the level that the .ort file was optimised at the kernels are the same ones.
    data = exported.int8.SerializeToString()
    expected = run_chunks(data, x_NTF, container=exported.container, level=LEVELS.ORT_ENABLE_EXTENDED)
    found = run_chunks(exported.ort, x_NTF, container=exported.container)
    assert exported.ort[4:8] == b"ORTM"
    assert np.array_equal(found[0], expected[0])
    assert all(np.array_equal(*pair) for pair in zip(found[1], expected[1], strict=True))


def test_the_graph_holds_no_shape_arithmetic(exported):
    """Each of these would cost a kernel launch a chunk for nothing; masks and indices are constants."""
    ops = count_ops(exported.fp32)
    assert not {"Shape", "Expand", "Cast", "Range", "ConstantOfShape", "Gemm", "Pad", "If", "Loop"} & set(ops)
    num_blocks = len(exported.model.config.blocks)
    assert sum(ops.values()) <= 38 + 63 * num_blocks
    # the three projections of attention are one product
    names = [tensor.name for tensor in exported.fp32.graph.initializer]
    assert sum(name.endswith("attention.query_key_value.weight") for name in names) == 1


def test_files_tell_nothing_of_their_making(exported):
    for graph in (exported.fp32, exported.int8):
        assert graph.ir_version <= MAX_IR_VERSION
        assert [(entry.domain, entry.version) for entry in graph.opset_import if not entry.domain] == [("", OPSET)]
        assert {node.domain for node in graph.graph.node} == {""}
        assert not graph.functions
        assert not graph.doc_string
        body = graph.graph
        items = [*body.node, *body.input, *body.output, *body.initializer, *body.value_info]
        assert not any(item.doc_string or item.metadata_props for item in items)
        assert {entry.key: entry.value for entry in graph.metadata_props} == exported.container.metadata
    for data in (exported.fp32.SerializeToString(), exported.int8.SerializeToString(), exported.ort):
        assert not any(word in data for word in (b"site-packages", b"streaming.py", b"torch.nn", b"/home/", b"/tmp/"))


def test_names_order_and_batch_axis(exported):
    session = onnxruntime.InferenceSession(exported.fp32.SerializeToString(), providers=["CPUExecutionProvider"])
    container = exported.container
    geometry = container.geometry
    specs = [(spec.name, ["N" if size == -1 else size for size in spec.shape]) for spec in container.states]
    assert [(given.name, given.shape) for given in session.get_inputs()] == [
        ("x", ["N", geometry.window_frames, 80]),
        *specs,
    ]
    assert [(given.name, given.shape) for given in session.get_outputs()] == [
        ("log_probs", ["N", geometry.chunk_frames, geometry.vocab_size]),
        *((f"new_{name}", shape) for name, shape in specs),
    ]
    assert session.get_modelmeta().custom_metadata_map == container.metadata
