"""The engine for other compilers, languages and loaders: what is built, what it needs, and what it lets others see."""

import functools
import re
import shutil
import subprocess

import numpy as np
import pytest

from runtime.engine.build import INCLUDE_DIR
from runtime.engine.library import LIBRARY_VARIABLE, Model, instruction_sets, integer_product
from tests.runtime.engine.driver_build import (
    Engine,
    EngineDriver,
    build_keeping_objects,
    compiler_or_skip,
    shared_symbols,
)
from tests.runtime.engine.reference_ticket import INT8
from tests.runtime.engine.small_tickets import step_here
from tests.runtime.engine.tiny_ticket import random_ticket

COMPILERS = ("g++", "clang++")
HEADER = INCLUDE_DIR / "ticket_engine.h"
LANGUAGES = [("c", "c99"), ("c", "c11"), ("c++", "c++11"), ("c++", "c++17")]


@pytest.fixture(scope="module")
def build_by(tmp_path_factory):
    """Return a function from a compiler's command to (Compiler, Build, object files)."""

    @functools.cache
    def make(command):
        compiler = installed(command)
        return (compiler, *build_keeping_objects(tmp_path_factory.mktemp(command), compiler=compiler))

    return make


@pytest.fixture(params=COMPILERS)
def built(request, build_by):
    """Return (Compiler, Build, object files) of each compiler that is here."""
    return build_by(request.param)


def installed(command):
    """Return the Compiler; skip visibly where it is not."""
    if not shutil.which(command):
        pytest.skip(f"{command} is not here")
    return compiler_or_skip(command)


def output_of(*command):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not here (Debian: apt install binutils)")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_compiler_has_nothing_to_say(built):
    _, library, _ = built
    assert library.notes == ()


def test_no_instruction_set_shares_its_functions(built):
    _, _, objects = built
    assert len([path for path in objects if path.stem.startswith("isa_")]) > 1
    assert shared_symbols(objects) == []


def test_a_shared_function_is_found(tmp_path):
    """The check itself: a function that this file may share with every other one."""
    compiler = compiler_or_skip()
    (tmp_path / "isa_here.cpp").write_text(
        "namespace ticket { struct A { int f() { return 1; } }; extern const int kernels_here;\n"
        "const int kernels_here = 2; static int own() { return A().f(); } }\n"
        "namespace here { template <int N> int g() { return N + ticket::own(); } }\n"
        "extern const void *p; const void *p = reinterpret_cast<const void *>(&here::g<1>);\n"
    )
    path = tmp_path / "isa_here.o"
    status, said = compiler.run("-O0", "-c", str(tmp_path / "isa_here.cpp"), "-o", str(path))
    assert status == 0, said
    assert [name for _, name in shared_symbols([path])] == ["p", "ticket::A::f()"]


def test_what_it_exports_is_the_header(built):
    _, library, _ = built
    listed = output_of("nm", "-D", "--defined-only", library.path)
    exported = {line.split()[2] for line in listed.splitlines() if line.split()[1] in "TDBRVWi"}
    declared = set(re.findall(r"^TICKET_API [^;(]*?\b(ticket_\w+)\(", HEADER.read_text(), re.MULTILINE))
    assert len(declared) > 8
    assert exported == declared


def test_what_it_needs_is_the_c_library(built):
    _, library, _ = built
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", output_of("readelf", "-d", library.path))
    assert "libc" in needed
    # the loader itself, where the C library has thread-local variables
    assert set(needed) <= {"libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}


@pytest.mark.parametrize(("language", "standard"), LANGUAGES)
@pytest.mark.parametrize("command", COMPILERS)
def test_the_header_is_for_c_and_c_plus_plus(tmp_path, command, language, standard):
    compiler = installed(command)
    source = tmp_path / "source"
    source.write_text(f'#include "{HEADER.name}"\nint main(void) {{ return (int)(TICKET_ALIGNMENT % 64); }}\n')
    flags = ("-x", language, f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{INCLUDE_DIR}")
    status, said = compiler.run(*flags, "-fsyntax-only", str(source))
    assert (status, said) == (0, "")


def random_features(ticket, *, num_streams, num_chunks=6):
    shape = Model(ticket).geometry
    size = (num_streams, 4 * shape.chunk_frames * num_chunks + 3, shape.num_mels)
    return np.random.default_rng(3).normal(-6, 4, size).astype(np.float32)


def random_products():
    """Return (format, weights, activations) of `integer_product` for every int8 format."""
    generator = np.random.default_rng(0)
    return [
        (format, generator.integers(-127, 128, (17, 63)).astype(np.int8), generator.normal(0, 1, (63, 9)).astype("f4"))
        for format in INT8
    ]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_c_program_gets_what_python_gets(built, engine_library, tmp_path, monkeypatch, precision):
    """drivers/engine_driver.c does what the header's example says, in C11."""
    compiler, library, _ = built
    driver = EngineDriver(Engine(library=library.path, compiler=compiler), folder=tmp_path)
    monkeypatch.setenv(LIBRARY_VARIABLE, str(library.path))
    ticket = random_ticket(precision=precision)
    features = random_features(ticket, num_streams=2)
    assert driver.instruction_sets() == instruction_sets()
    assert np.array_equal(driver.step(ticket, features), step_here(ticket, features))


def test_compilers_agree(built, engine_library, monkeypatch):
    _, library, _ = built
    ticket, products = random_ticket(), random_products()
    features = random_features(ticket, num_streams=3)

    def everything(name):
        sums = [integer_product(dense, x, format=format, instruction_set=name) for format, dense, x in products]
        return step_here(ticket, features, instruction_set=name), np.stack(sums)

    for name in instruction_sets():
        expected, expected_sums = everything(name)
        with monkeypatch.context() as patch:
            patch.setenv(LIBRARY_VARIABLE, str(library.path))
            found, sums = everything(name)
        assert np.array_equal(sums, expected_sums)
        differences = np.abs(found - expected)
        # products and sums become one instruction, or two, as each compiler likes; log-probabilities down to -7
        assert differences.max() < 1e-5, (name, differences.max(), differences.mean())


def test_webassembly_computes_the_same(engine_library, tmp_path):
    """With Emscripten, in Node: the same integers, nearly the same floats."""
    if not shutil.which("node"):
        pytest.skip("node is not here")
    compiler = compiler_or_skip(target="wasm32")
    library, objects = build_keeping_objects(tmp_path, compiler=compiler)
    assert library.notes == ()
    assert library.instruction_sets == ("simd128", "baseline")
    assert len(objects) > 8
    driver = EngineDriver(Engine(library=library.path, compiler=compiler, emulator=("node",)), folder=tmp_path)
    assert driver.instruction_sets() == library.instruction_sets
    ticket, products = random_ticket(), random_products()
    features = random_features(ticket, num_streams=2)
    for name in library.instruction_sets:
        found = driver.products(products, instruction_set=name)
        for sums, (format, dense, x) in zip(found, products, strict=True):
            assert np.array_equal(sums, integer_product(dense, x, format=format)), (name, format)
        differences = np.abs(driver.step(ticket, features, instruction_set=name) - step_here(ticket, features))
        # no instruction there adds to a product without rounding it first; log-probabilities down to -7
        assert differences.max() < 2e-5, (name, differences.max(), differences.mean())
