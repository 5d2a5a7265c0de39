"""Inference backends: a step function with its state in and out, shared by every stream.

Axes: N batch, T frames, F mel bins, V vocabulary.
"""

import functools
import importlib.util
import sys
import threading
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from runtime.engine import library
from runtime.engine.session import EngineSession, read_model
from runtime.errors import BundleError, LotteryError
from runtime.foreign import short
from runtime.manifest import MANIFEST_NAME, MODEL_ROLES, TICKET_ROLE, Geometry
from runtime.operators import check_model
from runtime.streams import quiet_libraries

PRECISIONS = ("auto", "fp32", "int8")
BACKENDS = ("auto", "engine", "onnxruntime")
_ORT_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
_RE_EXPORT = "re-run lottery-export on the ticket"
_GET_ONNXRUNTIME = "pip install onnxruntime"


class Session(Protocol):
    """One loaded model. Stateless: streams may share it, in any order and from any thread.

    Attributes:
        geometry: how it is fed.
        backend: "engine" or "onnxruntime".
        instruction_set: what the engine runs on, such as "avx2"; None where the backend does not tell.
    """

    geometry: Geometry
    backend: str
    instruction_set: str | None

    def initial_state(self, batch=1):
        """Return the state of `batch` utterances that have not begun: list of arrays."""

    def step(self, x_NTF, state):
        """Run one chunk.

        Args:
            x_NTF: float32 (N, geometry.window_frames, geometry.num_mels), log-mel features.
            state: what initial_state or the previous step returned. It is used up by the call: go on with the one
                returned.
        Returns:
            (logprobs_NTV, state): float32 (N, geometry.chunk_frames, V) natural-log probabilities, and the next state.
        """


class OrtSession:
    """An ONNX (or .ort) model in onnxruntime on the CPU.

    Args:
        model: path of the model file, or its content as bytes.
        manifest: Manifest of its bundle; the declared states are checked against the model's inputs.
        num_threads: threads inside an operator, >= 1.
        allow_any_operators: accept operators that lottery-export does not write, loops among them.
        source: what to call the content in errors.
    Raises:
        BundleError: the file cannot be read, its data lies outside it, it holds an operator that lottery-export does
            not write, onnxruntime refuses it, or its inputs and outputs are not what the manifest says.
        LotteryError: onnxruntime is not installed.
    """

    backend = "onnxruntime"
    instruction_set = None

    def __init__(self, model, *, manifest, num_threads=1, allow_any_operators=False, source="model.onnx"):
        is_content = isinstance(model, bytes)
        self._path = Path(source if is_content else model)
        content = model if is_content else read_model(self._path)
        form = check_model(content, source=self._path, allow_any_operators=allow_any_operators)
        try:
            # It complains on stderr where there is no home directory.
            with quiet_libraries():
                import onnxruntime  # costs 0.1 s and 50 MB: only who runs a model pays
        except ImportError as error:
            raise LotteryError(f"onnxruntime cannot be imported: {short(error)}", hint=_GET_ONNXRUNTIME) from error

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        # A spinning thread burns a whole core between two chunks of live audio.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        # As what it was checked, it is read.
        options.add_session_config_entry("session.load_model_format", form)
        self.geometry = manifest.geometry
        self._states = manifest.states
        try:
            # The bytes that were checked: a path would be opened again, and external data looked for beside it.
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self._inputs, self._outputs = map(_arguments, (self._session.get_inputs(), self._session.get_outputs()))
        except _ort_errors() as error:
            raise BundleError(f"{self._path}: onnxruntime cannot load it: {short(error)}", hint=_RE_EXPORT) from error
        # It would hold the file in memory a second time.
        self._session._model_bytes = None
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
            raise BundleError(f"{self._path}: onnxruntime cannot run it: {short(error)}", hint=_RE_EXPORT) from error
        logprobs_NTV = outputs[0]
        expected = (len(x_NTF), self.geometry.chunk_frames, self.geometry.vocab_size)
        # A graph may leave shapes open until it runs.
        if logprobs_NTV.dtype != np.float32 or logprobs_NTV.shape != expected:
            found = f"{logprobs_NTV.dtype} {logprobs_NTV.shape}"
            self._fail(f"log-probabilities are float32 {expected}, {self._path.name} returns {found}")
        return logprobs_NTV, outputs[1:]

    def _fail(self, complaint):
        raise BundleError(f"{self._path.parent / MANIFEST_NAME}: {complaint}", hint=_RE_EXPORT)

    def _check_inputs(self):
        if not self._inputs:
            self._fail(f"{self._path.name} has no inputs")
        features, *inputs = self._inputs
        self._input_names = [features.name, *(given.name for given in inputs)]
        expected = (-1, self.geometry.window_frames, self.geometry.num_mels)
        if not _shapes_agree(features.shape, expected):
            self._fail(f"features have shape {expected}, {self._path.name} expects {_shape(features)}")
        declared, present = [state.name for state in self._states], self._input_names[1:]
        for name in declared:
            if name not in present:
                self._fail(f"state {short(name)} is not an input of {self._path.name}")
        for name in present:
            if name not in declared:
                self._fail(f"input {short(name)} of {self._path.name} is not among the states")
        if declared != present:
            self._fail(f"the states are not in the order of the inputs of {self._path.name}")
        for state, given in zip(self._states, inputs, strict=True):
            if not _shapes_agree(given.shape, state.shape):
                self._fail(
                    f"state {short(state.name)} has shape {state.shape}, {self._path.name} expects {_shape(given)}"
                )
            if _ORT_DTYPES.get(given.type) != state.dtype:
                self._fail(f"state {short(state.name)} has dtype {state.dtype}, {self._path.name} expects {given.type}")

    def _check_outputs(self):
        outputs = self._outputs
        if len(outputs) != 1 + len(self._states):
            self._fail(f"{len(self._states)} states, {self._path.name} returns {len(outputs) - 1}")
        expected = (-1, self.geometry.chunk_frames, self.geometry.vocab_size)
        if not _shapes_agree(outputs[0].shape, expected):
            self._fail(f"log-probabilities have shape {expected}, {self._path.name} returns {_shape(outputs[0])}")


