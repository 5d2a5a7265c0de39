"""python -m benchmarks.devices: the table and the plot of all device reports; see the package."""

import sys
from pathlib import Path

from benchmarks.devices import FOLDER, PLOT, TABLE, markdown, read_reports, save_figure
from runtime.command import run_command
from runtime.files import write_atomic
from runtime.options import create_parser


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.devices",
        description="Collect device reports into a table (README.md) and a plot (devices.png) beside them.",
        examples="  python -m benchmarks.devices\n  python -m benchmarks.devices reports/",
    )
    parser.add_argument(
        "folder", nargs="?", default=str(FOLDER), help="folder of reports (default: benchmarks/devices)"
    )
    folder = Path(parser.parse_args(argv).folder)
    reports = read_reports(folder)
    page = markdown(reports)
    write_atomic(folder / TABLE, page)
    save_figure(reports, folder / PLOT)
    print(page)
    print(f"wrote {folder / TABLE} and {folder / PLOT}", file=sys.stderr)
    return 0


def main(argv=None):
    """Collect the reports; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
