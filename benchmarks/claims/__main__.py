r"""Audio Lottery's claims, measured on real recordings: trains, resumes, analyses, draws.

    python -m benchmarks.claims --quick                                    the code path, ten minutes on two cores
    python -m benchmarks.claims --data-dir ../shared/data --list           what there is, and what is left
    python -m benchmarks.claims --data-dir ../shared/data                  everything: some ten hours on two cores
    python -m benchmarks.claims --data-dir ../shared/data --report-only    from what has finished

Writes runs/claims/results/: one JSON a claim, summary.json, report.html. What is published lies in
benchmarks/results/claims/ and is written with --results alone. docs/claims.md says more.
"""

import shlex
import sys
from pathlib import Path

import torch

from benchmarks.claims.experiment import Bench
from benchmarks.claims.noisy import NoisyTests
from benchmarks.claims.quick import QUICK, write_packs
from benchmarks.claims.registry import Scale, experiments
from benchmarks.claims.report import TITLES, find, readme_table, write_report
from benchmarks.claims.runner import Runner, make_tasks, measured_speed, minutes_left, state
from benchmarks.claims.scores import Reader
from benchmarks.results import CHECKOUT, RESULTS
from lottery_train.errors import ConfigError
from lottery_train.ticket import is_ticket, level_place
from runtime.command import run_command
from runtime.machine import usable_cores
from runtime.options import create_parser, positive_int
from runtime.table import Table, number

_RUNS, _QUICK_RUNS = Path("runs/claims"), Path("runs/claims_quick")
_EXAMPLES = """\
  python -m benchmarks.claims --quick
  python -m benchmarks.claims --data-dir ../shared/data --only C1,C3 --workers 2
  python -m benchmarks.claims --data-dir ../shared/data --adopt libri=runs/libri_base
"""


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.claims",
        description="Measure the claims of Audio Lottery: runs lottery-train for every experiment that is not "
        "finished, then writes the results. Start it again to go on.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--quick", action="store_true", help="tiny models, few epochs: the code path, no results")
    parser.add_argument("--data-dir", type=Path, default=Path("../shared/data"), metavar="DIR",
                        help="folder of packs (%(default)s)")  # fmt: skip
    parser.add_argument("--runs", type=Path, metavar="DIR", help=f"run directories ({_RUNS}; --quick: {_QUICK_RUNS})")
    parser.add_argument("--workers", type=positive_int, default=usable_cores(), metavar="N",
                        help="experiments at once, one thread each (all cores)")  # fmt: skip
    parser.add_argument("--seeds", default="0", metavar="N,...", help="each experiment once with each (%(default)s)")
    parser.add_argument("--only", metavar="CLAIMS", help=f"experiments of some claims: {', '.join(TITLES)}")
    parser.add_argument("--experiments", metavar="NAMES", help="some experiments, see --list")
    parser.add_argument("--adopt", action="append", default=[], metavar="NAME=RUN",
                        help="take an experiment's level 0 from a run elsewhere")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the experiments and what is left; train nothing")
    parser.add_argument("--commands", action="store_true", help="print the commands that are left; train nothing")
    parser.add_argument("--report-only", action="store_true", help="write the results of what has finished")
    parser.add_argument("--markdown", action="store_true", help="print the README's table too")
    parser.add_argument("--results", type=Path, metavar="DIR", help="result files (results below --runs)")
    return parser.parse_args(argv)


def choose(known, *, only, names):
    """Return the experiments asked for, and those that they cannot do without, in order of priority.

    Args:
        known: name -> Experiment.
        only: claims joined by commas, or None.
        names: names joined by commas, or None.
    Raises:
        ConfigError: unknown claim or experiment.
    """
    claims = set(only.split(",")) if only else set()
    chosen = set(names.split(",")) if names else set()
    for kind, found, expected in (("claim", claims, TITLES), ("experiment", chosen, known)):
        if unknown := found - set(expected):
            raise ConfigError(f"no {kind} {sorted(unknown)[0]!r}", hint=f"known: {', '.join(expected)}")
    if not claims and not chosen:
        return list(known.values())
    chosen |= {name for name, experiment in known.items() if claims & set(experiment.claims)}
    while True:
        needed = {name for each in chosen for name in dependencies(known[each], known=known)} - chosen
        if not needed:
            return [experiment for name, experiment in known.items() if name in chosen]
        chosen |= needed


