"""make demo: from a corpus that the machine makes for itself to the live transcript of a shrunk ticket, and its
latency.

    python -m demo.story [--out runs/demo] [--preset embedded] [--data-dir PACK]

Every step is one of the product's own commands, shown before it runs. A second start goes on where the first one stood.
"""

import argparse
import itertools
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from lottery_train.corpora import find_corpus, read_manifest
from lottery_train.presets import preset
from lottery_train.report import read_records, write_report
from runtime.bench import latency_figure
from runtime.command import run_command
from runtime.comparison import footprint_table, latency_table, notes
from runtime.errors import LotteryError
from runtime.files import read_json
from runtime.machine import machine_line
from runtime.manifest import MANIFEST_NAME
from runtime.plots import Section

_MODULES = {
    "lottery-train": "lottery_train.cli",
    "lottery-export": "export.cli",
    "lottery-transcribe": "runtime.transcribe",
    "lottery-listen": "runtime.listen",
    "lottery-bench": "runtime.bench",
}
_NUM_CLIPS = 5


def run(name, *arguments):
    """Show a command, run it, and return what it printed on stdout (also shown)."""
    arguments = [str(argument) for argument in arguments]
    print(f"\n$ {shlex.join([name, *arguments])}", flush=True)
    result = subprocess.run([sys.executable, "-m", _MODULES[name], *arguments], stdout=subprocess.PIPE, text=True)
    print(result.stdout, end="", flush=True)
    if result.returncode:
        raise LotteryError(f"{name} ended with status {result.returncode}", hint="its message stands above")
    return result.stdout


def export_levels(out, bundles):
    """Export the dense model, and every ticket masked and shrunk; return the bundle folders, dense first."""
    folders = []
    for level in sorted(out.glob("level_[0-9][0-9]")):
        forms = [("dense", [])] if level.name == "level_00" else [("masked", []), ("shrunk", ["--structured"])]
        for form, options in forms:
            folder = bundles / f"{level.name}_{form}"
            folders.append(folder)
            if not (folder / MANIFEST_NAME).exists():
                run("lottery-export", level, *options, "--out", folder)
    return folders


def transcribe(bundle, utterances):
    """Transcribe a few test clips and show them beside what was said; return (texts, references)."""
    clips = [str(utterance.audio_path) for utterance in utterances]
    lines = run("lottery-transcribe", bundle, "--json", *clips).splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    for utterance, text in zip(utterances, texts, strict=True):
        print(f"  said       {utterance.text}\n  recognised {text}")
    return texts


def _report(out, bench):
    result = read_json(bench)
    rows = result["rows"]
    sections = [
        Section(
            heading="Latency",
            figure=latency_figure(rows),
            table=latency_table(rows),
            text="Time of one model step (640 ms of audio), one thread, interleaved repetitions.",
        ),
        Section(heading="Size, memory, load time", table=footprint_table(rows)),
        Section(
            heading="How to read this",
            text="\n\n".join([*notes(rows), machine_line(result["machine"]), result["command"]]),
        ),
    ]
    return write_report(out, more_sections=sections)


def _main(argv):
    parser = argparse.ArgumentParser(prog="python -m demo.story", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="run directory (default: %(default)s)")
    parser.add_argument("--preset", default="embedded", help="settings of the run (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="corpus directory, for a preset that needs one")
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    out, data = arguments.out, ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    run("lottery-train", "--preset", arguments.preset, *data, "--out", out)
    bundles = out / "bundles"
    folders = export_levels(out, bundles)
    corpus = find_corpus(preset(arguments.preset).data.corpus, data_dir=arguments.data_dir)
    utterances, _ = read_manifest(corpus.splits["test"], on_error="skip")
    clips = list(itertools.islice(utterances, _NUM_CLIPS))
    transcribe(folders[-1], clips)
    run("lottery-listen", folders[-1], "--replay", clips[0].audio_path)
    bench = out / "latency.json"
    run("lottery-bench", *folders, "--json", bench)
    report = _report(out, bench)
    levels, _ = read_records(out)
    print(f"\n{len(levels)} levels in {(time.monotonic() - started) / 60:.1f} minutes; the report is {report}")
    print(f"live: lottery-listen {folders[-1]}")


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
