"""Inference backends: a step function with its state in and out, shared by every stream.

Axes: N batch, T frames, F mel bins, V vocabulary.
"""

import functools
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from runtime.errors import BundleError, LotteryError
from runtime.manifest import MANIFEST_NAME, MODEL_ROLES, Geometry

PRECISIONS = ("auto", "fp32", "int8")
_ORT_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
_RE_EXPORT = "re-run lottery-export on the ticket"


class Session(Protocol):
    """One loaded model. Stateless: streams may share it, in any order and from any thread."""

    geometry: Geometry

    def initial_state(self, batch=1):
        """Return the state of `batch` utterances that have not begun: list of arrays."""

    def step(self, x_NTF, state):
        """Run one chunk.

        Args:
            x_NTF: float32 (N, geometry.window_frames, geometry.num_mels), log-mel features.
            state: what initial_state or the previous step returned; left as it is.
        Returns:
            (logprobs_NTV, state): float32 (N, geometry.chunk_frames, V) natural-log probabilities, and the next state.
        """


class OrtSession:
    """An ONNX (or .ort) model in onnxruntime on the CPU.

    Args:
        model_path: the model file.
        manifest: Manifest of its bundle; the declared states are checked against the model's inputs.
        num_threads: threads inside an operator, >= 1.
    Raises:
        BundleError: onnxruntime refuses the file, or its inputs and outputs are not what the manifest says.
    """

    def __init__(self, model_path, *, manifest, num_threads=1):
        import onnxruntime  # costs 0.1 s and 50 MB: only who runs a model pays

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        # A spinning thread burns a whole core between two chunks of live audio.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self.geometry = manifest.geometry
        self._path = Path(model_path)
        self._states = manifest.states
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(model_path), options, providers=["CPUExecutionProvider"]
            )
        except _ort_errors() as error:
            raise BundleError(f"{model_path}: onnxruntime cannot load it: {error}", hint=_RE_EXPORT) from error
        self._check_inputs()
        self._check_outputs()

    def initial_state(self, batch=1):
        """Return the state of `batch` utterances that have not begun: list of arrays."""
        return [
            np.full([batch if size == -1 else size for size in state.shape], state.initial, state.dtype)
            for state in self._states
        ]

    def step(self, x_NTF, state):
        """Run one chunk; see Session.step."""
        try:
            outputs = self._session.run(None, dict(zip(self._input_names, [x_NTF, *state], strict=True)))
        except _ort_errors() as error:
            raise BundleError(f"{self._path}: onnxruntime cannot run it: {error}", hint=_RE_EXPORT) from error
        return outputs[0], outputs[1:]

    def _fail(self, complaint):
        raise BundleError(f"{self._path.parent / MANIFEST_NAME}: {complaint}", hint=_RE_EXPORT)

    def _check_inputs(self):
        features, *inputs = self._session.get_inputs()
        self._input_names = [features.name, *(given.name for given in inputs)]
        expected = (-1, self.geometry.window_frames, self.geometry.num_mels)
        if not _shapes_agree(features.shape, expected):
            self._fail(f"features have shape {expected}, {self._path.name} expects {_shape(features)}")
        declared, present = [state.name for state in self._states], self._input_names[1:]
        for name in declared:
            if name not in present:
                self._fail(f"state {name!r} is not an input of {self._path.name}")
        for name in present:
            if name not in declared:
                self._fail(f"input {name!r} of {self._path.name} is not among the states")
        if declared != present:
            self._fail(f"the states are not in the order of the inputs of {self._path.name}")
        for state, given in zip(self._states, inputs, strict=True):
            if not _shapes_agree(given.shape, state.shape):
                self._fail(f"state {state.name!r} has shape {state.shape}, {self._path.name} expects {_shape(given)}")
            if _ORT_DTYPES.get(given.type) != state.dtype:
                self._fail(f"state {state.name!r} has dtype {state.dtype}, {self._path.name} expects {given.type}")

    def _check_outputs(self):
        outputs = self._session.get_outputs()
        if len(outputs) != 1 + len(self._states):
            self._fail(f"{len(self._states)} states, {self._path.name} returns {len(outputs) - 1}")
        expected = (-1, self.geometry.chunk_frames, self.geometry.vocab_size)
        if not _shapes_agree(outputs[0].shape, expected):
            self._fail(f"log-probabilities have shape {expected}, {self._path.name} returns {_shape(outputs[0])}")


@functools.cache
def _ort_errors():
    """Return onnxruntime's error classes, which share no base below Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (RuntimeError, *(kind for kind in vars(state).values() if _is_error(kind)))


def _is_error(kind):
    return isinstance(kind, type) and issubclass(kind, Exception)


def _shape(argument):
    return tuple(size if isinstance(size, int) else -1 for size in argument.shape)


def _shapes_agree(given, declared):
    """Compare a graph's shape, where text or None stands for any size, with a declared one, where -1 is the batch."""
    if len(given) != len(declared):
        return False
    # A graph exported for one utterance has batch size 1.
    return all(
        size == want or (want == -1 and size == 1) or not isinstance(size, int)
        for size, want in zip(given, declared, strict=True)
    )


BACKENDS = {"onnxruntime": OrtSession}


def choose_precision(manifest, *, precision):
    """Return "fp32" or "int8": what was asked, or for "auto" int8 where the bundle has it (export verified it).

    Raises:
        LotteryError: the bundle has no int8 model, or the name is unknown.
    """
    if precision not in PRECISIONS:
        raise LotteryError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    has_int8 = MODEL_ROLES["int8"] in manifest.files
    if precision == "auto":
        return "int8" if has_int8 else "fp32"
    if precision == "int8" and not has_int8:
        raise BundleError(
            f"bundle {manifest.name} has no int8 model", hint="use --precision fp32, or export it again with int8"
        )
    return precision


def open_session(bundle, *, manifest, precision="auto", backend="onnxruntime", num_threads=1):
    """Load the model of a bundle, after checking its SHA-256.

    Args:
        bundle: the bundle directory.
        manifest: its Manifest.
        precision: "fp32", "int8", or "auto".
        backend: a key of BACKENDS.
        num_threads: threads inside an operator, >= 1.
    Returns:
        A Session.
    Raises:
        BundleError: the model is missing, truncated or altered; see OrtSession.
        LotteryError: unknown backend or precision, num_threads < 1.
    """
    if backend not in BACKENDS:
        raise LotteryError(f"backend is {backend!r}, expected one of {', '.join(sorted(BACKENDS))}")
    if num_threads < 1:
        raise LotteryError(f"num_threads is {num_threads}, expected 1 or more")
    role = MODEL_ROLES[choose_precision(manifest, precision=precision)]
    return BACKENDS[backend](manifest.verified_path(role, bundle=bundle), manifest=manifest, num_threads=num_threads)
