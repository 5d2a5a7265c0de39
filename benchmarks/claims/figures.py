"""The suite's figures, from the JSON of its findings alone."""

from dataclasses import replace

from benchmarks.claims.findings import percent
from lottery_train.config import CONTROLS
from runtime.plots import Series, bar_figure, line_figure

_DENSITY = {"x_label": "density of the prunable weights", "log_x": True, "percent_x": True, "falling_x": True}
_ASIDE = 1.05
_WER = {"y_label": "test WER", "percent_y": True}


def _line(name, rows, *, key="density", **look):
    return Series(
        name=name,
        x=tuple(row[key] for row in rows),
        y=tuple(row["wer"] for row in rows),
        low=tuple(row["interval"][0] for row in rows),
        high=tuple(row["interval"][1] for row in rows),
        **look,
    )


def _bare(name, rows, **look):
    """Return a line without its interval: among many the bands would cover each other, and the table has them."""
    return replace(_line(name, rows, **look), low=None, high=None)


def _band(name, row, values):
    """Return a level line over a range of x: dense, as a band."""
    low, high = row["interval"]
    ends = (min(values), max(values))
    return Series(name=name, x=ends, y=(row["wer"],) * 2, low=(low,) * 2, high=(high,) * 2, is_dashed=True)


def backbone_figure(found):
    """Return WER against density of one backbone: tickets as a line, dense as a band, controls as marks."""
    rows = found["rows"]
    # A control stands where its ticket does, a dense-small one too, whose own density is 1.
    places = {row["level"]: row["density"] for row in rows}
    lines = [_line("tickets", rows[1:]), _band("dense", rows[0], list(places.values()))]
    # All of them, also where a backbone lacks one: a control has the same colour and side in every figure.
    for number, control in enumerate(CONTROLS, start=1):
        # Side by side, left to right: in one place their brackets would cover each other.
        aside = _ASIDE ** (number if number <= len(CONTROLS) / 2 else number - len(CONTROLS) - 1)
        marks = [
            {**row, "density": places[row["level"]] * aside} for row in found["controls"] if row["name"] == control
        ]
        lines.append(_line(f"{control}{_seeds_text(marks, rows)}", marks, is_points=True))
    return line_figure(lines, title=f"{found['label']}: WER against density", **_DENSITY, **_WER)


def _seeds_text(marks, rows):
    """Return which seeds marks are of, where the curve they stand beside is of others."""
    seeds = sorted({seed for row in marks for seed in row["seeds"]})
    if not marks or seeds == rows[0]["seeds"]:
        return ""
    return f" (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"


def schedule_figure(curves):
    """Return WER against density of every schedule."""
    lines = [_bare(name, rows, is_dashed=name == "constant") for name, rows in curves.items()]
    return line_figure(lines, title="Schedules", **_DENSITY, **_WER, zero_y=False)


def structure_figure(found):
    """Return WER against non-zeros of every structure, dense-small models as marks."""
    curves = {"single weights" if name == "conformer" else name: rows for name, rows in found["curves"].items()}
    lines = [_bare(name, rows, key="num_nonzeros") for name, rows in curves.items()]
    small = [row for row in found["controls"] if row["name"] == "dense-small"]
    lines.append(_bare("dense-small", small, key="num_nonzeros", is_points=True))
    lines = [replace(line, x=tuple(value / 1000 for value in line.x)) for line in lines]
    axis = {"x_label": "non-zero weights of the whole model, thousands", "log_x": True, "falling_x": True}
    return line_figure(lines, title="Structure", **axis, **_WER, zero_y=False)


def noise_figure(found):
    """Return WER of every model against the signal-to-noise ratio; clean speech is left of 20 dB."""
    lines = []
    for label in dict.fromkeys(row["ticket"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["ticket"] == label]
        is_other_ticket = rows[0]["density"] < 1 and not label.startswith("conformer") and label != found["best"]
        if is_other_ticket:  # the tickets' lines cover each other, and the table has them
            continue
        # The axis is in dB; clean speech has no ratio, and stands where 30 dB would.
        places = [30.0 if row["snr_db"] is None else row["snr_db"] for row in rows]
        is_clean, is_dense = label.startswith("conformer"), rows[0]["density"] == 1
        names = {"ticket": "dense", "dense-longer": "dense, as long as the tickets"}
        size = names[rows[0]["name"]] if is_dense else percent(rows[0]["density"])
        name = f"trained {'clean' if is_clean else 'in noise'}, {size}"
        wers = tuple(row["wer"] for row in rows)
        lines.append(Series(name=name, x=tuple(places), y=wers, is_dashed=is_dense or is_clean))
    axis = {"x_label": "signal-to-noise ratio, dB (30: clean speech)", "falling_x": True}
    return line_figure(lines, title="Trained with noise, tested in other noise", **axis, **_WER)


def transfer_figure(targets):
    """Return bars: every way to a model, a group for each target."""
    names = list(targets)
    ways = list(dict.fromkeys(way for rows in targets.values() for way in rows))
    bars = []
    for way in ways:
        rows = [(place, targets[name][way]) for place, name in enumerate(names) if way in targets[name]]
        bars.append(replace(_line(way, [row for _, row in rows]), x=tuple(place for place, _ in rows)))
    return bar_figure(bars, groups=names, title="Tickets found on mini_librispeech", **_WER)


def cost_figure(rows, *, groups, labels):
    """Return bars: WER of every method with its cost, a group for each density.

    Args:
        groups: density in words -> text below the bars.
        labels: method -> text of the legend.
    """
    places, bars = {name: place for place, name in enumerate(groups)}, []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        paid = sorted({f"{row['cost']:.1f}" for row in mine if row["cost"] is not None}, key=float)
        cost = f": {' to '.join(dict.fromkeys((paid[0], paid[-1])))}" if paid else ""
        line = replace(_line(f"{labels[method]}{cost}", mine), x=tuple(places[row["at"]] for row in mine))
        bars.append(line)
    title = "WER of every method, and its cost in dense trainings"
    return bar_figure(bars, groups=list(groups.values()), title=title, **_WER)
