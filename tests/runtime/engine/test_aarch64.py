"""The engine on 64-bit ARM, cross-compiled and run in QEMU: the same integers as here, nearly the same floats."""

import functools
import shutil
import subprocess

import numpy as np
import pytest

from runtime.engine.build import INSTRUCTION_SETS
from runtime.engine.library import Model, integer_product
from tests.runtime.engine.driver_build import (
    Engine,
    EngineDriver,
    build_keeping_objects,
    compiler_or_skip,
    shared_symbols,
)
from tests.runtime.engine.reference_ticket import BLOCKS, INT8
from tests.runtime.engine.small_tickets import step_here
from tests.runtime.engine.ticket_builder import TicketBuilder, matrix_bytes, weights
from tests.runtime.engine.tiny_ticket import random_ticket

TARGET = "aarch64"
# Processor that QEMU plays -> the instruction sets it has. Cortex-A72: a Raspberry Pi 4.
PROCESSORS = {"cortex-a72": ("neon", "baseline"), "max": ("i8mm", "dotprod", "neon", "baseline")}
RUNS = [(processor, name) for processor, names in PROCESSORS.items() for name in names]
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return (Build for aarch64, its object files, its Compiler); skip visibly where it cannot be built or run."""
    compiler = compiler_or_skip(target=TARGET)
    if not any(map(shutil.which, _EMULATORS)):
        pytest.skip(f"{_EMULATORS[0]} is not here (Debian: apt install qemu-user-static)")
    return (*build_keeping_objects(tmp_path_factory.mktemp(TARGET), compiler=compiler), compiler)


@pytest.fixture(scope="module")
def driver_of(built, tmp_path_factory):
    """Return a function from a processor to the EngineDriver that runs on it."""
    library, _, compiler = built
    emulator = next(filter(shutil.which, _EMULATORS))
    # Where Debian's cross compiler keeps the C library of the other architecture.
    root = subprocess.run([*compiler.command, "-print-sysroot"], capture_output=True, text=True).stdout.strip()
    root = root if root not in ("", "/") else f"/usr/{compiler.machine}"

    @functools.cache
    def driver(processor):
        engine = Engine(library=library.path, compiler=compiler, emulator=(emulator, "-cpu", processor, "-L", root))
        return EngineDriver(engine, folder=tmp_path_factory.mktemp(processor))

    return driver


def test_every_instruction_set_is_built_and_none_shares_its_functions(built):
    library, objects, _ = built
    assert library.instruction_sets == tuple(INSTRUCTION_SETS[TARGET])
    assert library.notes == ()
    assert shared_symbols(objects) == []


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_processor_has_the_instruction_sets_that_it_should(driver_of, processor):
    assert driver_of(processor).instruction_sets() == PROCESSORS[processor]


@pytest.mark.parametrize(("processor", "name"), RUNS)
def test_integers_are_the_same_bits(engine_library, driver_of, processor, name):
    """Every int8 format, shapes that fill nothing, sums that fill all 24 bits of a float and more."""
    generator, records = np.random.default_rng(0), []
    for format in INT8:
        height, width = BLOCKS.get(format, (1, 1))
        for rows, cols, frames in ((1, 1, 1), (5, 3, 4), (17, 63, 5), (37, 300, 17), (16, 700, 16), (3, 1500, 33)):
            keep = generator.random((-(-rows // height), -(-cols // width))) < generator.choice([0.1, 0.5, 1])
            keep = keep.repeat(height, 0).repeat(width, 1)[:rows, :cols]
            dense = np.where(keep, generator.integers(-127, 128, (rows, cols)), 0).astype(np.int8)
            x = generator.normal(generator.normal(), 1, (cols, frames)).astype(np.float32)
            records.append((format, dense, x))
        records.append((format, np.full((5, 1500), -127, np.int8), np.full((1500, 5), 3, np.float32)))
        records.append((format, np.zeros((5, 9), np.int8), np.zeros((9, 5), np.float32)))
    found = driver_of(processor).products(records, instruction_set=name)
    for sums, (format, dense, x) in zip(found, records, strict=True):
        expected = integer_product(dense, x, format=format)
        assert np.array_equal(sums, expected), (format, dense.shape, x.shape)


def float_tickets():
    """Return name -> bytes: every module, every float format, tiles of 4, 8 and 16 frames, one and two a chunk."""
    found = {"every module": random_ticket()}
    for format, chunk in ((0, 1), (2, 6), (5, 16), (2, 20)):
        builder = TicketBuilder(default=format, config={"chunk_frames": chunk, "left_context": 7})
        shape = builder.shapes["head"]
        builder.tensors["head"] = matrix_bytes(format, weights(shape, format=format) / 4)
        found[f"format {format}, chunk {chunk}"] = builder.bytes()
    return found


def differences(driver, ticket, *, name):
    """Return |there - here| of three streams' log-probabilities over five chunks."""
    shape = Model(ticket).geometry
    size = (3, 4 * 5 * shape.chunk_frames + 3, shape.num_mels)
    features = np.random.default_rng(1).normal(-6, 4, size).astype(np.float32)
    expected, found = step_here(ticket, features), driver.step(ticket, features, instruction_set=name)
    assert found.shape == expected.shape == (3, 5 * shape.chunk_frames, shape.vocab_size)
    return np.abs(found - expected)


@pytest.mark.parametrize(("processor", "name"), RUNS)
def test_float_steps_agree(engine_library, driver_of, processor, name):
    for title, ticket in float_tickets().items():
        found = differences(driver_of(processor), ticket, name=name)
        # float32 on either side, exponentials by other instructions; log-probabilities down to -8
        assert found.max() < 1e-5, (title, found.max(), found.mean())


@pytest.mark.parametrize(("processor", "name"), RUNS)
def test_int8_steps_agree(engine_library, driver_of, processor, name):
    found = differences(driver_of(processor), random_ticket(precision="int8"), name=name)
    # An activation half-way between two integers, but for the last bits of a float, may go to either: a share of 1/254.
    assert found.max() < 0.05, (found.max(), found.mean())
    assert np.median(found) < 1e-5, (found.max(), found.mean())
