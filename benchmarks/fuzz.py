"""Hostile and damaged files: every reader of the project takes mutated ones and must answer with a result or an error.

    python -m benchmarks.fuzz                           a sample: 200 cases of every reader, a minute or two
    python -m benchmarks.fuzz --scale 1 --work DIR --results      the whole run, at least 200 000 cases; it can be
                                                        interrupted, and goes on where it stood
    python -m benchmarks.fuzz --reader onnx --first 1234 --cases 1      one case again

A case is a function of (seed, reader, number). A finding is: a signal, more than CASE_S seconds, an exception that is
no LotteryError, memory beyond a bound, or a message that is long or not printable. Each reader runs in a process of its
own.
"""

import argparse
import json
import mmap
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.fuzz_readers import READERS
from benchmarks.results import CHECKOUT, write_result
from runtime.errors import LotteryError
from runtime.files import read_json, write_json
from runtime.table import Table

CASE_S = 10
MEMORY_BYTES = 3 << 30
MAX_MESSAGE_CHARACTERS = 2000
_COUNTS = struct.Struct("<4Q")
_SAMPLE_CASES = 200
_PIECE_CASES = 2000
_MAX_FINDINGS = 20


def check_case(reader, *, number, seed, folder):
    """Run one case.

    Returns:
        (is_accepted, complaint): complaint is None where all is well.
    """
    rng = random.Random(f"{seed} {reader.name} {number}")
    data = reader.mutate(rng)
    try:
        reader.read(data, folder)
    except LotteryError as error:
        for text in (str(error), error.hint or ""):
            if not text.replace("\n", "").isprintable():
                return False, f"message not printable: {text[:200]!r}"
            if len(text) > MAX_MESSAGE_CHARACTERS:
                return False, f"message of {len(text)} characters: {text[:200]!r}"
        return False, None
    except (Exception, RecursionError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if str(CHECKOUT) in frame.filename and "benchmarks" not in frame.filename]
        where = f"{Path(own[-1].filename).relative_to(CHECKOUT)}:{own[-1].lineno}" if own else "the fuzzer"
        return False, f"{type(error).__name__} at {where}: {str(error)[:200]!r}"
    return True, None


def work(name, *, first, last, seed, counts_path):
    """Run cases in this process, which a signal may end; counts go where the parent sees them."""
    place = tempfile.TemporaryDirectory()
    reader = READERS[name](Path(place.name))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    findings, accepted, refused = [], 0, 0
    with open(counts_path, "r+b") as file, tempfile.TemporaryDirectory() as folder:
        counts = mmap.mmap(file.fileno(), _COUNTS.size)
        for number in range(first, last):
            counts[:] = _COUNTS.pack(number, accepted, refused, len(findings))
            signal.setitimer(signal.ITIMER_REAL, CASE_S)
            is_accepted, complaint = check_case(reader, number=number, seed=seed, folder=Path(folder))
            signal.setitimer(signal.ITIMER_REAL, 0)
            accepted, refused = accepted + is_accepted, refused + (not is_accepted)
            if complaint is not None:
                findings.append({"reader": name, "case": number, "kind": complaint})
    place.cleanup()
    return {"accepted": accepted, "refused": refused, "findings": findings}


def run_piece(name, *, first, last, seed):
    """Run cases in a child, again behind every case that kills it; return what `work` does, and the seconds."""
    total = {"accepted": 0, "refused": 0, "findings": [], "seconds": 0.0}
    while first < last:
        with tempfile.NamedTemporaryFile() as counts:
            counts.write(bytes(_COUNTS.size))
            counts.flush()
            numbers = [str(number) for number in (first, last, seed)]
            command = [sys.executable, "-m", "benchmarks.fuzz", "--worker", name, *numbers, counts.name]
            started = time.monotonic()
            child = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, errors="replace")
            total["seconds"] += time.monotonic() - started
            if child.returncode == 0:
                found, first = json.loads(child.stdout.splitlines()[-1]), last
            elif child.returncode > 0:
                raise LotteryError(f"the worker of {name} cannot start: {child.stderr[-2000:]}")
            else:
                number, accepted, refused, _ = _COUNTS.unpack(Path(counts.name).read_bytes())
                name_of_signal = signal.Signals(-child.returncode).name
                kind = f"no end after {CASE_S} s" if name_of_signal == "SIGALRM" else name_of_signal
                found = {"accepted": accepted, "refused": refused + 1, "findings": []}
                found["findings"] = [{"reader": name, "case": number, "kind": kind}]
                first = number + 1
            for key in ("accepted", "refused", "findings"):
                total[key] += found[key]
    return total


