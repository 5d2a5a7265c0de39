"""The session contract: the graph against the manifest, the state carried outside, the batch."""

import dataclasses

import numpy as np
import onnx
import pytest

from runtime.errors import BundleError, LotteryError
from runtime.features import fbank, num_chunks, padded_frames
from runtime.manifest import FileEntry, Manifest, StateSpec
from runtime.session import OrtSession, choose_model, choose_precision, open_session
from tests.tiny_bundle import CHUNK_FRAMES, build_model, geometry, reference_logprobs, speak, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("session") / "bundle")


def run_chunks(session, features_NTF):
    """Run whole clips through a session: float32 (N, T', V)."""
    shape, state, chunks = session.geometry, session.initial_state(len(features_NTF)), []
    for start in range(0, features_NTF.shape[1] - shape.window_frames + 1, shape.shift_frames):
        logprobs_NTV, state = session.step(features_NTF[:, start : start + shape.window_frames], state)
        chunks.append(logprobs_NTV)
    return np.concatenate(chunks, axis=1)


def padded(features_TF):
    chunks = num_chunks(len(features_TF), chunk_frames=CHUNK_FRAMES)
    total = padded_frames(chunks, chunk_frames=CHUNK_FRAMES)
    return np.pad(features_TF, ((0, total - len(features_TF)), (0, 0)), constant_values=-16)


def test_carried_state_equals_the_whole_clip(bundle):
    session = open_session(bundle, manifest=Manifest.load(bundle))
    features_TF = padded(fbank(speak("cab bad dead")))
    streamed = run_chunks(session, features_TF[None])[0]
    whole = reference_logprobs(features_TF)
    assert len(streamed) > 10 * CHUNK_FRAMES
    # float32 against float64 on values up to 40
    assert np.abs(streamed - whole).max() < 1e-4
    # and the reference is sensitive to the states: forgetting the past moves it visibly
    forgetful = np.concatenate(
        [
            reference_logprobs(features_TF[start : start + geometry().window_frames])
            for start in range(0, len(features_TF) - 18, 16)
        ]
    )
    assert np.abs(forgetful - whole).max() > 0.1


def test_a_batch_equals_its_members(bundle):
    session = open_session(bundle, manifest=Manifest.load(bundle))
    clips = [padded(fbank(speak(text))) for text in ("abc", "dea", "eee")]
    together = run_chunks(session, np.stack(clips))
    for row, clip in zip(together, clips, strict=True):
        # another batch size may take another matrix kernel: rounding of float32
        assert np.abs(row - run_chunks(session, clip[None])[0]).max() < 1e-4


def test_two_streams_of_a_session_do_not_meet(bundle):
    session = open_session(bundle, manifest=Manifest.load(bundle))
    window = padded(fbank(speak("abc")))[None, : geometry().window_frames]
    first, after = session.step(window, session.initial_state())
    session.step(window * 0 - 3, after)
    again, after_again = session.step(window, session.initial_state())
    assert np.array_equal(first, again)
    fresh = session.initial_state()
    assert any(not np.array_equal(old, new) for old, new in zip(fresh, after_again, strict=True))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            lambda states: {"states": (dataclasses.replace(states[0], shape=(9, -1, 7)), *states[1:])},
            "state 'cached_key_0' has shape (9, -1, 7), model.onnx expects (8, -1, 7)",
        ),
        (
            lambda states: {"states": (dataclasses.replace(states[0], dtype="int64"), *states[1:])},
            "state 'cached_key_0' has dtype int64, model.onnx expects tensor(float)",
        ),
        (
            lambda states: {"states": (dataclasses.replace(states[0], name="conv_3"), *states[1:])},
            "state 'conv_3' is not an input of model.onnx",
        ),
        (lambda states: {"states": states[:-1]}, "input 'processed_lens' of model.onnx is not among the states"),
        (lambda states: {"states": states[::-1]}, "the states are not in the order of the inputs of model.onnx"),
        (
            lambda states: {"states": (*states, StateSpec(name="more", shape=(-1,)))},
            "state 'more' is not an input of model.onnx",
        ),
        (lambda states: {"chunk_frames": 16}, "features have shape (-1, 67, 80), model.onnx expects (-1, 19, 80)"),
        (lambda states: {"vocab_size": 9}, "log-probabilities have shape (-1, 4, 9), model.onnx returns (-1, 4, 7)"),
    ],
)
def test_a_manifest_that_contradicts_the_model_is_named(bundle, changes, complaint):
    manifest = Manifest.load(bundle)
    manifest = dataclasses.replace(manifest, **changes(manifest.states))
    with pytest.raises(BundleError) as caught:
        OrtSession(bundle / "model.onnx", manifest=manifest)
    assert str(caught.value) == f"{bundle / 'manifest.json'}: {complaint}"
    assert "lottery-export" in caught.value.hint


