"""Compile the ticket engine: every source file with the flags of its instruction set, linked to one shared library.

    python -m runtime.engine.build                                       into this folder, as `pip install -e .` does
    python -m runtime.engine.build --output /tmp/asan --sanitize address,undefined
    python -m runtime.engine.build --output /tmp/aarch64 --target aarch64

setup.py calls `build` before anything is installed, so this module and what it imports need nothing but Python.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from runtime.command import run_command
from runtime.errors import LotteryError

FOLDER = Path(__file__).resolve().parent
SOURCE_DIR = FOLDER / "src"
INCLUDE_DIR = FOLDER / "include"

# Architecture -> instruction set -> flags of its file isa_<name>.cpp. Any other architecture has the baseline alone.
INSTRUCTION_SETS = {
    "x86_64": {
        "avx512": "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi -mavx512vbmi2 -mavx2 -mfma",
        "avxvnni": "-mavx2 -mfma -mavxvnni",
        "avx2": "-mavx2 -mfma",
        "baseline": "",
    },
    "aarch64": {
        "i8mm": "-march=armv8.2-a+dotprod+i8mm",
        "dotprod": "-march=armv8.2-a+dotprod",
        "neon": "",
        "baseline": "",
    },
    "wasm32": {"simd128": "-msimd128", "baseline": ""},
}
_BASELINE = {"baseline": ""}

_COMMON = (
    "-std=c++17 -fPIC -fno-exceptions -fno-rtti -fvisibility=hidden -fno-math-errno -fno-trapping-math -Wall -Wextra"
)
_OPTIMISED = "-O3"
# A report of a sanitizer needs lines and whole call stacks; the first finding ends the process.
_SANITIZED = "-O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all"
# --as-needed drops the C++ library, which the driver names but nothing here uses; -z defs refuses what is missing.
_LINK_ELF = "-Wl,--as-needed"
_LINK_ELF_RELEASE = "-Wl,-z,defs -Wl,-z,relro -Wl,-z,now -Wl,--strip-all"
_COMPILERS = ("c++", "g++", "clang++")
_ARCHITECTURE_NAMES = {"arm64": "aarch64", "amd64": "x86_64"}
_GET_COMPILER = "install a C++17 compiler (Debian: apt install g++) and install lottery-asr again"


class BuildError(LotteryError):
    """The library cannot be compiled here."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """What was built.

    Args:
        path: the library.
        instruction_sets: those inside, best first.
        notes: lines for people: instruction sets left out and why, warnings of the compiler.
    """

    path: Path
    instruction_sets: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Compiler:
    """A C++ compiler: the command that starts it and the machine it compiles for, such as x86_64-linux-gnu."""

    command: tuple[str, ...]
    machine: str

    @property
    def architecture(self):
        """A key of INSTRUCTION_SETS, or another machine's name."""
        name = self.machine.partition("-")[0]
        return _ARCHITECTURE_NAMES.get(name, name)

    @property
    def system(self):
        """What sys.platform says on the machine it compiles for: "linux", "darwin", "win32" or "emscripten"."""
        if "emscripten" in self.machine:
            return "emscripten"
        if "darwin" in self.machine or "apple" in self.machine:
            return "darwin"
        return "win32" if re.search("mingw|windows|cygwin", self.machine) else "linux"

    def run(self, *arguments):
        """Run the compiler; return (exit status, what it said)."""
        try:
            child = subprocess.run(
                [*self.command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
            )
        except OSError as error:
            return 127, f"{self.command[0]}: {error.strerror}"
        return child.returncode, child.stderr + child.stdout


def library_name(system=sys.platform):
    """Return the file name of the library on a system, as sys.platform calls it; an object to link for WebAssembly."""
    names = {"darwin": "libticket_engine.dylib", "win32": "ticket_engine.dll", "emscripten": "ticket_engine.o"}
    return names.get(system, "libticket_engine.so")


def find_compiler(command=None, *, target=None):
    """Return the Compiler to use.

    Args:
        command: as $CXX would hold it; None for $CXX itself, then c++, g++, clang++.
        target: architecture to compile for; None for the compiler's own.
    Raises:
        BuildError: there is none, it does not run, or it compiles for another architecture.
    """
    if command is None and target is None:
        command = os.environ.get("CXX") or next(filter(shutil.which, _COMPILERS), None)
    elif command is None:
        names = (f"{target}-linux-gnu-g++", *_COMPILERS, "em++")
        command = next((name for name in names if _compiles_for(name, target)), None)
    if command is None:
        what = "C++ compiler" if target is None else f"C++ compiler for {target}"
        raise BuildError(f"no {what} found", hint=_GET_COMPILER)
    compiler = _ask(command)
    if compiler is None:
        raise BuildError(f"the C++ compiler {command!r} does not run", hint=f"set CXX, or {_GET_COMPILER}")
    if target is not None and compiler.architecture != target:
        raise BuildError(f"{command!r} compiles for {compiler.machine}, expected {target}", hint="give --compiler")
    return compiler


def _compiles_for(command, target):
    compiler = shutil.which(command) and _ask(command)
    return bool(compiler) and compiler.architecture == target


def _ask(command):
    """Return the Compiler of a command line, or None where it does not run."""
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        return None
    status, machine = Compiler(command=words, machine="").run("-dumpmachine") if words else (127, "")
    return None if status else Compiler(command=words, machine=machine.strip())


def build(output, *, compiler=None, target=None, sanitize=(), source=SOURCE_DIR, include=INCLUDE_DIR):
    """Compile and link the library.

    Args:
        output: folder for it; made where absent. A library that is there stays whole until the new one replaces it,
            so programs that have it loaded go on.
        compiler: as $CXX would hold it; see find_compiler.
        target: architecture, such as "aarch64"; None for the compiler's own.
        sanitize: names for -fsanitize, such as ("address", "undefined").
        source: folder of the .cpp files.
        include: folder of ticket_engine.h.
    Returns:
        Build.
    Raises:
        BuildError: no sources, no compiler, or it refuses a file; its message is in the error.
    """
    source, output = Path(source), Path(output)
    if not any(source.glob("*.cpp")):
        raise BuildError(f"{source}: no sources of the engine here", hint="build from a checkout or from the sdist")
    compiler = find_compiler(compiler, target=target)
    table = INSTRUCTION_SETS.get(compiler.architecture, _BASELINE)
    present, notes = _usable(compiler, {name: flags for name, flags in table.items() if _isa_file(source, name)})
    flags = [*_COMMON.split(), *(_SANITIZED if sanitize else _OPTIMISED).split(), *_sanitize_flags(sanitize)]
    # No path of this machine in the library: equal sources give equal bytes.
    flags += [f"-I{include}", f"-I{source}", f"-ffile-prefix-map={source}={SOURCE_DIR.name}"]
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ticket_engine.", dir=output) as folder:

        def jobs_of(paths):
            objects = {path: str(Path(folder) / f"{path.stem}.o") for path in paths}
            return [
                (path, [*flags, *_own_flags(path, present), "-c", str(path), "-o", target])
                for path, target in objects.items()
            ]

        # The flags alone can pass where the assembler does not know the instructions.
        optional = jobs_of(_isa_file(source, name) for name in present if name != "baseline")
        for (path, _), (status, said) in zip(optional, _run_side_by_side(compiler, optional), strict=True):
            if status != 0:
                name = path.stem.removeprefix("isa_")
                del present[name]
                notes.append(_left_out(name, said))
            elif said.strip():
                notes.append(said.strip())
        jobs = jobs_of(_sources(source, present))
        done = {path for path, _ in optional}
        notes += _run_all(compiler, [job for job in jobs if job[0] not in done])
        linked = Path(folder) / library_name(compiler.system)
        objects = [arguments[-1] for _, arguments in jobs]
        link = [*_sanitize_flags(sanitize), *_link_flags(compiler, sanitize), *objects, "-o", str(linked)]
        notes += _run_all(compiler, [(linked, link)])
        os.replace(linked, output / linked.name)
    return Build(path=output / linked.name, instruction_sets=tuple(present), notes=tuple(notes))


def _isa_file(source, name):
    path = source / f"isa_{name}.cpp"
    return path if path.is_file() else None


def _usable(compiler, table):
    """Return (instruction sets whose flags the compiler knows, notes on the others)."""

    def probe(flags):
        return compiler.run(*flags.split(), "-x", "c++", "-fsyntax-only", os.devnull)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(probe, table.values()))
    present, notes = {}, []
    for (name, flags), (status, said) in zip(table.items(), answers, strict=True):
        if status == 0:
            present[name] = flags
        else:
            notes.append(_left_out(name, said))
    return present, notes


