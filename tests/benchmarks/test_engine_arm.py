"""Instructions are counted to the last one, and the summary says what the rows do."""

import shutil

import pytest

from benchmarks import engine_arm
from benchmarks.engine_arm import CHUNKS, PROCESSORS, ROWS, Counter, summarise
from benchmarks.engine_models import VARIANTS
from runtime.engine.build import BuildError, find_compiler

# As many rounds as its argument says, of two instructions each.
LOOP = """
#include <stdlib.h>
int main(int argc, char **argv) {
    long rounds = strtol(argv[argc - 1], NULL, 10);
    __asm__ volatile("1: subs %0, %0, #1\\n b.ne 1b" : "+r"(rounds) : : "cc");
    return 0;
}
"""


def test_every_instruction_is_counted(tmp_path):
    if not shutil.which("qemu-aarch64"):
        pytest.skip("qemu-aarch64 is not here (Debian: apt install qemu-user; its static build counts nothing)")
    try:
        cross, native = find_compiler(target="aarch64"), find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    source, program, plugin = tmp_path / "loop.c", tmp_path / "loop", tmp_path / "plugin.so"
    source.write_text(LOOP)
    status, said = cross.run("-x", "c", "-O1", "-static", str(source), "-o", str(program))
    assert status == 0, said
    engine_arm.compile_plugin(plugin, compiler=native)
    counter = Counter(program=program, plugin=plugin, root="/")
    for processor in {processor for processor, *_ in PROCESSORS}:
        counts = [counter.count(rounds, processor=processor) for rounds in (20000, 30000, 50000)]
        assert counts[1] - counts[0] == 2 * 10000
        assert counts[2] - counts[1] == 2 * 20000


def test_the_summary_compares_with_the_dense_float_model():
    rows = [
        {
            "variant": variant,
            "precision": precision,
            "instruction_set": instruction_set,
            "chunk_ms": 40 * chunk,
            "instructions": 12_000_000 // number * chunk,
        }
        for _, instruction_set, _ in PROCESSORS
        for number, (variant, precision) in enumerate(ROWS, start=1)
        for chunk in CHUNKS
    ]
    summary = summarise(rows, size="8m")
    assert summary["8m_neon_dense_fp32_ratio"] == 1
    assert summary["8m_i8mm_dense_int8_ratio"] == 2
    assert summary["8m_dotprod_unstructured_10_int8_ratio"] == 4
    assert summary["8m_neon_dense_int8_million_instructions"] == 96
    assert len(summary) == 2 * len(PROCESSORS) * len(ROWS)


def test_rows_are_variants_of_the_engine_s_benchmark():
    assert {name for name, _ in ROWS} <= {variant.name for variant in VARIANTS}
