"""lottery-bench: how long bundles take, side by side, across sparsity levels."""

import argparse
import contextlib
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from runtime.audio import STDIN
from runtime.command import run_command
from runtime.comparison import (
    add_ratios,
    add_times,
    busy_note,
    describe_bundle,
    footprint_table,
    latency_series,
    latency_table,
    notes,
    sort_rows,
)
from runtime.device_report import describe_device, make_report
from runtime.errors import LotteryError, require_extra
from runtime.files import require_writable, write_atomic, write_json
from runtime.machine import describe_machine, load_average_1min, machine_line, usable_cores
from runtime.manifest import MODEL_ROLES, Manifest
from runtime.measurement import (
    Candidate,
    Conditions,
    load_clip,
    measure_clips,
    measure_footprint,
    measure_paced,
    require_chunks,
)
from runtime.options import add_trust_options, create_parser, parse_intermixed, positive_int
from runtime.plots import EXTRA, Section, html_report, line_figure, save_png
from runtime.session import BACKENDS, choose_model, complaint_about_backend, say_once
from runtime.shipped import shipped_bundle

SCHEMA_VERSION = 1
DEFAULT_REPEATS = 10
_TITLE = "Latency across sparsity levels"
_EXAMPLES = """\
  lottery-bench
  lottery-bench bundles/*
  lottery-bench bundles/dense bundles/level_06 --precision int8 --audio clip.wav --repeats 30
  lottery-bench bundles/* --paced --json latency.json --plot latency.png --html latency.html
  lottery-bench bundles/an4 --device-report raspberry_pi_4.json
"""


def main(argv=None):
    """Run lottery-bench; return the exit status."""
    return run_command(_main, argv)


def _main(argv):
    arguments = _parse(argv)
    # What would fail after minutes of measuring fails now.
    if arguments.plot or arguments.html:
        require_extra("matplotlib", extra=EXTRA)
    for path in _outputs(arguments):
        require_writable(path)
    with _readable_again(arguments.audio) as audio:
        return _bench(arguments, argv=argv, audio=audio)


def _outputs(arguments):
    paths = (arguments.json, arguments.device_report, arguments.plot, arguments.html)
    return [path for path in paths if path]


@contextlib.contextmanager
def _readable_again(audio):
    """Yield the path of a clip that every measuring process can read: what comes through a pipe is copied."""
    if audio is None or not (audio == STDIN or audio.startswith("/dev/") or Path(audio).is_fifo()):
        yield audio
        return
    with tempfile.TemporaryDirectory(prefix="lottery-bench.") as folder:
        copy = Path(folder, "audio")
        with sys.stdin.buffer if audio == STDIN else open(audio, "rb") as pipe, open(copy, "wb") as file:
            shutil.copyfileobj(pipe, file)
        yield str(copy)


def _bench(arguments, *, argv, audio):
    conditions = Conditions(
        threads=arguments.threads,
        audio=audio,
        require_signature=arguments.require_signature,
        allow_any_operators=arguments.allow_any_operators,
    )
    samples = load_clip(audio)
    rows = find_rows(
        arguments.bundles or [shipped_bundle()],
        precisions=arguments.precision,
        backend=arguments.backend,
        require_signature=arguments.require_signature,
    )
    for row in rows:
        require_chunks(samples, chunk_frames=row["chunk_frames"], bundle=row["path"])
    if arguments.plot and not any(row["num_nonzeros"] for row in rows):
        raise LotteryError(
            "nothing to plot: no bundle tells its number of weights",
            hint="leave out --plot, or add a bundle of a ticket",
        )
    before, load_average = describe_device(), load_average_1min()
    measure_rows(rows, conditions=conditions, repeats=arguments.repeats, is_paced=arguments.paced)
    warning = busy_note(rows, load_average=load_average, cores=usable_cores(), threads=arguments.threads)
    result = {
        "schema_version": SCHEMA_VERSION,
        "rows": rows,
        "notes": [*filter(None, [warning]), *notes(rows, threads=arguments.threads)],
        "load_average_before": load_average,
        "is_busy": warning is not None,
        "settings": {
            "repeats": arguments.repeats,
            "backend": arguments.backend,
            "audio": arguments.audio or "built-in speech-like signal",
        },
        "machine": describe_machine(threads=arguments.threads),
        "command": shlex.join(["lottery-bench", *argv]),
    }
    print(result_text(result))
    if warning:
        # Where the table goes into a file, too.
        print(f"warning: {warning}", file=sys.stderr)
    if arguments.json:
        write_json(arguments.json, result)
    if arguments.device_report:
        settings = {"threads": arguments.threads, "repeats": arguments.repeats, "audio": arguments.audio}
        settings["require_signature"] = arguments.require_signature
        write_json(arguments.device_report, make_report(rows, before=before, after=describe_device(), **settings))
    if arguments.plot:
        save_png(latency_figure(rows), arguments.plot)
    if arguments.html:
        write_atomic(arguments.html, result_html(result))
    for path in _outputs(arguments):
        print(f"wrote {path}", file=sys.stderr)
    return 0


