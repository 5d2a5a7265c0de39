"""Latency of a run's tickets: dense, masked, shrunk and dense-small side by side.

    python -m benchmarks.latency runs/an4_structured runs/an4 --bundles bundles/latency --levels 0 3 6

Exports the tickets that have no bundle yet, then measures all bundles interleaved, in rounds. The rounds done so far
stand in `.latency.state.json` beside the bundles: a stopped measurement goes on, provided that bundles, conditions and
machine are the same. Writes benchmarks/results/latency.json, .png and .html.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.results import RESULTS, command_line, relative, write_result
from runtime.bench import find_rows, latency_figure, result_html, result_text
from runtime.command import run_command
from runtime.comparison import add_ratios, add_times, notes
from runtime.errors import LotteryError
from runtime.files import read_json, sha256_file, write_atomic, write_json
from runtime.machine import describe_machine
from runtime.manifest import MANIFEST_NAME, Manifest
from runtime.measurement import Candidate, Conditions, measure_clips, measure_footprint, measure_paced
from runtime.options import create_parser, positive_int
from runtime.plots import save_png

ROUNDS_A_BLOCK = 5
DEFAULT_ROUNDS = 40


def find_tickets(run, *, levels=None):
    """Return the ticket folders of a run directory: levels, then the dense-small controls of the same levels.

    Args:
        run: run directory.
        levels: level numbers, or None for all.
    Raises:
        LotteryError: none is there.
    """
    folders = sorted(Path(run).glob("level_*")) + sorted(Path(run).glob("controls/dense-small_*"))
    found = []
    for folder in folders:
        number = folder.name.rpartition("_")[2]
        if (folder / "ticket.json").is_file() and (levels is None or int(number) in levels):
            found.append(folder)
    if not found:
        raise LotteryError(f"{run}: no finished tickets of the levels asked for", hint="train it with lottery-train")
    return found


def export_tickets(tickets, *, bundles):
    """Export tickets, each to every form it has, and return the bundle folders; finished ones are left alone.

    A unit ticket becomes two bundles, masked and shrunk; any other ticket one.

    Raises:
        LotteryError: an export failed; its message is shown.
    """
    from export.cli import main as export_main  # torch: only where something is exported

    folders = []
    for ticket in tickets:
        record = read_json(ticket / "ticket.json")
        forms = [("", [])]
        if record["granularity"] == "unit" and record["density"] < 1:
            forms = [("_masked", []), ("_shrunk", ["--structured"])]
        for suffix, options in forms:
            run = ticket.parents[1] if ticket.parent.name == "controls" else ticket.parent
            folder = Path(bundles) / f"{run.name}_{ticket.name}{suffix}"
            folders.append(folder)
            if not _is_export_of(ticket, bundle=folder):
                print(f"exporting {folder.name}", file=sys.stderr)
                if export_main([str(ticket), *options, "--out", str(folder), "--overwrite"]) != 0:
                    raise LotteryError(f"{ticket}: the export failed", hint="its message stands above")
    return folders


def _is_export_of(ticket, *, bundle):
    """Tell whether a bundle lies there that was made from the ticket as it is now."""
    if not (bundle / MANIFEST_NAME).is_file():
        return False
    return Manifest.load(bundle).provenance.get("ticket_sha256") == sha256_file(ticket / "ticket.json")


def measure(rows, *, conditions, rounds, is_paced, state_path):
    """Measure rows as `runtime.bench.measure_rows` does, saving what is done after every block of rounds.

    Args:
        rows: what find_rows returned; changed in place.
        conditions: Conditions.
        rounds: passes over the clip for each row.
        is_paced: also play the clip in real time, once a row.
        state_path: where the measurements so far are kept.
    Returns:
        The number of rounds the rows now stand on: at least `rounds`.
    """
    candidates = [Candidate(bundle=row["path"], precision=row["precision"], backend=row["backend"]) for row in rows]
    state = _load_state(state_path, key=_state_key(rows, conditions=conditions))
    for name, measure_one in (
        ("footprints", lambda candidate: measure_footprint(candidate, conditions=conditions)),
        ("paced", lambda candidate: measure_paced([candidate], conditions=conditions)[0]),
    ):
        if name == "paced" and not is_paced:
            continue
        done = state[name]
        for candidate in tqdm(candidates[len(done) :], desc=name, unit="bundle", disable=not sys.stderr.isatty()):
            done.append(measure_one(candidate))
            write_json(state_path, state)
    while len(state["rounds"][0]) < rounds:
        first = len(state["rounds"][0])
        print(f"rounds {first + 1} to {min(first + ROUNDS_A_BLOCK, rounds)} of {rounds}", file=sys.stderr)
        block = measure_clips(
            candidates, conditions=conditions, repeats=min(ROUNDS_A_BLOCK, rounds - first), first_round=first
        )
        for before, new in zip(state["rounds"], block, strict=True):
            before.extend(new)
        write_json(state_path, state)
    for index, row in enumerate(rows):
        row.update(state["footprints"][index])
        add_times(row, rounds=state["rounds"][index])
        if is_paced:
            row["paced"] = state["paced"][index]
    add_ratios(rows)
    return len(state["rounds"][0])


def _state_key(rows, *, conditions):
    """Return what must be the same for rounds to be put together."""
    machine = describe_machine(threads=conditions.threads)
    fixed = {name: machine[name] for name in ("cpu", "cores", "versions", "python")}
    return {
        "models": [[row["path"], row["backend"], row["precision"], row["model_sha256"]] for row in rows],
        "conditions": asdict(conditions),
        "machine": fixed,
    }


def _load_state(path, *, key):
    """Return the measurements so far, or an empty state where there are none for this key."""
    if Path(path).exists():
        state = read_json(path)
        if state["key"] == key:
            return state
        print(f"{path}: measured something else, starting anew", file=sys.stderr)
    return {"key": key, "footprints": [], "paced": [], "rounds": [[] for _ in key["models"]]}


def summarise(rows):
    """Return the plain numbers of the result: dense times, and the largest speed-up of a shrunk ticket."""
    summary = {}
    for precision in dict.fromkeys(row["precision"] for row in rows):
        group = [row for row in rows if row["precision"] == precision]
        for kind in ("dense", "masked", "shrunk", "dense-small"):
            times = [row["model_ms"]["p50"] for row in group if row["kind"] == kind]
            if times:
                name = kind.replace("-", "_")
                summary[f"{name}_{precision}_fastest_model_ms"] = min(times)
        speedups = [row["speedup"] for row in group if row["kind"] == "shrunk"]
        if speedups:
            summary[f"shrunk_{precision}_largest_speedup"] = max(speedups)
    return summary


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.latency",
        description="Export a run's tickets and measure them side by side; writes benchmarks/results/latency.json.",
        examples="  python -m benchmarks.latency runs/an4_structured --bundles bundles/latency --levels 0 3 6 --paced",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directory that lottery-train wrote")
    parser.add_argument("--bundles", required=True, metavar="DIR", help="where the bundles go, and are found again")
    parser.add_argument("--levels", type=int, nargs="+", metavar="N", help="levels to measure (default: all)")
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=DEFAULT_ROUNDS,
        metavar="N",
        help="passes over the clip for each bundle and precision (default: %(default)s)",
    )
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="threads (default: %(default)s)")
    parser.add_argument("--audio", metavar="FILE", help="clip to recognise (default: a built-in speech-like signal)")
    parser.add_argument("--paced", action="store_true", help="also play the clip at the pace of a microphone")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result files go")
    return parser.parse_args(argv)


def _main(argv):
    arguments = _parse(argv)
    tickets = [ticket for run in arguments.runs for ticket in find_tickets(run, levels=arguments.levels)]
    rows = find_rows(export_tickets(tickets, bundles=arguments.bundles))
    conditions = Conditions(threads=arguments.threads, audio=arguments.audio)
    state_path = Path(arguments.bundles) / ".latency.state.json"
    rounds = measure(
        rows, conditions=conditions, rounds=arguments.rounds, is_paced=arguments.paced, state_path=state_path
    )
    for row in rows:
        row["path"] = relative(row["path"])
    details = {
        "rows": rows,
        "notes": notes(rows),
        "settings": {"rounds": rounds, "audio": arguments.audio or "built-in speech-like signal"},
    }
    path = write_result(
        "latency", summary=summarise(rows), details=details, threads=arguments.threads, folder=arguments.results
    )
    result = {**details, "machine": read_json(path)["machine"], "command": command_line()}
    print(result_text(result))
    write_atomic(path.with_suffix(".html"), result_html(result))
    save_png(latency_figure(rows), path.with_suffix(".png"))
    print(f"wrote {path}, .html and .png", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the benchmark; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