def test_a_file_that_is_no_model_is_named(bundle, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BundleError, match="refused before onnxruntime reads it: not an ONNX file"):
        OrtSession(path, manifest=Manifest.load(bundle))


def test_a_model_that_onnxruntime_refuses_is_named(bundle, tmp_path):
    model = build_model()
    model.graph.node[0].input[0] = "nowhere"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="onnxruntime cannot load it") as caught:
        OrtSession(tmp_path / "model.onnx", manifest=Manifest.load(bundle))
    assert str(caught.value).isprintable()


def test_a_name_that_is_not_utf_8_is_an_error(bundle):
    content = build_model().SerializeToString().replace(b"cached_val1_0", b"cached_val\xff_0")
    with pytest.raises(BundleError, match="onnxruntime cannot load it") as caught:
        OrtSession(content, manifest=Manifest.load(bundle))
    assert str(caught.value).isprintable()


def test_a_model_that_returns_another_shape_than_it_says_is_named(bundle):
    """Shapes that a graph leaves open are known when it has run."""
    model = build_model()
    softmax = next(node for node in model.graph.node if node.op_type == "LogSoftmax")
    softmax.output[0] = "all"
    nodes = [
        # as many frames as were seen before, and one
        onnx.helper.make_node("Add", ["processed_lens", "one"], ["count"]),
        onnx.helper.make_node("Slice", ["all", "zero", "count", "axis1"], ["log_probs"]),
    ]
    model.graph.node.extend(nodes)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[1].dim_param = "T"
    session = OrtSession(model.SerializeToString(), manifest=Manifest.load(bundle))
    window = np.zeros((1, geometry().window_frames, 80), np.float32)
    with pytest.raises(
        BundleError, match=r"log-probabilities are float32 \(1, 4, 7\), model.onnx returns float32 \(1, 1,"
    ):
        session.step(window, session.initial_state())


def test_a_model_that_fails_at_run_time_is_named(bundle, tmp_path):
    model = build_model()
    # A shape that only a run computes, and that does not fit.
    nodes = [
        onnx.helper.make_node("Add", ["processed_lens", "vocab"], ["wrong_size"]),
        onnx.helper.make_node("Concat", ["minus1", "wrong_size", "vocab"], ["wrong_shape"], axis=0),
        onnx.helper.make_node("Reshape", ["logits", "wrong_shape"], ["wrong"]),
    ]
    softmax = next(node for node in model.graph.node if node.op_type == "LogSoftmax")
    position = list(model.graph.node).index(softmax)
    softmax.input[0] = "wrong"
    for node in reversed(nodes):
        model.graph.node.insert(position, node)
    onnx.save(model, tmp_path / "model.onnx")
    session = OrtSession(tmp_path / "model.onnx", manifest=Manifest.load(bundle))
    window = np.zeros((1, geometry().window_frames, 80), np.float32)
    with pytest.raises(BundleError, match="onnxruntime cannot run it"):
        session.step(window, session.initial_state())


def test_precision_and_backend_are_chosen(bundle, tmp_path):
    manifest = Manifest.load(bundle)
    assert choose_precision(manifest, precision="auto") == "int8"
    assert choose_precision(manifest, precision="fp32") == "fp32"
    plain = Manifest.load(write_tiny_bundle(tmp_path / "plain", has_int8=False))
    assert choose_precision(plain, precision="auto") == "fp32"
    with pytest.raises(BundleError, match="has no int8 model"):
        choose_precision(plain, precision="int8")
    # a bundle without a model.ticket
    assert choose_model(manifest) == ("onnxruntime", "int8")
    with pytest.raises(BundleError, match="no model.ticket for the ticket engine"):
        open_session(bundle, manifest=manifest, backend="engine")
    for wrong in ({"precision": "fp16"}, {"backend": "cuda"}, {"num_threads": 0}):
        with pytest.raises(LotteryError, match="expected"):
            open_session(bundle, manifest=manifest, **wrong)


def test_int8_loads_the_int8_file(bundle, tmp_path):
    copy = write_tiny_bundle(tmp_path / "copy")
    (copy / "model.int8.onnx").write_bytes(b"broken")
    manifest = Manifest.load(bundle)
    entry = FileEntry.of("model.int8.onnx", bundle=copy)
    manifest = dataclasses.replace(manifest, files=manifest.files | {"model_int8": entry})
    open_session(copy, manifest=manifest, precision="fp32")
    with pytest.raises(BundleError, match="model.int8.onnx"):
        open_session(copy, manifest=manifest, precision="int8")