def _left_out(name, said):
    return f"instruction set {name} is left out: {(said.strip() or 'refused').splitlines()[0]}"


def _sources(source, present):
    """Return the files to compile: all but the instruction sets of other machines."""
    files = sorted(source.glob("*.cpp"))
    return [path for path in files if not path.stem.startswith("isa_") or path.stem.removeprefix("isa_") in present]


def _own_flags(path, present):
    if path.stem == "dispatch":
        return [f"-DTICKET_HAS_{name.upper()}=1" for name in present]
    return present.get(path.stem.removeprefix("isa_"), "").split() if path.stem.startswith("isa_") else []


def _sanitize_flags(names):
    return [f"-fsanitize={','.join(names)}"] if names else []


def _link_flags(compiler, sanitize):
    if compiler.system == "emscripten":
        return ["-r"]
    if compiler.system != "linux":
        return ["-shared"]
    # The functions of a sanitizer are in the program that loads the library.
    return ["-shared", *_LINK_ELF.split(), *([] if sanitize else _LINK_ELF_RELEASE.split())]


def _run_side_by_side(compiler, jobs):
    """Return (exit status, what the compiler said) of (path, arguments) jobs."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: compiler.run(*job[1]), jobs))


def _run_all(compiler, jobs):
    """Run (path, arguments) jobs side by side; return what the compiler said.

    Raises:
        BuildError: the first that failed.
    """
    answers = _run_side_by_side(compiler, jobs)
    for (path, _), (status, said) in zip(jobs, answers, strict=True):
        if status != 0:
            raise BuildError(
                f"{compiler.command[0]} cannot build {path.name} (status {status}):\n{said.strip()}",
                hint="a C++17 compiler is needed: GCC 9, Clang 9 or newer",
            )
    return [said.strip() for _, said in answers if said.strip()]


def _main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m runtime.engine.build",
        description="Compile the ticket engine. The library's path goes to stdout, what was left out to stderr.",
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the library (default: where the package looks)")
    parser.add_argument("--compiler", metavar="CXX", help="compiler (default: $CXX, c++, g++, clang++)")
    parser.add_argument("--sanitize", metavar="LIST", help="address,undefined or thread; needs --output")
    parser.add_argument("--target", metavar="ARCH", help="architecture to compile for, such as aarch64; needs --output")
    arguments = parser.parse_args(argv)
    if arguments.output is None and (arguments.sanitize or arguments.target):
        # The package could not load it.
        parser.error("--sanitize and --target need --output")
    built = build(
        arguments.output or FOLDER,
        compiler=arguments.compiler,
        target=arguments.target,
        sanitize=tuple(filter(None, (arguments.sanitize or "").split(","))),
    )
    for note in built.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"instruction sets: {' '.join(built.instruction_sets)}", file=sys.stderr)
    print(built.path)
    return 0


def main(argv=None):
    """Run the build; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
