"""EngineSession: one stream is what the plain interpreter computes; batches and threads change no bit of it."""

import dataclasses
import threading

import numpy as np
import pytest

from runtime.engine import library
from runtime.engine.session import EngineSession
from runtime.errors import BundleError
from runtime.manifest import Manifest
from tests.runtime.engine.reference_ticket import read_ticket, run_ticket
from tests.runtime.engine.tiny_ticket import hearing_ticket, random_ticket, write_engine_bundle
from tests.tiny_bundle import geometry

PRECISIONS = ("fp32", "int8")
NUM_CHUNKS = 12

pytestmark = pytest.mark.usefixtures("engine_library")


def random_features(*, num_streams=1, num_chunks=NUM_CHUNKS, seed=0):
    """Return float32 (N, T, 80) like log-mel energies: whole chunks, and the frames that the last one looks ahead."""
    shape = geometry()
    num_frames = num_chunks * shape.shift_frames + shape.window_frames - shape.shift_frames
    return np.random.default_rng(seed).normal(-6, 4, (num_streams, num_frames, 80)).astype(np.float32)


def run(session, features_NTF):
    """Run whole clips through a session: float32 (N, T', V)."""
    shape, state, chunks = session.geometry, session.initial_state(len(features_NTF)), []
    for start in range(0, features_NTF.shape[1] - shape.window_frames + 1, shape.shift_frames):
        logprobs_NTV, state = session.step(features_NTF[:, start : start + shape.window_frames], state)
        chunks.append(logprobs_NTV)
    return np.concatenate(chunks, axis=1)


def test_a_stream_is_what_the_plain_interpreter_computes():
    """float64, chunk after chunk with carried state, against a whole utterance without any."""
    content, features = random_ticket(), random_features()
    found = run(EngineSession(content), features)[0]
    expected = run_ticket(read_ticket(content), features[0])
    assert found.shape == expected.shape == (NUM_CHUNKS * 4, 7)
    differences = np.abs(found - expected)
    # float32 against float64, log-probabilities down to about -10
    assert differences.max() < 1e-4, (differences.max(), differences.mean())
    # the past matters: chunks on their own say something else
    session = EngineSession(content)
    shape = session.geometry
    alone = [
        session.step(features[:, start : start + shape.window_frames], session.initial_state())[0][0]
        for start in range(0, NUM_CHUNKS * shape.shift_frames, shape.shift_frames)
    ]
    assert np.abs(np.concatenate(alone) - expected).max() > 0.1


def test_int8_is_near_fp32():
    features = random_features()
    fp32, int8 = (np.exp(run(EngineSession(random_ticket(precision=each)), features)) for each in PRECISIONS)
    # probabilities; weights and activations of eight bits in two blocks
    assert 0 < np.abs(fp32 - int8).max() < 0.1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_batch_is_its_members_bit_for_bit_on_every_instruction_set(precision):
    features = random_features(num_streams=5)
    for name in library.instruction_sets():
        session = EngineSession(random_ticket(precision=precision), instruction_set=name)
        together = run(session, features)
        for row, clip in zip(together, features, strict=True):
            assert np.array_equal(row, run(session, clip[None])[0]), name


def test_a_state_of_a_model_of_the_same_size_is_refused():
    """Its size tells nothing: these models differ in their weights alone."""
    sessions = [EngineSession(random_ticket(precision=each)) for each in PRECISIONS]
    features = random_features()[:, : geometry().window_frames]
    assert sessions[0].state_bytes == sessions[1].state_bytes
    foreign = sessions[0].initial_state()
    before = foreign[0].copy()
    with pytest.raises(ValueError, match="refuses"):
        sessions[1].step(features, foreign)
    assert np.array_equal(foreign[0], before)
    sessions[0].step(features, foreign)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_streams_join_and_leave_a_batch(precision):
    session, features = EngineSession(random_ticket(precision=precision)), random_features(num_streams=3)
    shape = session.geometry
    expected = run(session, features)
    states, found = {}, {0: [], 1: [], 2: []}
    # stream n lives from step n on, for NUM_CHUNKS steps
    for step in range(NUM_CHUNKS + 2):
        present = [stream for stream in range(3) if stream <= step < stream + NUM_CHUNKS]
        for stream in present:
            states.setdefault(stream, session.initial_state()[0])
        windows = [
            features[stream, (step - stream) * shape.shift_frames :][: shape.window_frames] for stream in present
        ]
        logprobs_NTV, after = session.step(np.stack(windows), [states[stream] for stream in present])
        states.update(zip(present, after, strict=True))
        for stream, row in zip(present, logprobs_NTV, strict=True):
            found[stream].append(row)
    for stream, chunks in found.items():
        assert np.array_equal(np.concatenate(chunks), expected[stream])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_that_share_a_session_get_what_one_gets_alone(precision):
    session = EngineSession(random_ticket(precision=precision))
    # batch sizes that differ, so that each thread's workspace grows
    clips = [random_features(num_streams=1 + seed % 3, seed=seed) for seed in range(8)]
    expected = [run(session, clip) for clip in clips]
    gate, found = threading.Barrier(len(clips)), [None] * len(clips)

    def work(index):
        gate.wait()
        found[index] = [run(session, clips[index]), run(session, clips[index][:1]), run(session, clips[index])]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for all_streams, (first, one, again) in zip(expected, found, strict=True):
        assert np.array_equal(first, all_streams)
        assert np.array_equal(one, all_streams[:1])
        assert np.array_equal(again, all_streams)


