"""The engine's shared library, loaded once with ctypes. No array reaches it unchecked: dtype, shape, order, alignment.

ctypes lets go of the GIL in every call, so threads step one model at the same time.

Environment:
    LOTTERY_ENGINE_ISA: instruction set to use in the place of the best, one of `instruction_sets()`.
    LOTTERY_ENGINE_LIBRARY: path of another build of the library, such as one with sanitizers.
"""

import ctypes
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.engine.build import FOLDER, library_name
from runtime.errors import BundleError, LotteryError

ABI_VERSION = 1
# States and workspaces start at multiples of this many bytes.
ALIGNMENT_BYTES = 64
MAX_STREAMS = 1024
NUM_SYMBOLS = 256
FREQUENCY_SUM = 1 << 14
ISA_VARIABLE = "LOTTERY_ENGINE_ISA"
LIBRARY_VARIABLE = "LOTTERY_ENGINE_LIBRARY"

_ERROR_BYTES = 512
_MAX_UINT32 = (1 << 32) - 1
_REINSTALL = "install lottery-asr again with a C++17 compiler present (Debian: apt install g++)"


class UnusableMemoryError(ValueError):
    """An array that the engine would write to is not aligned, or read-only; a copy in `aligned_bytes` would serve."""


class EngineUnavailableError(LotteryError):
    """The engine's library is missing, cannot be loaded, or belongs to another version of this package."""


@dataclass(frozen=True, kw_only=True)
class TicketGeometry:
    """How a ticket file is fed; as in ticket_engine.h.

    Args:
        num_mels: feature bins.
        window_frames: feature frames (10 ms) that one step reads.
        chunk_frames: encoder frames (40 ms) that one step returns.
        vocab_size: symbols, blank included.
        left_context: encoder frames before a chunk that attention sees.
        num_matrices: weight matrices.
    """

    num_mels: int
    window_frames: int
    chunk_frames: int
    vocab_size: int
    left_context: int
    num_matrices: int


class _Geometry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in TicketGeometry.__dataclass_fields__]


# Name -> (result, arguments). Pointers are c_void_p: what they point to is checked before, in this file.
_POINTER, _SIZE, _UINT32, _TEXT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_char_p
_FUNCTIONS = {
    "ticket_abi_version": (_UINT32, []),
    "ticket_instruction_sets": (_TEXT, []),
    "ticket_open": (_POINTER, [_TEXT, _SIZE, _TEXT, _TEXT, _SIZE]),
    "ticket_close": (None, [_POINTER]),
    "ticket_get_geometry": (None, [_POINTER, ctypes.POINTER(_Geometry)]),
    "ticket_weight_bytes": (_SIZE, [_POINTER]),
    "ticket_state_bytes": (_SIZE, [_POINTER]),
    "ticket_state_init": (None, [_POINTER, _POINTER]),
    "ticket_workspace_bytes": (_SIZE, [_POINTER, _UINT32]),
    "ticket_step": (ctypes.c_int, [_POINTER, _UINT32, _POINTER, _POINTER, _POINTER, _POINTER]),
    "ticket_encode": (_SIZE, [_POINTER, _POINTER, _SIZE, _POINTER, _SIZE]),
    "ticket_integer_product": (ctypes.c_int, [_TEXT, _UINT32, _UINT32, _UINT32, _UINT32, *[_POINTER] * 3]),
}

_lock = threading.Lock()
_loaded = {}


def library_path():
    """Return where the library is looked for."""
    return Path(os.environ.get(LIBRARY_VARIABLE) or FOLDER / library_name())


def load():
    """Return the library as a ctypes.CDLL, loaded at the first call.

    Raises:
        EngineUnavailableError: missing, not loadable, or of another ABI version.
    """
    path = library_path()
    with _lock:
        if path not in _loaded:
            _loaded[path] = _load(path)
        return _loaded[path]


def _load(path):
    if not path.is_file():
        raise EngineUnavailableError(f"the ticket engine is not installed: no {path}", hint=_REINSTALL)
    try:
        library = ctypes.CDLL(os.fspath(path))
        library.ticket_abi_version.restype = _UINT32
        version = library.ticket_abi_version()
        if version != ABI_VERSION:
            raise EngineUnavailableError(
                f"the ticket engine is of another version: {path} has ABI {version}, this lottery-asr uses "
                f"{ABI_VERSION}",
                hint=_REINSTALL,
            )
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        # AttributeError: a library without one of the functions.
        raise EngineUnavailableError(f"the ticket engine cannot be loaded: {error}", hint=_REINSTALL) from error
    return library