class _Argument(NamedTuple):
    """An input or output of a graph: name, sizes (text or None for any), type as onnxruntime calls it."""

    name: str
    shape: list
    type: str


def _arguments(given):
    # All of them now: onnxruntime decodes a name when it is asked for.
    return [_Argument(each.name, each.shape, each.type) for each in given]


@functools.cache
def _ort_errors():
    """Return onnxruntime's error classes, which share no base below Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    # UnicodeDecodeError: a name in its message or in the graph is not UTF-8.
    return (RuntimeError, UnicodeDecodeError, *(kind for kind in vars(state).values() if _is_error(kind)))


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


def choose_precision(manifest, *, precision):
    """Return the precision of the ONNX model to run: what was asked, or for "auto" int8 where the bundle has it.

    Raises:
        LotteryError: the bundle has no model of that precision, or the name is unknown.
    """
    _check_name(precision, "precision", PRECISIONS)
    present = [name for name, role in MODEL_ROLES.items() if role in manifest.files]
    if precision == "auto":
        # Export verified int8.
        return "int8" if "int8" in present else present[0]
    if precision not in present:
        raise BundleError(
            f"bundle {manifest.name} has no {precision} model",
            hint=f"use --precision {present[0]}, or export it again with {precision}",
        )
    return precision


def choose_model(manifest, *, precision="auto", backend="auto"):
    """Choose how a bundle is run.

    Args:
        manifest: its Manifest.
        precision: "fp32", "int8", or "auto": what the chosen backend has, int8 where it has both.
        backend: "engine", "onnxruntime", or "auto": the engine where the bundle has a ticket file of that precision and
            the engine's library can be loaded, else onnxruntime. That the library is missing is said once, on stderr.
    Returns:
        (backend, precision), neither of them "auto".
    Raises:
        BundleError: the bundle has no such model.
        EngineUnavailableError: "engine" was asked for, and its library is not there.
        LotteryError: an unknown name, or neither backend can run here.
    """
    _check_name(precision, "precision", PRECISIONS)
    _check_name(backend, "backend", BACKENDS)
    if backend == "onnxruntime":
        return backend, choose_precision(manifest, precision=precision)
    complaint = _complaint_about_ticket(manifest, precision=precision) or complaint_about_backend("engine")
    if complaint is None:
        return "engine", manifest.engine["precision"]
    if backend == "engine":
        raise type(complaint)(str(complaint), hint=f"{complaint.hint}; or use --backend onnxruntime") from complaint
    missing = complaint_about_backend("onnxruntime")
    if missing is not None:
        raise LotteryError(
            f"nothing here can run bundle {manifest.name}: {missing}, and {complaint}",
            hint=f"{missing.hint}; or {complaint.hint}",
        ) from complaint
    if isinstance(complaint, library.EngineUnavailableError):
        say_once(f"note: running on onnxruntime: {complaint} ({complaint.hint})")
    return "onnxruntime", choose_precision(manifest, precision=precision)


def complaint_about_backend(backend):
    """Return the LotteryError that says why "engine" or "onnxruntime" cannot run anything here, or None."""
    if backend == "onnxruntime":
        # Not imported: that takes longer than many a clip.
        is_missing = importlib.util.find_spec("onnxruntime") is None
        return LotteryError("onnxruntime is not installed", hint=_GET_ONNXRUNTIME) if is_missing else None
    try:
        library.load()
    except library.EngineUnavailableError as error:
        return error
    return None


def _complaint_about_ticket(manifest, *, precision):
    """Return the BundleError that says why the bundle's ticket file does not serve, or None."""
    if manifest.engine is None:
        return BundleError(f"bundle {manifest.name} has no model.ticket for the ticket engine", hint=_RE_EXPORT)
    found = manifest.engine["precision"]
    if precision not in ("auto", found):
        return BundleError(
            f"the model.ticket of bundle {manifest.name} is {found}, not {precision}",
            hint=f"use --precision {found}, or export it again",
        )
    return None


