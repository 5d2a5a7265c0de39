"""Live and everywhere: the figures of sherpa-onnx, the browser and 64-bit ARM, collected from their result files.

    python -m benchmarks.everywhere

Measures nothing: it copies figures out of benchmarks/results/{sherpa,browser,aarch64}.json, with the command and the
commit of each, and says which command makes what is missing. Writes benchmarks/results/everywhere.json.
"""

import sys
from pathlib import Path

from benchmarks.results import RESULTS, write_result
from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.files import read_json
from runtime.options import create_parser
from runtime.table import Table

# Result file -> figures of its summary that go into ours.
FIGURES = {
    "sherpa": ("sherpa_clips", "sherpa_token_mismatches", "sherpa_int8_clips_that_differ"),
    "browser": ("browser_clips", "browser_token_differences"),
    "aarch64": ("aarch64_fp32_max_abs", "aarch64_instructions_per_chunk"),
}


def collect(folder):
    """Read the figures.

    Args:
        folder: where the result files are.
    Returns:
        (summary, sources, missing): figures by name; {file: its command and its machine's commit}; {file: figures that
        are not there}.
    Raises:
        LotteryError: a file is not a result file.
    """
    summary, sources, missing = {}, {}, {}
    for name, figures in FIGURES.items():
        path = Path(folder) / f"{name}.json"
        if not path.exists():
            missing[name] = list(figures)
            continue
        value = read_json(path)
        found = value.get("summary") if isinstance(value, dict) else None
        if not isinstance(found, dict):
            raise LotteryError(f"{path}: holds no summary", hint=f"make it again: {command_of(name)}")
        summary |= {figure: found[figure] for figure in figures if figure in found}
        sources[name] = {"command": value.get("command"), "commit": (value.get("machine") or {}).get("commit")}
        if absent := [figure for figure in figures if figure not in found]:
            missing[name] = absent
    return summary, sources, missing


def command_of(name):
    """Return the command that makes a result file; its --help tells what else it needs."""
    return f"python -m benchmarks.{name}"


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.everywhere",
        description="Collect the figures of sherpa-onnx, browser and ARM; write benchmarks/results/everywhere.json.",
        examples="  python -m benchmarks.everywhere",
    )
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="folder of the result files")
    arguments = parser.parse_args(argv)
    summary, sources, missing = collect(arguments.results)
    rows = tuple((figure, str(value)) for figure, value in summary.items())
    print(Table(header=("figure", "value"), rows=rows).text())
    for name, figures in missing.items():
        print(f"{name}.json lacks {', '.join(figures)}: run {command_of(name)}", file=sys.stderr)
    details = {"sources": sources, "missing": missing}
    path = write_result("everywhere", summary=summary, details=details, folder=arguments.results)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Collect; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