def is_available():
    """Return whether the library is there and can be loaded."""
    try:
        load()
    except EngineUnavailableError:
        return False
    return True


def instruction_sets():
    """Return the names of the instruction sets that the library has and this processor runs, best first.

    Raises:
        EngineUnavailableError: see load.
    """
    return tuple(load().ticket_instruction_sets().decode().split())


def choose_instruction_set(name=None):
    """Return the instruction set to run: `name`, or what LOTTERY_ENGINE_ISA says, or the best.

    Raises:
        LotteryError: this library and processor have no such one.
        EngineUnavailableError: see load.
    """
    present = instruction_sets()
    wanted, source = (name, "instruction_set") if name else (os.environ.get(ISA_VARIABLE), ISA_VARIABLE)
    if not wanted:
        return present[0]
    if wanted not in present:
        raise LotteryError(
            f"{source} is {wanted!r}, this processor and build of the engine have {', '.join(present)}",
            hint=f"choose one of them, or leave {source} unset for the best",
        )
    return wanted


class Model:
    """A ticket file, opened. Read-only: any number of threads may step it at once.

    Its memory is given back when the last reference goes; a step that runs holds one.

    Args:
        data: content of the file; not needed afterwards. Checked by the library, whoever wrote it.
        instruction_set: one of `instruction_sets()`; None for LOTTERY_ENGINE_ISA, or the best.
        source: what to call the file in errors.
    Raises:
        BundleError: the library refuses the file; its reason is in the message.
        LotteryError: no such instruction set.
        EngineUnavailableError: see load.
    """

    def __init__(self, data, *, instruction_set=None, source="model.ticket"):
        data = bytes(data)
        self._library = load()
        self.instruction_set = choose_instruction_set(instruction_set)
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        handle = self._library.ticket_open(data, len(data), self.instruction_set.encode(), error, _ERROR_BYTES)
        if not handle:
            reason = error.value.decode(errors="replace") or "no reason given"
            raise BundleError(
                f"{source}: the ticket engine cannot open it: {reason}",
                hint="copy the whole bundle again, or re-run lottery-export on the ticket",
            )
        self._handle = handle
        self._workspace_bytes = {}
        # Not at exit: a daemon thread may still be inside a step then.
        weakref.finalize(self, self._library.ticket_close, handle).atexit = False
        geometry = _Geometry()
        self._library.ticket_get_geometry(handle, ctypes.byref(geometry))
        self.geometry = TicketGeometry(**{name: getattr(geometry, name) for name, _ in _Geometry._fields_})
        self.state_bytes = self._library.ticket_state_bytes(handle)
        self.weight_bytes = self._library.ticket_weight_bytes(handle)

    def workspace_bytes(self, num_streams=1):
        """Return the bytes of scratch memory that a step of `num_streams` (1 to 1024) needs."""
        if not 1 <= num_streams <= MAX_STREAMS:
            raise ValueError(f"num_streams is {num_streams}, expected 1 to {MAX_STREAMS}")
        # Asked twice a step, and always the same.
        if num_streams not in self._workspace_bytes:
            self._workspace_bytes[num_streams] = self._library.ticket_workspace_bytes(self._handle, num_streams)
        return self._workspace_bytes[num_streams]

    def initial_state(self):
        """Return the state of an utterance that has not begun: uint8 (state_bytes,), aligned."""
        state = aligned_bytes(self.state_bytes)
        self._library.ticket_state_init(self._handle, state.ctypes.data)
        return state

    def step(self, x_NTF, states, *, workspace):
        """Run one chunk of N streams.

        Args:
            x_NTF: float32 (N, window_frames, num_mels), C order.
            states: N different arrays as initial_state returns them; advanced in place. Two threads must not step the
                same one at once.
            workspace: uint8, aligned, of workspace_bytes(N) or more; for one call at a time.
        Returns:
            float32 (N, chunk_frames, vocab_size), natural-log probabilities.
        Raises:
            UnusableMemoryError: a state or the workspace is not aligned, or read-only.
            ValueError: an array is not as described. Nothing has been written in either case.
        """
        shape, num_streams = self.geometry, len(states)
        workspace_bytes = max(self.workspace_bytes(num_streams), workspace.size)
        x_address = _address(x_NTF, "x_NTF", np.float32, (num_streams, shape.window_frames, shape.num_mels))
        scratch = _address(workspace, "workspace", np.uint8, (workspace_bytes,), is_written=True)
        caches = [_address(state, "a state", np.uint8, (self.state_bytes,), is_written=True) for state in states]
        if len(set(caches)) != num_streams:
            raise ValueError("the same state stands twice in a batch")
        logprobs_NTV = np.empty((num_streams, shape.chunk_frames, shape.vocab_size), np.float32)
        out_address = _address(logprobs_NTV, "log-probabilities", np.float32, logprobs_NTV.shape)
        pointers = ctypes.c_void_p * num_streams
        status = self._library.ticket_step(
            self._handle,
            num_streams,
            pointers(*range(x_address, x_address + x_NTF.nbytes, x_NTF.nbytes // num_streams)),
            pointers(*caches),
            pointers(*range(out_address, out_address + logprobs_NTV.nbytes, logprobs_NTV.nbytes // num_streams)),
            scratch,
        )
        if status != 0:
            raise ValueError(
                f"the ticket engine refuses a step of {num_streams} streams: more than it can hold, or a state is of "
                "another model or instruction set"
            )
        return logprobs_NTV


def encode(frequencies, symbols):
    """Entropy-code bytes for a ticket file (docs/formats.md), for the exporter.

    Args:
        frequencies: uint16 (256,), sum 16384, not 0 for any symbol that occurs.
        symbols: uint8 (n,).
    Returns:
        bytes.
    Raises:
        ValueError: an array is not as described.
        EngineUnavailableError: see load.
    """
    frequencies_address = _address(frequencies, "frequencies", np.uint16, (NUM_SYMBOLS,))
    symbols_address = _address(symbols, "symbols", np.uint8, (symbols.size,))
    if int(frequencies.sum(dtype=np.int64)) != FREQUENCY_SUM:
        raise ValueError(f"frequencies sum to {frequencies.sum(dtype=np.int64)}, expected {FREQUENCY_SUM}")
    if symbols.size and not frequencies[symbols].all():
        raise ValueError("a symbol occurs whose frequency is 0")
    # A symbol costs at most 14 bits, and none writes more than one 16-bit word; the final state has four bytes.
    out = np.empty(2 * symbols.size + 4, np.uint8)
    written = load().ticket_encode(frequencies_address, symbols_address, symbols.size, out.ctypes.data, out.size)
    if not 0 < written <= out.size:
        raise ValueError(f"the ticket engine cannot encode {symbols.size} symbols")
    return out[:written].tobytes()


def integer_product(weights, x, *, format, instruction_set=None):
    """Return the integers inside an int8 product: sums over columns of weight times activation, quantised to 8 bits.

    Args:
        weights: int8 (rows, cols).
        x: float32 (cols, frames).
        format: number of an int8 format of docs/formats.md.
        instruction_set: see Model.
    Returns:
        int32 (rows, frames).
    Raises:
        ValueError: an array is not as described, or the engine refuses the format or sizes.
        EngineUnavailableError: see load.
    """
    rows, cols, frames = *weights.shape, x.shape[-1]
    addresses = [_address(weights, "weights", np.int8, (rows, cols)), _address(x, "x", np.float32, (cols, frames))]
    if max(rows, cols, frames) > _MAX_UINT32 or not 0 <= format <= _MAX_UINT32:
        raise ValueError("a size or the format is no 32-bit number")
    sums = np.empty((rows, frames), np.int32)
    name = choose_instruction_set(instruction_set).encode()
    if load().ticket_integer_product(name, format, rows, cols, frames, *addresses, sums.ctypes.data) != 0:
        raise ValueError(f"the ticket engine has no integer product of format {format} and shape {weights.shape}")
    return sums


def aligned_bytes(size):
    """Return uint8 (size,), not initialised, that begins at a multiple of ALIGNMENT_BYTES."""
    memory = np.empty(size + ALIGNMENT_BYTES, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[first : first + size]


def _address(array, name, dtype, shape, *, is_written=False):
    """Return where an array begins, after checking that it is what its address promises.

    Args:
        array: must be of this dtype (in native byte order) and shape, contiguous in C order.
        name: for messages.
        is_written: must also be writeable, and begin at a multiple of ALIGNMENT_BYTES.
    Raises:
        UnusableMemoryError: `is_written` fails, or the array is not contiguous.
        ValueError: it is something else.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name} is {found}, expected {np.dtype(dtype)} {shape}")
    flags = array.flags
    if not flags.c_contiguous:
        raise UnusableMemoryError(f"{name} is not contiguous in C order")
    # The buffer protocol is three times as fast as array.ctypes, but only for what can be written.
    is_writeable = flags.writeable and array.size > 0
    address = ctypes.addressof(ctypes.c_byte.from_buffer(array)) if is_writeable else array.ctypes.data
    if is_written and (not flags.writeable or address % ALIGNMENT_BYTES):
        raise UnusableMemoryError(f"{name} is read-only, or does not begin at a multiple of {ALIGNMENT_BYTES} bytes")
    return address
