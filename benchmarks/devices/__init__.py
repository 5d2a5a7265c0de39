"""Devices side by side: collects the reports that lottery-bench --device-report wrote in this folder.

    lottery-bench bundles/an4 --device-report benchmarks/devices/raspberry_pi_4.json
    python -m benchmarks.devices

Writes README.md, a table of all reports, and devices.png beside them. A report's file name is the device's name.
"""

import re
from pathlib import Path

from runtime.device_report import read_report
from runtime.errors import LotteryError, require_extra
from runtime.features import ENCODER_FRAME_MS
from runtime.plots import EXTRA, save_png
from runtime.table import number

FOLDER = Path(__file__).resolve().parent
TABLE, PLOT = "README.md", "devices.png"
_DEVICE_HEADER = ("device", "processor", "cores", "memory GB", "system", "governor", "load before, after")
_ROW_HEADER = ("device", "bundle", "backend", "precision", "chunk", "p50 ms", "p95", "p99", "RTF", "load ms", "RSS MB")
_INTRO = """\
# Devices

Made by `python -m benchmarks.devices` from the reports in this folder; [docs/arm.md](../../docs/arm.md) says how to add
one. A chunk's time is features, model and decoding. Reports whose load average was above a quarter of the cores before
they began are called busy: something else was running.
"""
_COLOURS = {"engine": "#0072b2", "onnxruntime": "#d55e00"}


def read_reports(folder=FOLDER):
    """Return {device name: report} of a folder's *.json, sorted by name.

    Raises:
        LotteryError: there is none, or one is not a report.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise LotteryError(f"{folder}: no reports", hint="lottery-bench BUNDLE --device-report NAME.json")
    return {path.stem: read_report(path) for path in paths}


def is_busy(device):
    """Whether something else was running when the measurement began; False where the load is not told."""
    load = device["load_average"]["before"]
    return load is not None and load > device["cores"] / 4


def _title(name, device):
    return f"{name} (busy)" if is_busy(device) else name


def markdown(reports):
    """Return the page of reports: a table of devices and a table of times."""
    devices, rows = [], []
    for name, report in reports.items():
        device = report["device"]
        title = _title(name, device)
        frequency = f" {number(device['max_mhz'], digits=0)} MHz" if device["max_mhz"] else ""
        loads = ", ".join(number(device["load_average"][when]) for when in ("before", "after"))
        devices.append(
            (
                title,
                f"{device['board'] or device['cpu']} ({device['architecture']})",
                str(device["cores"]),
                number(device["memory_gb"], digits=1),
                device["os"],
                (device["governor"] or "-") + frequency,
                loads,
            )
        )
        for row in report["rows"]:
            chunk_ms = report["bundles"][row["bundle"]]["chunk_frames"] * ENCODER_FRAME_MS
            rows.append(
                (
                    title,
                    row["bundle"],
                    " ".join(filter(None, (row["backend"], row["instruction_set"]))),
                    row["precision"],
                    f"{chunk_ms} ms",
                    *(number(row["chunk_ms"][key]) for key in ("p50", "p95", "p99")),
                    number(row["rtf"], digits=4),
                    number(row["load_ms"], digits=0),
                    number(row["peak_rss_bytes"], scale=1e-6, digits=0),
                )
            )
    parts = [_INTRO, _table(_DEVICE_HEADER, devices, num_left=2), _table(_ROW_HEADER, rows, num_left=4)]
    return "\n".join([*parts, f"![Time of a chunk on every device]({PLOT})", ""])


def _table(header, rows, *, num_left):
    rule = [":--" if column < num_left else "--:" for column in range(len(header))]
    # Whatever a report holds, it is one cell of text.
    cells = [[_plain(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rule, *cells))


def _plain(text):
    return re.sub(r"([\\`*_\[\]<>|&#!])", r"\\\1", text)


def figure(reports):
    """Return a matplotlib Figure: the median time of a chunk of every device, bundle, backend and precision.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    Figure = require_extra("matplotlib.figure", extra=EXTRA).Figure
    bars = [(_title(name, report["device"]), row) for name, report in reports.items() for row in report["rows"]]
    drawing = Figure(figsize=(8, 1.2 + 0.34 * len(bars)), layout="constrained")
    axes = drawing.add_subplot()
    for place, (_, row) in enumerate(bars):
        times = row["chunk_ms"]
        axes.barh(place, times["p50"], color=_COLOURS[row["backend"]], height=0.7)
        axes.plot([times["p50"], times["p95"]], [place, place], color="#444444", linewidth=1)
    names = [f"{name}: {row['bundle']}, {row['backend']} {row['precision']}" for name, row in bars]
    axes.set_yticks(range(len(bars)), [name.replace("$", r"\$") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ms a chunk: median, and to the 95th percentile")
    axes.set_title("Time of a chunk", loc="left", fontweight="bold")
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return drawing


def save_figure(reports, path):
    """Write the figure as PNG."""
    save_png(figure(reports), path)
