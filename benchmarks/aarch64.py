"""The installed runtime on 64-bit ARM beside this machine: features, log-probabilities, words, instructions a chunk.

    python -m benchmarks.aarch64 bundles/an4 --data-dir ../shared/data

Debian for ARM and the wheels of a plain install run in QEMU (benchmarks/aarch64_root.py). Both machines read the same
sound files; everything from the decoder of the file on is theirs. Instructions are counted by a plugin, which needs
QEMU's dynamic build (Debian: apt install qemu-user), as the difference of two runs: imports and loading fall out. They
are not time: how many run at once, and how often memory is waited for, is the processor's own. Writes
benchmarks/results/aarch64.json.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.aarch64_root import DEFAULT_PROCESSOR, PROCESSORS, clean_environment, make_arm_python, show_processor
from benchmarks.engine_arm import Counter, CountError, compile_plugin
from benchmarks.results import CHECKOUT, RESULTS, relative, write_result
from lottery_train.corpora import find_corpus, read_manifest
from lottery_train.corpora.locate import cache_dir
from runtime.command import run_command
from runtime.engine.build import find_compiler
from runtime.errors import LotteryError
from runtime.features import ENCODER_FRAME_MS
from runtime.manifest import Manifest
from runtime.options import create_parser, positive_int
from runtime.table import Table, number

NUM_CLIPS = 4
# Loading onnxruntime takes some million instructions more or less from run to run: many chunks make that little.
NUM_COUNTED = 300
_PROGRAM = Path(__file__).with_name("aarch64_steps.py")
_NOTE = (
    "Both machines read the sound files themselves. Instructions of a chunk: the difference between a long and a short "
    "run, over their difference in chunks; the call from Python is among them (some hundred thousand). Features of a "
    "chunk are a row of their own."
)


def choose_clips(data_dir, *, count):
    """Return the paths of `count` clips of AN4's test split, at even distances."""
    utterances, _ = read_manifest(find_corpus("an4", data_dir=data_dir).splits["test"])
    chosen = np.linspace(0, len(utterances) - 1, count).round().astype(int)
    return [Path(utterances[index].audio_path).resolve() for index in chosen]


def record_here(bundle, clips, *, out):
    """Run the recording on this machine, from the checkout; return its arrays."""
    command = [sys.executable, "-P", str(_PROGRAM), "record", str(bundle), str(out), *map(str, clips)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(CHECKOUT)})
    if done.returncode != 0:
        raise LotteryError(f"{_PROGRAM.name} fails here: {done.stderr.strip()}")
    return dict(np.load(out))


def compare(here, there, *, num_clips, models):
    """Compare the recordings of two machines.

    Args:
        here, there: name -> array, as aarch64_steps.record writes them.
        num_clips: clips in either.
        models: (backend, precision) pairs.
    Returns:
        dict: samples_max_abs, features_max_abs, num_chunks, and models: one dict each with logprobs_max_abs,
        logprobs_mean_abs, probability_max_abs, tokens_equal and texts_equal.
    """

    def differences(name, function=lambda values: values):
        return np.concatenate(
            [
                np.abs(function(here[f"{clip}/{name}"]) - function(there[f"{clip}/{name}"])).ravel()
                for clip in range(num_clips)
            ]
        )

    def are_equal(name):
        return all(np.array_equal(here[f"{clip}/{name}"], there[f"{clip}/{name}"]) for clip in range(num_clips))

    rows = []
    for backend, precision in models:
        name = f"{backend}/{precision}"
        logprobs = differences(f"{name}/logprobs")
        rows.append(
            {
                "backend": backend,
                "precision": precision,
                "logprobs_max_abs": float(logprobs.max()),
                "logprobs_mean_abs": float(logprobs.mean()),
                "probability_max_abs": float(differences(f"{name}/logprobs", np.exp).max()),
                "tokens_equal": are_equal(f"{name}/ids"),
                "texts_equal": are_equal(f"{name}/text"),
            }
        )
    backend, precision = models[0]
    return {
        "samples_max_abs": float(differences("samples").max()),
        "features_max_abs": float(differences("features").max()),
        "num_chunks": sum(len(here[f"{clip}/{backend}/{precision}/logprobs"]) for clip in range(num_clips)),
        "models": rows,
    }


