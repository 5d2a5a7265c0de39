"""EngineSession: `model.ticket` behind the same interface as an ONNX model.

Axes: N batch, T frames, F mel bins, V vocabulary.
"""

import threading
from pathlib import Path

import numpy as np

from runtime.engine.library import Model, UnusableMemoryError, aligned_bytes
from runtime.errors import BundleError
from runtime.manifest import Geometry

_CHECKED = ("chunk_frames", "left_context", "vocab_size", "num_mels", "window_frames")


class EngineSession:
    """A ticket file in the ticket engine; one chunk runs on the thread that asks for it.

    Streams share a session from any number of threads; each costs only its caches. A stream's numbers do not depend on
    the others of its batch, bit for bit.

    Args:
        model: path of the file, or its content as bytes.
        manifest: Manifest of its bundle, which must say the same as the file; None to believe the file.
        instruction_set: one of runtime.engine.library.instruction_sets(); None for the best (LOTTERY_ENGINE_ISA).
        source: what to call the content in errors.
    Raises:
        BundleError: the file cannot be read, the engine refuses it, or it is not what the manifest says.
        EngineUnavailableError: the engine's library is not there.
        LotteryError: no such instruction set.
    """

    backend = "engine"

    def __init__(self, model, *, manifest=None, instruction_set=None, source="model.ticket"):
        is_content = isinstance(model, bytes | bytearray | memoryview)
        source = source if is_content else Path(model)
        content = model if is_content else read_model(source)
        self._model = Model(content, instruction_set=instruction_set, source=source)
        self.instruction_set = self._model.instruction_set
        found = self._model.geometry
        self.geometry = Geometry(
            chunk_frames=found.chunk_frames,
            left_context=found.left_context,
            vocab_size=found.vocab_size,
            num_mels=found.num_mels,
        )
        self._check(found, self.geometry, source=source, who="this runtime feeds")
        if manifest is not None:
            self._check(found, manifest.geometry, source=source, who="the manifest says")
        self._local = threading.local()

    @staticmethod
    def _check(found, expected, *, source, who):
        for name in _CHECKED:
            if getattr(found, name) != getattr(expected, name):
                raise BundleError(
                    f"{source}: {name} is {getattr(found, name)}, {who} {getattr(expected, name)}",
                    hint="re-run lottery-export on the ticket",
                )

    @property
    def state_bytes(self):
        """Bytes of one stream's state."""
        return self._model.state_bytes

    @property
    def weight_bytes(self):
        """Bytes of the weights in memory."""
        return self._model.weight_bytes

    def initial_state(self, batch=1):
        """Return the state of `batch` utterances that have not begun: list with one array a stream.

        Streams join and leave a batch with their arrays: `step` takes any list of them.
        """
        return [self._model.initial_state() for _ in range(batch)]

    def step(self, x_NTF, state):
        """Run one chunk; see Session.step. The arrays of `state` are advanced in place."""
        x_NTF = np.ascontiguousarray(x_NTF, np.float32)
        workspace = self._workspace(len(state))
        try:
            return self._model.step(x_NTF, state, workspace=workspace), state
        except UnusableMemoryError:
            # A copy of a state (pickled, sliced, loaded) need not lie where the engine wants it.
            state = [_aligned_copy(array) for array in state]
            return self._model.step(x_NTF, state, workspace=workspace), state

    def _workspace(self, num_streams):
        """Return this thread's scratch memory, grown to what `num_streams` need."""
        needed_bytes = self._model.workspace_bytes(num_streams)
        workspace = getattr(self._local, "workspace", None)
        if workspace is None or workspace.size < needed_bytes:
            workspace = self._local.workspace = aligned_bytes(needed_bytes)
        return workspace


def _aligned_copy(array):
    copy = aligned_bytes(array.size)
    copy[:] = array
    return copy


def read_model(path):
    """Return the content of a model file; BundleError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot read: {error.strerror}", hint="check the permissions and the disk"
        ) from error