def _parse(argv):
    parser = create_parser(
        "lottery-bench",
        description="Measure bundles side by side: time a chunk, real-time factor, CPU time, memory, load time, size. "
        "Repetitions are interleaved over all bundles, precisions and backends, threads are fixed, and masked bundles "
        "are timed like any other: zeros that are multiplied are never called a speed-up.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "bundles",
        metavar="BUNDLE",
        nargs="*",
        help="directory that lottery-export wrote (default: the recogniser that comes along)",
    )
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=DEFAULT_REPEATS,
        metavar="N",
        help="passes over the clip for each bundle and precision (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=1,
        metavar="N",
        help="threads of onnxruntime and of numpy (default: %(default)s); the ticket engine runs a chunk on one",
    )
    parser.add_argument(
        "--precision",
        type=_precisions,
        default=None,
        metavar="LIST",
        help="fp32, int8, or fp32,int8 (default: those the bundles have)",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="auto measures each bundle with onnxruntime and, where it has a model.ticket, with the "
        "ticket engine (default)",
    )
    parser.add_argument(
        "--audio",
        metavar="FILE",
        help="clip to recognise, - for standard input (default: a built-in speech-like signal)",
    )
    parser.add_argument(
        "--paced",
        action="store_true",
        help="also play the clip at the pace of a microphone: latency of the first and the final text",
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures, with the machine they were measured on")
    parser.add_argument(
        "--device-report",
        metavar="FILE",
        help="write what this device is and what it took, for a table of devices (docs/arm.md)",
    )
    parser.add_argument("--plot", metavar="FILE", help="write a PNG of model time over kept weights")
    parser.add_argument("--html", metavar="FILE", help="write a self-contained page with tables and plot")
    add_trust_options(parser)
    # Bundles may stand before and after options: bench.pyz adds those inside it to those that are given.
    return parse_intermixed(parser, argv, name="bundles")


def _precisions(text):
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in MODEL_ROLES:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(MODEL_ROLES)}")
    return names


def find_rows(bundles, *, precisions=None, backend="onnxruntime", require_signature=None):
    """Verify bundles and return the rows to measure, sorted.

    Args:
        bundles: paths of bundle directories.
        precisions: what every bundle must have; None for those that each has.
        backend: "engine", "onnxruntime", or "auto" for every one that has a model in the bundle and runs here; that
            one is missing is said on stderr.
        require_signature: see Manifest.load.
    Raises:
        BundleError: a bundle is damaged, or lacks an asked precision.
        LotteryError: no backend can run a bundle here.
    """
    rows = []
    for path in dict.fromkeys(str(Path(bundle)) for bundle in bundles):
        manifest = Manifest.load(path, require_signature=require_signature)
        for name, precision in _models(manifest, precisions=precisions, backend=backend):
            rows.append(describe_bundle(path, manifest=manifest, precision=precision, backend=name))
    _name_apart(rows)
    return sort_rows(rows)


def _models(manifest, *, precisions, backend):
    """Return the (backend, precision) pairs of a bundle to measure."""
    present = [pair for pair in manifest.models if _is_measured(pair[0], backend=backend)]
    if precisions is None:
        return present or [choose_model(manifest, backend=backend)]
    found = []
    for precision in precisions:
        # Where there is none, choose_model says what is missing.
        found += [pair for pair in present if pair[1] == precision] or [
            choose_model(manifest, precision=precision, backend=backend)
        ]
    return found


def _is_measured(name, *, backend):
    """Whether the backend `name` takes part; that "auto" has to do without it is said once.

    Raises:
        LotteryError: it was asked for, and cannot run here.
    """
    if backend not in (name, "auto"):
        return False
    complaint = complaint_about_backend(name)
    if complaint is not None and backend == name:
        raise complaint
    if complaint is not None:
        say_once(f"note: nothing is measured with {name}: {complaint}")
    return complaint is None


def _name_apart(rows):
    """Bundles of the same name are called by their path."""
    paths = {}
    for row in rows:
        paths.setdefault(row["bundle"], set()).add(row["path"])
    for row in rows:
        if len(paths[row["bundle"]]) > 1:
            row["bundle"] = row["path"]


def measure_rows(rows, *, conditions, repeats, is_paced=False):
    """Measure all rows and add the figures to them.

    Args:
        rows: what find_rows returned; changed in place.
        conditions: Conditions.
        repeats: passes over the clip for each row.
        is_paced: also play the clip in real time, once a row.
    """
    candidates = [Candidate(bundle=row["path"], precision=row["precision"], backend=row["backend"]) for row in rows]
    pairs = list(zip(rows, candidates, strict=True))
    for row, candidate in tqdm(pairs, desc="memory", unit="bundle", disable=not sys.stderr.isatty()):
        row.update(measure_footprint(candidate, conditions=conditions))
    for row, rounds in zip(rows, measure_clips(candidates, conditions=conditions, repeats=repeats), strict=True):
        add_times(row, rounds=rounds)
    if is_paced:
        for row, paced in zip(rows, measure_paced(candidates, conditions=conditions), strict=True):
            row["paced"] = paced
    add_ratios(rows)


def result_text(result):
    """Return the tables, the notes and the machine line as text."""
    rows = result["rows"]
    parts = [latency_table(rows).text(), footprint_table(rows).text()]
    parts += ["\n".join(f"note: {note}" for note in result["notes"]), f"machine: {machine_line(result['machine'])}"]
    return "\n\n".join(parts)


def latency_figure(rows):
    """Return the figure of model time over kept weights, or None where no bundle tells how many weights it has.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    series = latency_series(rows)
    return series and line_figure(
        series,
        title="Time of one model step",
        x_label="non-zero weights, share of the dense model",
        y_label="median, ms a chunk",
        log_x=True,
        percent_x=True,
        falling_x=True,
    )


def result_html(result):
    """Return a self-contained page of a result."""
    rows = result["rows"]
    sections = [
        Section(heading="Time a chunk", figure=latency_figure(rows), table=latency_table(rows)),
        Section(heading="Size, memory, load time", table=footprint_table(rows)),
        Section(heading="Notes", text="\n\n".join(result["notes"])),
    ]
    footer = f"{machine_line(result['machine'])}\n\n{result['command']}"
    return html_report(_TITLE, sections=sections, footer=footer)


if __name__ == "__main__":
    sys.exit(main())
