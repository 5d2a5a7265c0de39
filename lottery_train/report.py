"""report.html: what a run found, on one self-contained page."""

from pathlib import Path

from lottery_train.cost import trained_epochs, training_costs
from lottery_train.metrics import read_metrics
from lottery_train.outcome import failure_note
from lottery_train.ticket_record import read_record
from runtime.files import write_atomic
from runtime.foreign import escape
from runtime.plots import Section, Series, html_report, line_figure
from runtime.table import Table

_METHOD = (
    "Density is the share of prunable weights that is kept. Bands and brackets are 95 % intervals from a bootstrap "
    "over utterances. Levels and checkpoints were chosen on dev; test is only reported. Epochs are those trained for "
    "the row alone; cost is all training that reaching a ticket took, in multiples of the dense training."
)


def read_records(out):
    """Return (levels, controls): the ticket.json contents of a run's finished tickets, in order of level."""
    levels = [read_record(path.parent) for path in sorted(Path(out).glob("level_*/ticket.json"))]
    controls = [read_record(path.parent) for path in sorted(Path(out).glob("controls/*/ticket.json"))]
    return levels, controls


def wer_series(name, records, *, split="test", is_dashed=False):
    """Return the WER-against-weights line of some tickets; x is the share of the dense model's weights."""
    return Series(
        name=name,
        x=tuple(record["sizes"]["num_nonzeros"] / record["dense_weights"] for record in records),
        y=tuple(record["metrics"][split]["wer"] for record in records),
        low=tuple(record["metrics"][split]["wer_interval"][0] for record in records),
        high=tuple(record["metrics"][split]["wer_interval"][1] for record in records),
        is_dashed=is_dashed,
    )


def wer_figure(levels, controls):
    """Return the figure of WER against density, tickets and controls."""
    dense_weights = levels[0]["sizes"]["num_weights"]
    levels, controls = ([{**record, "dense_weights": dense_weights} for record in part] for part in (levels, controls))
    lines = [wer_series("ticket", levels)]
    for name in sorted({record["name"] for record in controls}):
        lines.append(wer_series(name, [record for record in controls if record["name"] == name], is_dashed=True))
    return line_figure(
        lines,
        title="Word error rate against density",
        x_label="non-zero weights, share of the dense model",
        y_label="test WER",
        log_x=True,
        percent_x=True,
        percent_y=True,
        falling_x=True,
    )


def size_table(records):
    """Return the table of tickets: error rates with intervals, the three sizes, and what they cost."""
    costs = training_costs([record for record in records if record["name"] == "ticket"])
    rows = []
    for record in records:
        cost = costs.get(record["level"]) if record["name"] == "ticket" else None
        sizes, test, dev = record["sizes"], record["metrics"]["test"], record["metrics"]["dev"]
        low, high = test["wer_interval"]
        rows.append((
            record["name"], str(record["level"]), f"{100 * sizes['prunable_density']:.2f} %",
            str(sizes["num_nonzeros"]),
            f"{sizes['bytes'] / 1e6:.2f}", f"{100 * dev['wer']:.1f}", f"{100 * test['wer']:.1f}",
            f"[{100 * low:.1f}, {100 * high:.1f}]", f"{100 * test['cer']:.1f}",
            f"{trained_epochs(record):g}", "–" if cost is None else f"{cost:.2f}",
        ))  # fmt: skip
    header = (
        "ticket",
        "level",
        "density",
        "non-zeros",
        "MB on disk",
        "dev WER %",
        "test WER %",
        "95 % interval",
        "test CER %",
        "epochs",
        "cost",
    )
    return Table(header=header, rows=tuple(rows))


def _curves(out):
    path = Path(out) / "metrics.jsonl"
    lines = read_metrics(path) if path.exists() else []
    series = []
    for label, points in curve_points(lines).items():
        epochs, wers = zip(*points, strict=True)
        series.append(Series(name=escape(label), x=epochs, y=wers))
    return (
        line_figure(series, title="Dev WER while training", x_label="epoch", y_label="dev WER", percent_y=True)
        if series
        else None
    )


def curve_points(lines):
    """Return {label: [(epoch, dev WER)]} of the lines of a metrics file, those that tell both."""
    points = {}
    for line in lines:
        pair = line.get("epoch"), line.get("dev_wer")
        if all(type(number) in (int, float) and 0 <= number < 1e9 for number in pair):
            points.setdefault(line["level"], []).append(pair)
    return points


def write_report(out, *, more_sections=()):
    """Write `report.html` of a run.

    Args:
        more_sections: `runtime.plots.Section` to add, such as latencies.
    Returns:
        its path.
    """
    levels, controls = read_records(out)
    noted = ((record, failure_note(record)) for record in levels + controls)
    failures = [f"Level {record['level']}, {record['name']}: {note}." for record, note in noted if note]
    sections = [
        Section(
            heading="Word error rate",
            text=" ".join([_METHOD, *failures]),
            figure=wer_figure(levels, controls),
            table=size_table(levels + controls),
        ),
        *more_sections,
        Section(heading="Training", figure=_curves(out)),
    ]
    path = Path(out) / "report.html"
    write_atomic(path, html_report(f"Tickets of {Path(out).name}", sections=sections, footer=f"lottery-train, {out}"))
    return path
