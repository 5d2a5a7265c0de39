"""Programs in C and C++ that test the engine from outside of Python: drivers/*, linked to a build of it."""

import re
import shlex
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.build import INCLUDE_DIR, SOURCE_DIR, BuildError, build, find_compiler
from tests.runtime.engine.reference_ticket import read_ticket

DRIVERS_DIR = Path(__file__).with_name("drivers")
_LANGUAGES = {".c": ("c", "-std=c11"), ".cpp": ("c++", "-std=c++17")}
_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def compiler_or_skip(command=None, *, target=None):
    """Return the Compiler; skip visibly where there is none."""
    try:
        return find_compiler(command, target=target)
    except BuildError as error:
        pytest.skip(str(error))


def sources_without(folder, *, names):
    """Return a folder with the engine's sources less those of some instruction sets, whose build takes long."""
    folder.mkdir()
    for path in SOURCE_DIR.iterdir():
        if path.stem.removeprefix("isa_") not in names:
            (folder / path.name).symlink_to(path)
    return folder


# Runs the compiler that its arguments name, and keeps a copy of every object file.
_KEEPER = """
import pathlib, shutil, subprocess, sys
folder, *command = sys.argv[1:]
status = subprocess.run(command).returncode
if status == 0 and "-c" in command:
    made = pathlib.Path(command[command.index("-o") + 1])
    shutil.copy(made, pathlib.Path(folder) / made.name)
sys.exit(status)
"""


def build_keeping_objects(folder, *, compiler):
    """Build the library into a folder with a Compiler.

    Returns:
        (Build, paths of the object files it was linked from).
    """
    objects, keeper = folder / "objects", folder / "keeper.py"
    objects.mkdir()
    keeper.write_text(_KEEPER)
    command = shlex.join([sys.executable, str(keeper), str(objects), *compiler.command])
    return build(folder, compiler=command), sorted(objects.iterdir())


def shared_symbols(objects):
    """Return what other files may have too, of isa_*.o: (file, symbol) of all that is not the file's own.

    A function that two files compile with flags of their own must not be one symbol: the linker would keep either of
    them, and a processor meet instructions that it has not. What is in the namespace of its instruction set is no
    other file's, whether the linker may merge it or not.
    """
    found = []
    for path in objects:
        name = path.stem.removeprefix("isa_")
        if name == path.stem:
            continue
        listed = subprocess.run(["nm", "--defined-only", "-C", path], check=True, capture_output=True, text=True).stdout
        for line in listed.splitlines():
            _, kind, symbol = line.split(maxsplit=2)
            # lower case is the file's own; u, v and w are not, whatever their case
            is_own = kind.islower() and kind not in "uvw"
            if not is_own and symbol != f"ticket::kernels_{name}" and not re.search(rf"\b{name}::", symbol):
                found.append((path.name, symbol))
    return sorted(found)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A build of the engine and how programs for it are started.

    Args:
        library: its path.
        compiler: Compiler that made it.
        emulator: command that runs a program for its processor; nothing where this machine does.
        flags: of the compiler, for library and programs alike.
    """

    library: Path
    compiler: object
    emulator: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def compile(self, name):
        """Compile drivers/<name> beside the library; return the program's path. A warning is an error."""
        source = DRIVERS_DIR / name
        language, standard = _LANGUAGES[source.suffix]
        command = [standard, "-g", "-O1", *_WARNINGS, *self.flags, f"-I{INCLUDE_DIR}"]
        if self.compiler.system == "emscripten":
            program = self.library.with_name(f"{source.stem}.js")
            # em++ would take C for C++. The program reads and writes this machine's files, and ends with main.
            command = ["emcc", *command, source, self.library, "-sNODERAWFS", "-sALLOW_MEMORY_GROWTH", "-sEXIT_RUNTIME"]
            # Asynchronously it would be fetched, which newer versions of Node do from addresses only.
            command += ["-sWASM_ASYNC_COMPILATION=0"]
        else:
            program = self.library.with_name(source.stem)
            command = [*self.compiler.command, "-x", language, *command, source, "-x", "none", self.library]
            command += [f"-Wl,-rpath,{self.library.parent}", "-pthread"]
        done = subprocess.run([*map(str, command), "-o", str(program)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return program

    def run(self, program, *arguments, environment=None):
        """Run a program to its end and return what it printed; an exit status other than 0 is a failure."""
        command = [*self.emulator, str(program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
        assert done.returncode == 0, f"{program.name}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


class EngineDriver:
    """engine_driver.c as Python functions.

    Args:
        engine: Engine to link it to.
        folder: for the files that go in and out.
    """

    def __init__(self, engine, *, folder):
        self._engine, self._folder = engine, folder
        self._program = engine.compile("engine_driver.c")

    def instruction_sets(self):
        """Return the names, best first."""
        return tuple(self._run("sets").split())

    def step(self, ticket, features_NTF, *, instruction_set="best"):
        """Run whole clips, all streams in one batch; return float32 (N, T', V)."""
        geometry = read_ticket(ticket).config
        paths = [self._folder / name for name in ("ticket", "features", "logprobs")]
        paths[0].write_bytes(ticket)
        paths[1].write_bytes(np.ascontiguousarray(features_NTF, np.float32).tobytes())
        self._run("step", instruction_set, paths[0], len(features_NTF), *paths[1:])
        shape = (-1, len(features_NTF), geometry["chunk_frames"], geometry["vocab_size"])
        chunks = np.fromfile(paths[2], np.float32).reshape(shape)
        return chunks.swapaxes(0, 1).reshape(len(features_NTF), -1, geometry["vocab_size"])

    def products(self, records, *, instruction_set="best"):
        """Return int32 (rows, frames) for each (format, weights, x) of `integer_product`."""
        paths = [self._folder / name for name in ("records", "sums")]
        shapes = [(len(weights), x.shape[1]) for _, weights, x in records]
        content = [
            struct.pack("<4I", format, *weights.shape, x.shape[1]) + weights.tobytes() + x.tobytes()
            for format, weights, x in records
        ]
        paths[0].write_bytes(b"".join(content))
        self._run("products", instruction_set, *paths)
        sums = np.fromfile(paths[1], np.int32)
        ends = np.cumsum([rows * frames for rows, frames in shapes])
        assert len(sums) == ends[-1]
        return [part.reshape(shape) for part, shape in zip(np.split(sums, ends[:-1]), shapes, strict=True)]

    def _run(self, *arguments):
        return self._engine.run(self._program, *arguments)