def dependencies(experiment, *, known):
    """Return the names of the experiments, among name -> Experiment, that one needs."""
    dense = (experiment.dense_from, experiment.folder if experiment.controls else None)
    places = [f"{folder}/{level_place(0)}" for folder in dense if folder]
    places += [experiment.init_from] if experiment.init_from else []
    return [name for name, each in known.items() if any(map(each.makes, places))]


def list_table(bench, tasks):
    """Return the Table of tasks: how far each is, and what one core still needs."""
    rows = []
    for task in tasks:
        tickets = bench.tickets(task.experiment, seed=task.seed)
        rows.append(
            (
                str(task),
                ", ".join(task.experiment.claims),
                state(bench, task),
                f"{sum(map(is_ticket, tickets))}/{len(tickets)}",
                number(minutes_left(bench, task), digits=0),
                number(measured_speed(bench, task), digits=0),
            )
        )
    total = sum(float(row[4]) for row in rows)
    rows.append(("all", "", "", "", f"{total:.0f}", ""))
    header = ("experiment", "claims", "state", "trained", "core-min left", "audio-s/s")
    return Table(header=header, rows=tuple(rows), num_left=3)


def _adopted(texts, known):
    found = {}
    for text in texts:
        name, separator, path = text.partition("=")
        searches = [each.name for each in known.values() if not each.controls]
        if not separator or name not in searches:
            raise ConfigError(f"--adopt is {text!r}, expected NAME=RUN with NAME among: {', '.join(searches)}")
        found[name] = Path(path).absolute()
    return found


def _seeds(text):
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"--seeds is {text!r}, expected whole numbers, such as 0,1,2")
    return tuple(map(int, parts))


def _main(argv):
    arguments = _parse(argv)
    torch.set_num_threads(1)
    scale = QUICK if arguments.quick else Scale()
    known = experiments(scale)
    runs = (arguments.runs or CHECKOUT / (_QUICK_RUNS if arguments.quick else _RUNS)).absolute()
    data_dir = arguments.data_dir.absolute()
    if arguments.quick:
        data_dir = write_packs(runs / "packs", data_dir=data_dir)
    results = (arguments.results or runs / "results").absolute()
    if arguments.quick and results.resolve().is_relative_to(RESULTS.resolve()):
        raise ConfigError(f"--quick makes no results: nothing of it goes into {results}", hint="name another --results")
    bench = Bench(runs=runs, data_dir=data_dir, seeds=_seeds(arguments.seeds), adopted=_adopted(arguments.adopt, known))
    chosen = choose(known, only=arguments.only, names=arguments.experiments)
    tasks = make_tasks(bench, chosen)
    if arguments.list:
        print(list_table(bench, tasks).text())
        return 0
    if arguments.commands:
        left = [task for task in tasks if not bench.is_finished(task.experiment, seed=task.seed)]
        print(
            "\n".join(
                shlex.join(["lottery-train", *bench.command(task.experiment, seed=task.seed)[3:]]) for task in left
            )
        )
        return 0
    unfinished = {}
    if not arguments.report_only:
        unfinished = Runner(bench, workers=arguments.workers).run(tasks)
    has_noise = (data_dir / "noise" / "test.jsonl").exists()
    reader = Reader(bench, known)
    for task, why in unfinished.items():
        print(f"not finished: {task}: {why}", file=sys.stderr)
    if not any(map(reader.seeds, known)):
        # An empty page would take the place of results that are there.
        raise ConfigError(
            f"{runs}: no experiment has finished there", hint="is it the right --runs, the right --seeds?"
        )
    found = find(reader, scale, tests=NoisyTests(bench) if has_noise else None)
    if arguments.markdown:
        print(readme_table(found))
    print(write_report(found, bench=bench, scale=scale, folder=results))
    return 1 if unfinished else 0


def main(argv=None):
    """Entry point; returns the exit status: 1 where an experiment that was asked for is not finished."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