def _check_name(name, what, names):
    if name not in names:
        raise LotteryError(f"{what} is {short(name)}, expected one of {', '.join(names)}")


_said, _said_lock = set(), threading.Lock()


def say_once(text):
    """Print a line on stderr the first time that this process has it to say."""
    with _said_lock:
        if text in _said:
            return
        _said.add(text)
    print(text, file=sys.stderr)


def open_session(bundle, *, manifest, precision="auto", backend="auto", num_threads=1, allow_any_operators=False):
    """Load the model of a bundle: the bytes whose SHA-256 was checked.

    Args:
        bundle: the bundle directory.
        manifest: its Manifest.
        precision, backend: see choose_model.
        num_threads: threads inside an operator of onnxruntime, >= 1; the engine runs a chunk on one.
        allow_any_operators: see OrtSession.
    Returns:
        A Session.
    Raises:
        BundleError: the model is missing, truncated or altered; see OrtSession and EngineSession.
        LotteryError: unknown backend or precision, num_threads < 1; see choose_model.
    """
    if num_threads < 1:
        raise LotteryError(f"num_threads is {num_threads}, expected 1 or more")
    backend, precision = choose_model(manifest, precision=precision, backend=backend)
    if backend == "engine":
        source = Path(bundle) / manifest.files[TICKET_ROLE].path
        return EngineSession(manifest.read(TICKET_ROLE, bundle=bundle), manifest=manifest, source=source)
    role = MODEL_ROLES[precision]
    return OrtSession(
        manifest.read(role, bundle=bundle),
        manifest=manifest,
        num_threads=num_threads,
        allow_any_operators=allow_any_operators,
        source=Path(bundle) / manifest.files[role].path,
    )