def test_a_state_is_advanced_in_place_and_a_copy_goes_on_from_where_it_was_taken():
    session, features = EngineSession(random_ticket()), random_features()
    shape = session.geometry
    first, second = (features[:, start : start + shape.window_frames] for start in (0, shape.shift_frames))
    state = session.initial_state()
    assert sum(array.nbytes for array in state) == session.state_bytes
    _, after = session.step(first, state)
    assert after[0] is state[0]
    # one byte off: nowhere that the engine could use
    copy = np.empty(session.state_bytes + library.ALIGNMENT_BYTES + 1, np.uint8)
    offset = -copy.ctypes.data % library.ALIGNMENT_BYTES + 1
    copy = copy[offset : offset + session.state_bytes]
    copy[:] = state[0]
    expected, _ = session.step(second, after)
    found, moved = session.step(second, [copy])
    assert np.array_equal(found, expected)
    assert np.array_equal(moved[0], after[0])


@pytest.mark.parametrize("shape", [(1, 18, 80), (1, 19, 79), (2, 19, 80), (19, 80)])
def test_features_of_another_shape_are_refused(shape):
    session = EngineSession(random_ticket())
    with pytest.raises(ValueError, match=r"x_NTF is float32"):
        session.step(np.zeros(shape, np.float32), session.initial_state())


def test_a_state_of_another_model_is_refused():
    small, large = EngineSession(hearing_ticket()), EngineSession(random_ticket())
    assert small.state_bytes != large.state_bytes
    with pytest.raises(ValueError, match="a state is uint8"):
        large.step(np.zeros((1, 19, 80), np.float32), small.initial_state())


def test_a_path_and_its_content_are_the_same_model(tmp_path):
    path = tmp_path / "model.ticket"
    path.write_bytes(random_ticket())
    features = random_features(num_chunks=2)
    from_path, from_content = EngineSession(path), EngineSession(random_ticket())
    assert from_path.geometry == from_content.geometry == geometry()
    assert from_path.weight_bytes == from_content.weight_bytes > 0
    assert np.array_equal(run(from_path, features), run(from_content, features))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"chunk_frames": 8}, "chunk_frames is 4, the manifest says 8"),
        ({"left_context": 9}, "left_context is 8, the manifest says 9"),
        ({"vocab_size": 8}, "vocab_size is 7, the manifest says 8"),
    ],
)
def test_a_manifest_that_contradicts_the_file_is_named(tmp_path, changes, complaint):
    bundle = write_engine_bundle(tmp_path / "bundle")
    manifest = dataclasses.replace(Manifest.load(bundle), **changes)
    with pytest.raises(BundleError) as caught:
        EngineSession(bundle / "model.ticket", manifest=manifest)
    assert str(caught.value) == f"{bundle / 'model.ticket'}: {complaint}"
    assert "lottery-export" in caught.value.hint


def test_a_file_that_is_not_there_or_no_ticket_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"gone\.ticket: cannot read: No such file"):
        EngineSession(tmp_path / "gone.ticket")
    (tmp_path / "text.ticket").write_text("not a ticket")
    with pytest.raises(BundleError, match=r"text\.ticket: the ticket engine cannot open it"):
        EngineSession(tmp_path / "text.ticket")
