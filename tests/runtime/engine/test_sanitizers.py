"""The engine under the compiler's sanitizers: hostile files, odd shapes, four threads on one model."""

import os
import subprocess

import pytest

from runtime.engine.build import INSTRUCTION_SETS, build
from runtime.engine.library import instruction_sets
from tests.runtime.engine.driver_build import Engine, compiler_or_skip, sources_without
from tests.runtime.engine.small_tickets import small_tickets

# Enough for every check of the parser to refuse something; 1e6 mutations of these files were clean.
NUM_MUTATIONS = 3000


@pytest.fixture(scope="module")
def sanitized(engine_library, tmp_path_factory):
    """Return a function from sanitizers to an Engine built with them.

    With two instruction sets, the best that this processor has and the one that all have: each costs half a minute. The
    others run the same source, in registers of a size between.
    """

    def make(*sanitizers):
        compiler, folder = compiler_or_skip(), tmp_path_factory.mktemp("-".join(sanitizers))
        flags = (f"-fsanitize={','.join(sanitizers)}", "-fno-sanitize-recover=all")
        source, probe = folder / "probe.cpp", folder / "probe"
        source.write_text("int main() { return 0; }\n")
        status, said = compiler.run(*flags, str(source), "-o", str(probe))
        if status != 0 or subprocess.run([probe], capture_output=True).returncode != 0:
            pytest.skip(f"{compiler.command[0]} has no {' and '.join(sanitizers)} sanitizer here: {said.strip()}")
        kept = {instruction_sets()[0], "baseline"}
        left_out = {name for names in INSTRUCTION_SETS.values() for name in names} - kept
        built = build(folder, sanitize=sanitizers, source=sources_without(folder / "src", names=left_out))
        assert set(built.instruction_sets) == kept
        return Engine(library=built.path, compiler=compiler, flags=flags)

    return make


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """Return paths of small ticket files."""
    folder = tmp_path_factory.mktemp("tickets")
    paths = [folder / f"{number}.ticket" for number in range(len(small_tickets()))]
    for path, data in zip(paths, small_tickets(), strict=True):
        path.write_bytes(data)
    return paths


def test_hostile_files_break_neither_memory_nor_the_language_s_rules(sanitized, tickets):
    engine = sanitized("address", "undefined")
    program = engine.compile("fuzz_driver.cpp")
    # malloc without a sanitizer returns nullptr too where a file asks for more than there is.
    environment = os.environ | {"ASAN_OPTIONS": "allocator_may_return_null=1"}
    said = engine.run(program, 1, NUM_MUTATIONS, *tickets, environment=environment)
    opened, refused = (int(word) for word in said.replace(" opened, ", " ").replace(" refused", "").split())
    assert opened + refused == NUM_MUTATIONS * len(tickets)
    # Weights may be anything; most other changes are refused. Either alone would mean that this test tests nothing.
    assert opened > NUM_MUTATIONS
    assert refused > opened


def test_threads_share_a_model_without_a_race(sanitized, tickets):
    engine = sanitized("thread")
    said = engine.run(engine.compile("threads_driver.cpp"), *tickets)
    assert said == f"{len(tickets)} files\n"
