"""Figures and self-contained HTML reports, for the benchmark and for training runs.

matplotlib is imported when a figure is drawn: a plain install can do everything else. A report is one file: figures are
inline SVG, styles are inline, nothing is fetched.
"""

import html
import io
import re
from dataclasses import dataclass

from runtime.errors import require_extra
from runtime.files import write_atomic
from runtime.table import Table

EXTRA = "train"
# Okabe & Ito 2008: told apart by colour-blind readers, and, through markers, in print.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; white-space: nowrap; text-align: right; }
th { border-bottom: 2px solid #888; white-space: normal; vertical-align: bottom; } .left { text-align: left; }
td.left { white-space: normal; }
tbody tr:hover { background: #f3f6fa; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
footer { margin-top: 3rem; color: #555; font-size: .85rem; }
"""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a figure.

    Args:
        name: legend text.
        x, y: sequences of equal length.
        low, high: ends of an interval around each y, or None.
        is_dashed: for what is shown beside the subject: controls, references.
        is_points: no line from point to point, and brackets for intervals: points that are not one after the other.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    is_dashed: bool = False
    is_points: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a report; what is None or empty is left out.

    Args:
        heading: plain text.
        text: plain text; blank lines separate paragraphs.
        table: Table.
        figure: what line_figure or bar_figure returned.
    """

    heading: str
    text: str = ""
    table: Table | None = None
    figure: object = None


def line_figure(
    series, *, title, x_label, y_label, log_x=False, percent_x=False, percent_y=False, falling_x=False, zero_y=True
):
    """Draw lines through points.

    Args:
        series: sequence of Series; empty ones are skipped, and keep their colour for figures that have them.
        title, x_label, y_label: text.
        log_x: logarithmic x axis; every x must be above 0.
        percent_x, percent_y: fractions are labelled as percentages.
        falling_x: the largest x stands on the left: from dense to sparse.
        zero_y: the y axis begins at 0, so that lengths compare as values do.
    Returns:
        matplotlib Figure of 8 x 5 inches.
    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: no series holds a point.
    """
    # The Figure is used directly: pyplot would keep it in a global list, and pick a window system.
    Figure = require_extra("matplotlib.figure", extra=EXTRA).Figure
    drawn = {number: line for number, line in enumerate(series) if len(line.x)}
    if not drawn:
        raise ValueError(f"figure {title!r}: no points")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, line in drawn.items():
        look = {
            "color": _COLOURS[number % len(_COLOURS)],
            "marker": _MARKERS[number % len(_MARKERS)],
            "linestyle": "none" if line.is_points or len(line.x) == 1 else "--" if line.is_dashed else "-",
            "markersize": 6,
            "linewidth": 1.8,
            "label": line.name,
        }
        points = sorted(zip(line.x, line.y, line.low or line.y, line.high or line.y, strict=True))
        x, y, low, high = zip(*points, strict=True)
        axes.plot(x, y, **look)
        if line.low is not None and line.high is not None and line.is_points:
            axes.vlines(x, low, high, color=look["color"], alpha=0.5, linewidth=1.4)
        elif line.low is not None and line.high is not None:
            axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    axes.set_xlabel(x_label)
    if log_x:
        _set_log_ticks(axes, [value for line in drawn.values() for value in line.x])
    _set_percent(axes.xaxis, percent_x)
    if falling_x:
        axes.invert_xaxis()
    if zero_y:
        axes.set_ylim(bottom=0)
    # Brackets reach where matplotlib looks for lines and marks alone when it places a legend.
    has_brackets = any(line.is_points and line.low is not None for line in drawn.values())
    _finish(axes, title=title, y_label=y_label, percent_y=percent_y, legend_below=has_brackets)
    return figure


def bar_figure(series, *, groups, title, y_label, percent_y=False):
    """Draw bars side by side, a group for each subject.

    Args:
        series: sequence of Series, a colour each; x holds places in `groups`, where a bar is left out there is none.
        groups: texts below the groups.
        title, y_label: text.
        percent_y: fractions are labelled as percentages.
    Returns:
        matplotlib Figure of 8 x 5 inches.
    Raises:
        MissingExtraError: matplotlib is not installed.
        ValueError: no series holds a bar.
    """
    Figure = require_extra("matplotlib.figure", extra=EXTRA).Figure
    series = [bars for bars in series if len(bars.x)]
    if not series:
        raise ValueError(f"figure {title!r}: no bars")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    for number, bars in enumerate(series):
        x = [place + (number - (len(series) - 1) / 2) * width for place in bars.x]
        axes.bar(x, bars.y, width=0.92 * width, color=_COLOURS[number % len(_COLOURS)], label=bars.name)
        if bars.low is not None and bars.high is not None:
            # With an edge: a bar may be as dark.
            axes.vlines(x, bars.low, bars.high, color="#ffffff", linewidth=2.8)
            axes.vlines(x, bars.low, bars.high, color="#1a1a1a", linewidth=1.2)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    has_brackets = any(bars.low is not None for bars in series)
    _finish(axes, title=title, y_label=y_label, percent_y=percent_y, legend_below=has_brackets)
    return figure


def _finish(axes, *, title, y_label, percent_y, legend_below=False):
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(y_label)
    _set_percent(axes.yaxis, percent_y)
    axes.grid(True, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend_below:
        _put_legend_below(axes)
    else:
        axes.legend(frameon=False)


def _put_legend_below(axes):
    """Put the legend below the axes, in as many columns as the figure is wide enough for."""
    handles, labels = axes.get_legend_handles_labels()
    for columns in (4, 3, 2, 1):
        legend = axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= axes.figure.bbox.width:
            return
        legend.remove()


def _set_log_ticks(axes, values):
    """Put ticks at 1, 2, 5 times powers of ten, or more for a short axis: a decade's own are too few for densities."""
    ticker = require_extra("matplotlib.ticker", extra=EXTRA)
    axes.set_xscale("log")
    is_short = max(values) < 10 * min(values)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 4, 5, 6, 8) if is_short else (1, 2, 5)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    if min(values) == max(values):
        axes.set_xlim(values[0] / 2, values[0] * 2)


def _set_percent(axis, is_percent):
    if is_percent:
        ticker = require_extra("matplotlib.ticker", extra=EXTRA)
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{100 * value:.10g} %"))


def save_png(figure, path):
    """Write a figure as PNG, 1280 x 800, atomically."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=160)
    write_atomic(path, data.getvalue())


def figure_svg(figure, *, prefix):
    """Return a figure as an `<svg>` element for inline use.

    Args:
        figure: what line_figure returned.
        prefix: put before every id, because the figures of a page share one name space.
    """
    rc_context = require_extra("matplotlib", extra=EXTRA).rc_context
    data = io.StringIO()
    # A fixed salt and no date: equal results give equal files.
    with rc_context({"svg.hashsalt": "lottery-asr", "svg.fonttype": "path"}):
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    svg = data.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)


def html_report(title, *, sections, footer=""):
    """Return a self-contained HTML page.

    Args:
        title: plain text.
        sections: sequence of Section.
        footer: plain text: the machine, the command.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>\n{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for number, section in enumerate(sections):
        parts.append(f"<section><h2>{html.escape(section.heading)}</h2>")
        parts += _paragraphs(section.text)
        if section.figure is not None:
            parts.append(f"<figure>{figure_svg(section.figure, prefix=f'f{number}-')}</figure>")
        if section.table is not None:
            parts.append(_table_html(section.table))
        parts.append("</section>")
    parts += ["<footer>", *_paragraphs(footer), "</footer></body></html>", ""]
    return "\n".join(parts)


def _paragraphs(text):
    return [f"<p>{html.escape(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph.strip()]


def _table_html(table):
    def row(cells, *, tag):
        marked = (
            f"<{tag}{' class=left' if column < table.num_left else ''}>{html.escape(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        )
        return f"<tr>{''.join(marked)}</tr>"

    body = "\n".join(row(cells, tag="td") for cells in table.rows)
    head = row(table.header, tag="th")
    return f'<div class="wide"><table><thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table></div>'
