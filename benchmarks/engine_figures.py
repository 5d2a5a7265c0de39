"""Figures of the engine's benchmark: ratios, time over density, rooflines."""

from benchmarks.engine_models import COMPOSITE
from benchmarks.engine_rows import BASELINE, SUBJECT, promised_ratio
from runtime.errors import require_extra
from runtime.plots import EXTRA, Series, line_figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*", "<", ">")
# Row names of each line in the figure of time over density; the dense model begins them all.
_FAMILIES = {
    "unstructured": ("dense", "unstructured_20", "unstructured_10", "unstructured_5"),
    "blocks 1x4": ("dense", "block1x4_20", "block1x4_10"),
    "blocks 4x4": ("dense", "block4x4_20", "block4x4_10"),
    "half width": ("dense", "half"),
    "half width, blocks 4x4": ("half", COMPOSITE),
}


def ratio_figure(parts):
    """Draw how much faster than onnxruntime int8 of the same model the engine is, a bar a size; lines are promises."""
    figure = require_extra("matplotlib.figure", extra=EXTRA).Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    labels = [row["label"] for row in parts[0]["rows"]]
    width = 0.8 / len(parts)
    for index, (part, colour) in enumerate(zip(parts, _COLOURS, strict=False)):
        rows = [row for row in part["rows"] if row["ratio"]]
        places = [labels.index(row["label"]) + (index - (len(parts) - 1) / 2) * width for row in rows]
        low, middle, high = ([row["ratio"]["cold"][key] for row in rows] for key in ("p10", "p50", "p90"))
        around = [
            [value - end for value, end in zip(middle, low, strict=True)],
            [end - value for value, end in zip(middle, high, strict=True)],
        ]
        axes.bar(places, middle, width, yerr=around, color=colour, label=part["size"])
        for row, place in zip(rows, places, strict=True):
            if (bar := promised_ratio(part["size"], row["name"])) is not None:
                axes.hlines(bar, place - width / 2, place + width / 2, color="#000000", linewidth=2)
    axes.axhline(1, color="#000000", linewidth=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_ylabel("times as fast as onnxruntime int8 of the same model")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def density_figure(part):
    """Draw the engine's median time over the share of weights that are not 0, a line for each pattern of zeros."""
    rows = {row["name"]: row for row in part["rows"]}
    dense = rows["dense"]["num_weights"]

    def line(name, members, *, contestant=SUBJECT, is_dashed=False):
        found = [rows[member] for member in members if member in rows]
        found = [row for row in found if "cold_ms" in row["runtimes"].get(contestant, ())]
        times = [row["runtimes"][contestant]["cold_ms"] for row in found]
        return Series(
            name=name,
            x=tuple(row["num_nonzeros"] / dense for row in found),
            y=tuple(time["p50"] for time in times),
            low=tuple(time["p10"] for time in times),
            high=tuple(time["p90"] for time in times),
            is_dashed=is_dashed,
        )

    return line_figure(
        [
            *(line(name, members) for name, members in _FAMILIES.items()),
            line("onnxruntime int8, unstructured", _FAMILIES["unstructured"], contestant=BASELINE, is_dashed=True),
            line("onnxruntime int8, half width", ("dense", "half"), contestant=BASELINE, is_dashed=True),
        ],
        title="Time of a chunk",
        x_label="non-zero weights, share of the dense model",
        y_label="median, ms a chunk",
        log_x=True,
        percent_x=True,
        falling_x=True,
    )


def roofline_figure(parts, *, peaks):
    """Draw every row's speed over its multiply-adds a byte, below what the machine gives.

    Args:
        parts: of the same rows; a colour each.
        peaks: what engine_parts.measure_peaks returns.
    """
    figure = require_extra("matplotlib.figure", extra=EXTRA).Figure(figsize=(10, 6), layout="constrained")
    axes = figure.add_subplot()
    rows = [row for part in parts for row in part["rows"] if "intensity" in row]
    low = min(row["intensity"] for row in rows) / 2
    high = max(*(row["intensity"] for row in rows), peaks["int8_multiply_adds_per_s"] / peaks["read_bytes_per_s"]) * 2
    reading = peaks["read_bytes_per_s"] / 1e9
    for name, key, style in (
        ("int8, four a lane", "int8_multiply_adds_per_s", "-"),
        ("engine's int8 product, in cache", "engine_int8_multiply_adds_per_s", "--"),
        ("float32", "fp32_multiply_adds_per_s", ":"),
    ):
        peak = peaks[key] / 1e9
        x = (low, peak / reading, high) if low < peak / reading < high else (low, high)
        axes.plot(x, [min(peak, reading * value) for value in x], style, color="#7f7f7f", label=name)
    for part, colour in zip(parts, _COLOURS, strict=False):
        for row, marker in zip(part["rows"], _MARKERS, strict=False):
            if "intensity" in row:
                label = f"{part['size']} {row['label']}"
                speed = row["multiply_adds_per_s"] / 1e9
                axes.plot(row["intensity"], speed, marker, color=colour, linestyle="none", label=label)
    ticker = require_extra("matplotlib.ticker", extra=EXTRA)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.set_xlabel("multiply-adds a byte of weights and caches")
    axes.set_ylabel("G multiply-adds a second, zeros not counted")
    axes.grid(True, color="#dddddd", linewidth=0.8)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