def count_chunk(counter, what, bundle, data, *, manifest, processor):
    """Return the instructions of one chunk: its features, or a model step that sees the whole left context."""
    short = -(-manifest.left_context // manifest.chunk_frames) + 2
    counts = [
        counter.count(_PROGRAM, what, bundle, data, chunks, processor=processor)
        for chunks in (short, short + NUM_COUNTED)
    ]
    return (counts[1] - counts[0]) / NUM_COUNTED


def count_all(arm, bundle, arrays, *, manifest, models, processors, folder):
    """Return the rows of instructions: what, processor, instructions of a chunk."""
    plugin = folder / "qemu_instructions.so"
    compile_plugin(plugin, compiler=find_compiler())
    # One thread, and sets in the same order every time: both would move the count.
    environment = clean_environment() | {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    counter = Counter(program=arm.python, plugin=plugin, root=str(arm.root), environment=environment)
    inputs = {}
    for name in ("samples", "features"):
        inputs[name] = folder / f"{name}.npy"
        np.save(inputs[name], arrays[f"0/{name}"])
    jobs = [("features", inputs["samples"])]
    jobs += [(f"{backend}:{precision}", inputs["features"]) for backend, precision in models]
    rows = []
    pairs = [(processor, *job) for processor in processors for job in jobs]
    for processor, what, data in tqdm(pairs, desc="counting", unit="row", disable=not sys.stderr.isatty()):
        show_processor(arm.root, processor)
        found = count_chunk(counter, what, bundle, data, manifest=manifest, processor=processor)
        rows.append({"what": what.replace(":", " "), "processor": processor, "instructions_per_chunk": round(found)})
    return rows


def measure(bundle, *, data_dir, num_clips, processors, cache, folder):
    """Return (summary, details) of the result file."""
    bundle, manifest = Path(bundle).resolve(), Manifest.load(bundle)
    clips = choose_clips(data_dir, count=num_clips)
    print("making the ARM system", file=sys.stderr)
    arm = make_arm_python(folder, cache=cache)
    models = [pair for pair in manifest.models if arm.has_engine or pair[0] != "engine"]
    here = record_here(bundle, clips, out=folder / "here.npz")
    parity = {}
    for processor in tqdm(processors, desc="comparing", unit="processor", disable=not sys.stderr.isatty()):
        out = folder / f"{processor}.npz"
        arm.run(_PROGRAM, "record", bundle, out, *clips, processor=processor)
        parity[processor] = compare(here, dict(np.load(out)), num_clips=num_clips, models=models)
    try:
        counts = count_all(arm, bundle, here, manifest=manifest, models=models, processors=processors, folder=folder)
    except CountError as error:
        raise LotteryError(f"instructions cannot be counted: {error}", hint=error.hint) from error
    installed = arm.installed_sizes()
    details = {
        "bundle": {
            "name": manifest.name,
            "chunk_ms": manifest.chunk_frames * ENCODER_FRAME_MS,
            "files": {role: entry.sha256 for role, entry in manifest.files.items()},
        },
        "clips": [clip.name for clip in clips],
        "parity": parity,
        "instructions": counts,
        "wheel": {"name": arm.wheel.name, "bytes": arm.wheel.stat().st_size},
        "installed": installed,
        "qemu": _qemu_version(),
        "note": _NOTE,
    }
    summary = summarise(parity, counts, processor=processors[0])
    summary["aarch64_install_mb"] = round(sum(entry["bytes"] for entry in installed.values()) / 1e6, 1)
    return summary, details


def summarise(parity, counts, *, processor):
    """Return plain numbers of the first processor; instructions are the int8 engine's where it is there.

    Args:
        parity: processor -> what `compare` returned.
        counts: rows of `count_all`.
        processor: a key of parity.
    """
    models = {(row["backend"], row["precision"]): row for row in parity[processor]["models"]}
    own = {row["what"]: row["instructions_per_chunk"] for row in counts if row["processor"] == processor}
    told = next(name for name in ("engine int8", "engine fp32", "onnxruntime int8", "onnxruntime fp32") if name in own)
    return {
        "processor": processor,
        "aarch64_fp32_max_abs": models["onnxruntime", "fp32"]["logprobs_max_abs"],
        "aarch64_features_max_abs": parity[processor]["features_max_abs"],
        "aarch64_instructions_per_chunk": own[told],
        "instructions_of": told,
        "tokens_equal": all(row["tokens_equal"] for found in parity.values() for row in found["models"]),
        **{f"{name.replace(' ', '_')}_million_instructions": round(count / 1e6, 2) for name, count in own.items()},
    }


def _qemu_version():
    return subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True).stdout.splitlines()[0]


def _tables(details):
    parity = tuple(
        (
            processor, row["backend"], row["precision"], f"{row['logprobs_max_abs']:.2e}",
            f"{row['probability_max_abs']:.2e}", "yes" if row["tokens_equal"] else "NO",
        )
        for processor, found in details["parity"].items()
        for row in found["models"]
    )  # fmt: skip
    counts = tuple(
        (row["processor"], row["what"], number(row["instructions_per_chunk"], scale=1e-6))
        for row in details["instructions"]
    )
    header = ("processor", "backend", "precision", "log-probabilities max abs", "probabilities", "same symbols")
    return (
        Table(header=header, rows=parity, num_left=3),
        Table(header=("processor", "what", "M instructions a chunk"), rows=counts, num_left=2),
    )


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.aarch64",
        description="Run the installed runtime on 64-bit ARM in QEMU and compare it with this machine; writes "
        "benchmarks/results/aarch64.json.",
        examples="  python -m benchmarks.aarch64 bundles/an4 --data-dir ../shared/data",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="directory that lottery-export wrote")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="AN4, or a folder of corpora with it")
    parser.add_argument("--clips", type=positive_int, default=NUM_CLIPS, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--processor",
        action="append",
        choices=tuple(PROCESSORS),
        metavar="NAME",
        help=f"{', '.join(PROCESSORS)}; may be repeated (default: all)",
    )
    parser.add_argument("--out", default=str(RESULTS), metavar="DIR", help="folder for aarch64.json")
    arguments = parser.parse_args(argv)
    processors = arguments.processor or [DEFAULT_PROCESSOR, *(name for name in PROCESSORS if name != DEFAULT_PROCESSOR)]
    with tempfile.TemporaryDirectory() as name:
        summary, details = measure(
            arguments.bundle,
            data_dir=arguments.data_dir,
            num_clips=arguments.clips,
            processors=processors,
            cache=cache_dir() / "aarch64",
            folder=Path(name),
        )
    details["bundle"]["path"] = relative(str(Path(arguments.bundle).resolve()))
    for table in _tables(details):
        print(table.text(), end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    path = write_result("aarch64", summary=summary, details=details, folder=arguments.out)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the comparison; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
