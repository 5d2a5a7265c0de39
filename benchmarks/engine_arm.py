"""What a chunk costs on 64-bit ARM, in instructions: a figure that does not depend on whose machine counts them.

    python -m benchmarks.engine_arm

The engine is cross-compiled (Debian: g++-aarch64-linux-gnu) and run in QEMU (Debian: qemu-user; its static build has no
plugins, which do the counting). Instructions are not time: how many run at once, and how often memory is waited for, is
the processor's own. They say what each form of the weights costs beside the others. A chunk's count is the difference
between a long clip and a shorter one, whose attention sees the whole left context in both. Writes
benchmarks/results/engine_arm.json.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.engine_models import VARIANTS, config_of, count_nonzeros, draw_model, multiply_adds
from benchmarks.results import CHECKOUT, RESULTS, write_result
from export.ticket_file import write_ticket
from runtime.command import run_command
from runtime.engine.build import INCLUDE_DIR, build, find_compiler
from runtime.errors import LotteryError
from runtime.features import ENCODER_FRAME_MS, fbank
from runtime.options import create_parser
from runtime.synthetic import speech_like
from runtime.table import Table, number

TARGET = "aarch64"
SIZES = ("8m", "tiny")
CHUNKS = (4, 16)
# QEMU's name of a processor, the engine's instruction set, the target its formats are chosen for. Cortex-A72: Raspberry
# Pi 4; dot products: Cortex-A55 and A76 on, Raspberry Pi 5; i8mm: Cortex-A510 and X2 on.
PROCESSORS = (("cortex-a72", "neon", "basic"), ("max", "dotprod", "mobile"), ("max", "i8mm", "mobile"))
# Variant of benchmarks.engine_models, precision.
ROWS = (("dense", "fp32"), ("dense", "int8"), ("unstructured_10", "fp32"), ("unstructured_10", "int8"),
        ("unstructured_5", "int8"), ("block4x4_20", "int8"))  # fmt: skip
NUM_COUNTED = 3
_DRIVER = CHECKOUT / "tests" / "runtime" / "engine" / "drivers" / "engine_driver.c"
_PLUGIN = Path(__file__).with_name("qemu_instructions.c")


class CountError(LotteryError):
    """Instructions cannot be counted here."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """The engine for ARM, and a QEMU that counts.

    Args:
        program: what runs: engine_driver, linked to the library, or another.
        plugin: qemu_instructions, compiled for this machine.
        root: folder with the C library of the other architecture.
        environment: of the program; None for this process's.
    """

    program: Path
    plugin: Path
    root: str
    environment: dict | None = None

    @classmethod
    def build(cls, folder):
        """Compile everything into a folder.

        Raises:
            BuildError: no cross compiler.
            CountError: no QEMU, or something does not compile.
        """
        if not shutil.which("qemu-aarch64"):
            raise CountError("qemu-aarch64 is not installed", hint="Debian: apt install qemu-user")
        cross = find_compiler(target=TARGET)
        library = build(folder, target=TARGET).path
        program, plugin = folder / "engine_driver", folder / "qemu_instructions.so"
        flags = (f"-I{INCLUDE_DIR}", f"-Wl,-rpath,{folder}", "-o", str(program))
        _compile(cross, "-x", "c", str(_DRIVER), "-x", "none", str(library), *flags)
        compile_plugin(plugin, compiler=find_compiler())
        return cls(program=program, plugin=plugin, root=f"/usr/{cross.machine}")

    def count(self, *arguments, processor):
        """Return how many instructions a run of the program takes on a processor."""
        command = ["qemu-aarch64", "-cpu", processor, "-L", self.root, "-plugin", f"file={self.plugin}"]
        command += [str(self.program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        lines = [line.split() for line in done.stderr.splitlines()]
        counts = [int(words[1]) for words in lines if words[:1] == ["instructions"] and len(words) == 2]
        if done.returncode != 0 or len(counts) != 1:
            raise CountError(f"{self.program.name} fails: {done.stderr.strip()}", hint="is qemu-user 7.2 or newer?")
        return counts[0]


def compile_plugin(path, *, compiler):
    """Compile qemu_instructions.c for this machine.

    Raises:
        CountError: it does not compile.
    """
    _compile(compiler, "-x", "c", "-shared", "-fPIC", str(_PLUGIN), "-o", str(path))


def _compile(compiler, *arguments):
    status, said = compiler.run("-O2", "-Wall", "-Wextra", *arguments)
    if status != 0:
        raise CountError(f"{compiler.command[0]} fails: {said.strip()}", hint="install binutils and a C library for it")


def per_chunk(counter, ticket, *, features_TF, chunk, left_context, processor, instruction_set, folder):
    """Return the instructions of one chunk that sees a full left context.

    Args:
        ticket: path of the file.
        features_TF: float32, at least as long as the context and NUM_COUNTED + 1 chunks.
    """
    counts = []
    for num_chunks in (-(-left_context // chunk) + 1, -(-left_context // chunk) + 1 + NUM_COUNTED):
        clip = folder / "features"
        clip.write_bytes(np.resize(features_TF, (4 * chunk * num_chunks + 3, features_TF.shape[1])).tobytes())
        arguments = ("step", instruction_set, ticket, 1, clip, folder / "out")
        counts.append(counter.count(*arguments, processor=processor))
    return (counts[1] - counts[0]) / NUM_COUNTED


def measure(counter, *, size, folder):
    """Return the rows: dicts of JSON values."""
    features_TF, rows = fbank(speech_like()), []
    variants = {variant.name: variant for variant in VARIANTS}
    for name, precision in ROWS:
        variant = variants[name]
        model = draw_model(config_of(size), density=variant.density, block=variant.block)
        nonzeros, weights = count_nonzeros(model)
        for chunk in CHUNKS:
            useful, _ = multiply_adds(model, chunk_frames=chunk)
            for processor, instruction_set, target in PROCESSORS:
                data, records = write_ticket(model, chunk_frames=chunk, precision=precision, target=target)
                path = folder / "model.ticket"
                path.write_bytes(data)
                instructions = per_chunk(
                    counter,
                    path,
                    features_TF=features_TF,
                    chunk=chunk,
                    left_context=model.config.left_context_frames,
                    processor=processor,
                    instruction_set=instruction_set,
                    folder=folder,
                )
                kinds = [record["format"] for record in records.values()]
                rows.append(
                    {
                        "variant": name,
                        "label": variant.label,
                        "precision": precision,
                        "format": max(sorted(set(kinds)), key=kinds.count),
                        "processor": processor,
                        "instruction_set": instruction_set,
                        "chunk_ms": chunk * ENCODER_FRAME_MS,
                        "weights": weights,
                        "nonzeros": nonzeros,
                        "instructions": round(instructions),
                        "instructions_per_nonzero": round(instructions / nonzeros, 3),
                        "instructions_per_multiply_add": round(instructions / useful, 4),
                    }
                )
                print(f"{name} {precision} {chunk} {instruction_set}: {instructions:.4g}", file=sys.stderr)
    return rows


def summarise(rows, *, size):
    """Return plain numbers: instructions of a 640 ms chunk in millions, and ratios to the dense float ones."""
    found = {}
    for instruction_set in (each for _, each, _ in PROCESSORS):
        own = {
            f"{row['variant']}_{row['precision']}": row["instructions"]
            for row in rows
            if row["instruction_set"] == instruction_set and row["chunk_ms"] == CHUNKS[-1] * ENCODER_FRAME_MS
        }
        for name, instructions in own.items():
            key = f"{size}_{instruction_set}_{name}"
            found[f"{key}_million_instructions"] = round(instructions / 1e6, 2)
            found[f"{key}_ratio"] = round(own["dense_fp32"] / instructions, 2)
    return found


def _table(rows):
    header = ("chunk", "set", "model", "precision", "mostly", "M instructions", "a non-zero", "a multiply-add")
    cells = [
        (
            f"{row['chunk_ms']} ms",
            row["instruction_set"],
            row["label"],
            row["precision"],
            row["format"],
            number(row["instructions"], scale=1e-6),
            number(row["instructions_per_nonzero"]),
            number(row["instructions_per_multiply_add"], digits=3),
        )
        for row in rows
    ]
    return Table(header=header, rows=tuple(cells), num_left=5).text()


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.engine_arm",
        description="Count the instructions of one chunk on 64-bit ARM, in QEMU; writes "
        "benchmarks/results/engine_arm.json.",
        examples="  python -m benchmarks.engine_arm\n  python -m benchmarks.engine_arm --size tiny --out /tmp",
    )
    parser.add_argument("--size", choices=SIZES, default=SIZES[0], help="of the models (default: %(default)s)")
    parser.add_argument("--out", default=str(RESULTS), metavar="DIR", help="folder for engine_arm.json")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measure(Counter.build(folder), size=arguments.size, folder=folder)
    print(_table(rows))
    qemu = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    summary = summarise(rows, size=arguments.size)
    details = {"rows": rows, "qemu": qemu}
    path = write_result(
        "engine_arm", summary=summary, details=details, packages=("numpy", "torch"), folder=arguments.out
    )
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the count; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