def run_reader(name, *, first, cases, seed, folder=None):
    """Run a reader's cases in pieces; what is done is kept in `folder`, where one is given, and not done again."""
    path = folder and Path(folder) / f"{name}.json"
    state = {"seed": seed, "next": first, "accepted": 0, "refused": 0, "findings": [], "seconds": 0.0}
    if path and path.exists() and (kept := read_json(path))["seed"] == seed:
        state = kept
    while state["next"] < first + cases:
        last = min(state["next"] + _PIECE_CASES, first + cases)
        piece = run_piece(name, first=state["next"], last=last, seed=seed)
        for key in ("accepted", "refused", "findings", "seconds"):
            state[key] += piece[key]
        state["next"] = last
        if path:
            write_json(path, state)
        for finding in piece["findings"]:
            print(f"{name} {finding['case']}: {finding['kind']}", file=sys.stderr, flush=True)
    return state


def table(states):
    """Return the Table of readers."""
    rows = tuple(
        (
            name,
            str(state["accepted"] + state["refused"]),
            str(state["accepted"]),
            str(state["refused"]),
            str(len(state["findings"])),
            f"{(state['accepted'] + state['refused']) / max(state['seconds'], 1e-9):.0f}",
        )
        for name, state in states.items()
    )
    return Table(header=("reader", "cases", "read", "refused", "findings", "cases/s"), rows=rows)


def summary(states):
    """Return the plain numbers of a run."""
    findings = [finding for state in states.values() for finding in state["findings"]]
    is_signal = [finding["kind"].startswith("SIG") for finding in findings]
    return {
        "cases": sum(state["accepted"] + state["refused"] for state in states.values()),
        "readers": len(states),
        "signals": sum(is_signal),
        "hangs": sum(finding["kind"].startswith("no end") for finding in findings),
        "tracebacks_and_messages": len(findings) - sum(is_signal)
        - sum(finding["kind"].startswith("no end") for finding in findings),
    }  # fmt: skip


def main(argv=None):
    """Entry point; returns 1 where anything was found."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--worker"]:
        name, first, last, seed, counts_path = argv[1:]
        result = work(name, first=int(first), last=int(last), seed=int(seed), counts_path=counts_path)
        print(json.dumps(result))
        # Whatever a library does at exit is not of the reader.
        sys.stdout.flush()
        os._exit(0)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--reader", action="append", choices=tuple(READERS), help="one reader; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case")
    parser.add_argument("--cases", type=int, metavar="N", help=f"cases of each reader (default: {_SAMPLE_CASES})")
    parser.add_argument(
        "--scale", type=float, metavar="X", help="times the cases that each reader is worth in a whole run"
    )
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep what is done here, and go on from it")
    parser.add_argument("--results", action="store_true", help="write benchmarks/results/fuzz.json")
    arguments = parser.parse_args(argv)
    states = {}
    for name in arguments.reader or READERS:
        cases = arguments.cases or _SAMPLE_CASES
        if arguments.scale:
            cases = round(arguments.scale * READERS[name].cases)
        states[name] = run_reader(name, first=arguments.first, cases=cases, seed=arguments.seed, folder=arguments.work)
    print(table(states).text())
    figures = summary(states)
    findings = [finding for state in states.values() for finding in state["findings"]]
    if arguments.results:
        rows = [
            {"reader": name, **{key: state[key] for key in ("accepted", "refused")}} for name, state in states.items()
        ]
        details = {"rows": rows, "findings": findings[:_MAX_FINDINGS], "seed": arguments.seed}
        write_result("fuzz", summary=figures, details=details, threads=1)
    print(json.dumps(figures))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
