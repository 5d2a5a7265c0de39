"""The ticket engine beside onnxruntime and OpenVINO on the same models: one thread, interleaved, state carried on.

    python -m benchmarks.engine --tickets runs/an4/level_00 runs/an4_unstructured/level_0[456] runs/an4/level_0[467] \
        --data-dir ../shared/data/an4 --cache bundles/engine --resume

Models of 8 and 24 million weights are drawn and masked, which is fair for times; those of 1 million are trained tickets
where --tickets names any, and their error rates must stay what they are. What is measured, and how: engine_timing.py.
All models of a part are in memory at once: 9 GB at 24m. Finished parts, one a size and chunk length, are kept in the
result file: --resume goes on after them. Writes benchmarks/results/engine.json and engine.html.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.engine_accuracy import disk_figures, word_error_rates
from benchmarks.engine_files import Cache
from benchmarks.engine_models import SIZES, config_of
from benchmarks.engine_parts import measure_part, measure_peaks, prepare
from benchmarks.engine_report import result_html, result_text
from benchmarks.engine_rows import check_bars, summarise
from benchmarks.results import RESULTS, command_line, write_result
from runtime.command import run_command
from runtime.engine.library import library_path, load
from runtime.errors import require_extra
from runtime.features import ENCODER_FRAME_MS
from runtime.files import read_json, require_writable, sha256_file, write_atomic
from runtime.machine import describe_machine
from runtime.options import create_parser, positive_int
from runtime.plots import EXTRA

DEFAULT_ROUNDS = 40
QUICK_ROUNDS = 3
PACKAGES = ("numpy", "onnxruntime", "openvino", "torch")


def result_key(*, tickets, **conditions):
    """Return what must be the same for a finished result to stand: JSON values.

    Args:
        tickets: folders of the trained tickets that take part.
        conditions: further JSON values.
    """
    machine = describe_machine(threads=1, packages=PACKAGES)
    return {
        "engine": sha256_file(library_path())[:16],
        "tickets": [sha256_file(Path(folder) / "ticket.json")[:16] for folder in tickets],
        **conditions,
        "cpu": machine["cpu"],
        "versions": machine["versions"],
    }


class Result:
    """The result file: what is finished so far.

    Args:
        folder: where engine.json and engine.html go; None writes nothing.
        can_resume: take finished parts from the file that is there.
    """

    def __init__(self, folder, *, can_resume):
        self.folder = folder
        path = Path(folder) / "engine.json" if folder else None
        before = read_json(path) if can_resume and path and path.is_file() else {}
        self.parts = before.get("parts", {})
        self.wer = before.get("wer") or {"key": None, "records": []}
        self.peaks = self.disk = self.settings = None

    def is_done(self, name, *, key):
        """Whether a part is there; one that was measured otherwise does not count, which is said."""
        if name in self.parts and self.parts[name]["key"] != key:
            print(f"{name}: measured otherwise before, anew now", file=sys.stderr)
            del self.parts[name]
        return name in self.parts

    def content(self):
        """Return (summary, details) as they go to the file."""
        # Those of an earlier run come first otherwise.
        self.parts = dict(sorted(self.parts.items(), key=lambda item: _order(item[1])))
        summary = summarise(self.parts, disk=self.disk)
        return summary, {
            "checks": check_bars(summary, parts=self.parts, wer=self.wer["records"]),
            "peaks": self.peaks,
            "disk": self.disk,
            "wer": self.wer,
            "settings": self.settings,
            "parts": self.parts,
        }

    def save(self):
        """Write engine.json."""
        if self.folder:
            summary, details = self.content()
            write_result("engine", summary=summary, details=details, threads=1, packages=PACKAGES, folder=self.folder)


def _order(part):
    return (*SIZES, "tiny").index(part["size"]), part["chunk_ms"]


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.engine",
        description="Time the ticket engine beside onnxruntime and OpenVINO on the same models; writes "
        "benchmarks/results/engine.json and engine.html.",
        examples="  python -m benchmarks.engine --quick\n"
        "  python -m benchmarks.engine --sizes 8m,24m --chunks 640 --rounds 20 --cache bundles/engine",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny models, a few rounds: to see that all of it works; writes nothing without --out",
    )
    parser.add_argument("--sizes", type=_sizes, metavar="LIST", help=f"of {','.join(SIZES)} (default: all)")
    parser.add_argument("--chunks", type=_chunks, metavar="LIST", help="ms (default: 160,320,640)")
    parser.add_argument("--rounds", type=positive_int, metavar="N", help=f"timed chunks (default: {DEFAULT_ROUNDS})")
    parser.add_argument(
        "--tickets", nargs="+", default=[], metavar="DIR", help="trained tickets for size 1m, a dense one first"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="AN4: error rates of --tickets on its test split")
    parser.add_argument("--cache", metavar="DIR", help="keep models and graphs here for the next time")
    parser.add_argument("--out", metavar="DIR", help="where the result files go (default: benchmarks/results)")
    parser.add_argument("--resume", action="store_true", help="go on after the finished parts of the result file")
    arguments = parser.parse_args(argv)
    arguments.sizes = arguments.sizes or (("tiny",) if arguments.quick else SIZES)
    arguments.chunks = arguments.chunks or ((4,) if arguments.quick else (4, 8, 16))
    arguments.rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else DEFAULT_ROUNDS)
    arguments.out = arguments.out or (None if arguments.quick else str(RESULTS))
    return arguments


def _sizes(text):
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in SIZES:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(SIZES)}")
    return names


def _chunks(text):
    """Parse milliseconds to encoder frames, shortest first."""
    numbers = sorted({int(part) for part in text.split(",")})
    if any(number < ENCODER_FRAME_MS or number % ENCODER_FRAME_MS for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: chunks are multiples of {ENCODER_FRAME_MS} ms")
    return tuple(number // ENCODER_FRAME_MS for number in numbers)


def _main(argv):
    arguments = _parse(argv)
    load()
    if arguments.out:
        require_extra("matplotlib", extra=EXTRA)
        require_writable(Path(arguments.out) / "engine.json")
    result = Result(arguments.out, can_resume=arguments.resume)
    result.settings = {
        "rounds": arguments.rounds,
        "chunks_ms": [chunk * ENCODER_FRAME_MS for chunk in arguments.chunks],
        "sizes": list(arguments.sizes),
    }
    with contextlib.ExitStack() as stack:
        cache = Cache(arguments.cache or stack.enter_context(tempfile.TemporaryDirectory()))
        _run(result, arguments=arguments, cache=cache)
    summary, details = result.content()
    whole = {"summary": summary, **details, "machine": describe_machine(threads=1, packages=PACKAGES)}
    whole["command"] = command_line()
    print(result_text(whole))
    if arguments.out:
        result.save()
        write_atomic(Path(arguments.out) / "engine.html", result_html(whole))
        print(f"wrote {Path(arguments.out) / 'engine.json'} and .html", file=sys.stderr)
    return 0


def _run(result, *, arguments, cache):
    print("measuring the machine", file=sys.stderr)
    result.peaks = measure_peaks(cache)
    result.disk = disk_figures(config_of("tiny") if arguments.quick else None)
    longest = max(arguments.chunks)
    for size in arguments.sizes:
        tickets = arguments.tickets if size == "1m" else []
        names = {chunk: f"{size}_{chunk * ENCODER_FRAME_MS}" for chunk in arguments.chunks}
        keys = {
            chunk: result_key(tickets=tickets, rounds=arguments.rounds, has_all_runtimes=chunk == longest)
            for chunk in arguments.chunks
        }
        missing = [chunk for chunk, name in names.items() if not result.is_done(name, key=keys[chunk])]
        if not missing:
            continue
        with tempfile.TemporaryDirectory(dir=cache.folder) as scratch:
            prepared = prepare(size, chunks=missing, tickets=tickets, longest=longest, cache=cache, scratch=scratch)
            for chunk, (described, files) in prepared.items():
                start = time.monotonic()
                print(f"{names[chunk]}: timing {len(described)} rows, {arguments.rounds} rounds", file=sys.stderr)
                part = measure_part(
                    described,
                    files,
                    chunk=chunk,
                    num_rounds=arguments.rounds,
                    peaks=result.peaks,
                    has_footprints=chunk == longest,
                )
                part |= {"size": size, "chunk_ms": chunk * ENCODER_FRAME_MS, "is_trained": bool(tickets)}
                result.parts[names[chunk]] = part | {"key": keys[chunk]}
                result.save()
                print(f"{names[chunk]}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if arguments.tickets and arguments.data_dir:
        key = result_key(tickets=arguments.tickets)
        if result.wer["key"] != key:
            records = word_error_rates(arguments.tickets, data_dir=arguments.data_dir, bundles=cache.folder)
            result.wer = {"key": key, "records": records}
            result.save()


def main(argv=None):
    """Run the benchmark; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
