"""The engine's parser and entropy coder as Python functions: file_probe.cpp, compiled once a test run."""

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.build import SOURCE_DIR, BuildError, find_compiler

_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti")
_SOURCES = ("file.cpp", "decode.cpp", "entropy.cpp")
_VISIT = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_float)
)


class ParseError(Exception):
    """The parser's own words."""


class Probe:
    """See file_probe.cpp. Memory errors in the parser end the test run: pointers are exact, nothing pads them."""

    def __init__(self, library):
        self._library = library
        library.probe_encode.restype = ctypes.c_size_t

    def read(self, data):
        """Return (num_matrices, [(name, format, array)]): integers of int8 matrices, then their bias and scale.

        Raises:
            ParseError: the file is refused.
        """
        found = []

        def visit(name, format, rows, cols, values):
            array = np.ctypeslib.as_array(values, (rows, cols)).copy()
            found.append((name.decode(), format, array))

        memory, error = _buffer(data), ctypes.create_string_buffer(512)
        result = self._library.probe_file(memory, ctypes.c_size_t(len(data)), _VISIT(visit), error, 512)
        if result < 0:
            raise ParseError(error.value.decode())
        return result, found

    def encode(self, frequencies, symbols, *, room):
        """Return the stream, b"" where `room` bytes do not hold it or the frequencies do not serve."""
        out, table = ctypes.create_string_buffer(max(1, room)), _buffer(np.asarray(frequencies, np.uint16).tobytes())
        size = self._library.probe_encode(table, _buffer(symbols), ctypes.c_size_t(len(symbols)), out, room)
        return out.raw[:size]

    def decode(self, frequencies, stream, num_symbols):
        """Return (symbols, whether they use the stream up)."""
        out, table = ctypes.create_string_buffer(max(1, num_symbols)), np.asarray(frequencies, np.uint16).tobytes()
        size = ctypes.c_size_t(len(stream))
        result = self._library.probe_decode(_buffer(table), _buffer(stream), size, out, ctypes.c_size_t(num_symbols))
        assert result >= 0
        return out.raw[:num_symbols], bool(result)


def _buffer(data):
    return (ctypes.c_uint8 * len(data)).from_buffer_copy(data)


@functools.cache
def load_probe():
    """Return the Probe; the test is skipped where there is no compiler."""
    try:
        compiler = find_compiler()
    except BuildError as error:
        pytest.skip(f"the parser's tests compile a probe: {error}")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "probe.so"
        sources = [Path(__file__).with_name("file_probe.cpp"), *(SOURCE_DIR / name for name in _SOURCES)]
        command = [*compiler.command, *_FLAGS, *map(str, sources), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return Probe(ctypes.CDLL(str(library)))
