"""Figures and report pages: the numbers are where they belong, and a page needs nothing but itself."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runtime.errors import MissingExtraError
from runtime.plots import Section, Series, bar_figure, figure_svg, html_report, line_figure, save_png
from runtime.table import Table, number

CHECKOUT = Path(__file__).resolve().parents[2]
VOID = {"meta", "br", "hr", "img", "link"}


class Page(HTMLParser):
    """Collects ids, attributes and text of a page, and checks that its elements nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.words, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def wer_figure(**options):
    series = [
        Series(name="ticket", x=(1.0, 0.25, 0.5), y=(0.1, 0.3, 0.2), low=(0.08, 0.25, 0.15), high=(0.12, 0.35, 0.25)),
        Series(name="dense-small", x=(0.25,), y=(0.4,), is_dashed=True),
        Series(name="empty", x=(), y=()),
    ]
    return line_figure(series, title="WER", x_label="density", y_label="test WER", **options)


def test_figure_holds_the_points_in_order_of_x():
    axes = wer_figure().axes[0]
    assert [line.get_label() for line in axes.lines] == ["ticket", "dense-small"]
    assert list(axes.lines[0].get_xdata()) == [0.25, 0.5, 1.0]
    assert list(axes.lines[0].get_ydata()) == [0.3, 0.2, 0.1]
    # a single point has no line to draw, an interval has a band
    assert axes.lines[1].get_linestyle() == "None"
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].min() == 0.08
    assert band.get_paths()[0].vertices[:, 1].max() == 0.35
    assert axes.get_ylim()[0] == 0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("density", "test WER")


def test_density_axis_falls_in_percent():
    figure = wer_figure(log_x=True, percent_x=True, percent_y=True, falling_x=True)
    axes = figure.axes[0]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    figure.canvas.draw()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert {"100 %", "50 %", "30 %"} <= set(shown)
    assert "20 %" in {label.get_text() for label in axes.get_yticklabels()}


def test_an_empty_series_keeps_its_colour():
    empty, full = Series(name="dense-small", x=(), y=()), Series(name="ticket", x=(1.0,), y=(0.1,))
    labels = {"title": "t", "x_label": "x", "y_label": "y"}
    alone, both = (
        line_figure([first, full], **labels).axes[0].lines[-1]
        for first in (empty, Series(name="dense-small", x=(1.0,), y=(0.2,)))
    )
    assert alone.get_color() == both.get_color()
    assert alone.get_marker() == both.get_marker()


def test_figure_without_points_is_refused():
    with pytest.raises(ValueError, match="no points"):
        line_figure([Series(name="none", x=(), y=())], title="t", x_label="x", y_label="y")


def test_png_is_written(tmp_path):
    save_png(wer_figure(), tmp_path / "figure.png")
    header = (tmp_path / "figure.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (1280, 800)


def test_equal_results_give_equal_files():
    assert figure_svg(wer_figure(), prefix="a") == figure_svg(wer_figure(), prefix="a")


def test_report_is_complete_and_needs_nothing_else():
    table = Table(header=("level", "WER"), rows=(("0", "10 %"), ("<b>1</b>", "20 %")))
    sections = [
        Section(heading="Tickets & controls", text="First.\n\nSecond <script>.", table=table, figure=wer_figure()),
        Section(heading="Again", figure=wer_figure()),
    ]
    text = html_report("Run <x>", sections=sections, footer="machine")
    page = Page(text)
    assert page.tags.count("svg") == 2
    assert page.tags.count("p") == 3
    assert "script" not in page.tags
    for words in ("Tickets & controls", "Run <x>", "Second <script>.", "<b>1</b>", "machine"):
        assert words in page.words
    fetched = [(name, value) for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert all(value.startswith("#") for _, value in fetched)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_references_inside_a_page_are_unique_and_resolve():
    text = html_report("t", sections=[Section(heading=str(n), figure=wer_figure()) for n in range(2)])
    page = Page(text)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | {
        value[1:] for name, value in page.attributes if name == "xlink:href"
    }
    assert used
    assert used <= set(ids)


def test_page_of_tables_needs_no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = html_report("t", sections=[Section(heading="h", table=Table(header=("a",), rows=(("1",),)))])
    assert "<td class=left>1</td>" in text
    with pytest.raises(MissingExtraError) as caught:
        wer_figure()
    assert caught.value.hint == 'pip install "lottery-asr[train]"'


def test_drawing_leaves_no_global_state():
    program = (
        "import sys; from runtime.plots import Series, line_figure;"
        "assert 'matplotlib' not in sys.modules;"
        "line_figure([Series(name='a', x=(1,), y=(1,))], title='t', x_label='x', y_label='y', log_x=True);"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert child.stdout == "False\n"


def test_table_aligns_names_left_and_numbers_right():
    table = Table(header=("name", "ms"), rows=(("a", "1.50"), ("longer", "10.25")))
    assert table.text().splitlines() == ["name       ms", "------  -----", "a        1.50", "longer  10.25"]
    assert table.markdown().splitlines() == ["| name | ms |", "| --- | --- |", "| a | 1.50 |", "| longer | 10.25 |"]
    with pytest.raises(ValueError, match="1 cells"):
        Table(header=("a", "b"), rows=(("1",),))


def test_number():
    assert number(None) == "-"
    assert number(0.12345, scale=1e3, digits=1) == "123.5"


def test_points_have_brackets_and_no_line():
    series = [Series(name="controls", x=(0.1, 0.2), y=(0.3, 0.4), low=(0.2, 0.3), high=(0.5, 0.6), is_points=True)]
    axes = line_figure(series, title="WER", x_label="density", y_label="WER").axes[0]
    assert axes.lines[0].get_linestyle() == "None"
    (brackets,) = axes.collections
    assert [segment.tolist() for segment in brackets.get_segments()] == [
        [[0.1, 0.2], [0.1, 0.5]],
        [[0.2, 0.3], [0.2, 0.6]],
    ]


@pytest.mark.parametrize("length", [4, 20, 40])
def test_a_legend_below_fits_the_figure(length):
    names = [letter * length for letter in "mnopqrst"]
    series = [Series(name=name, x=(0,), y=(0.3,), low=(0.2,), high=(0.5,)) for name in names]
    figure = bar_figure(series, groups=("an4",), title="Cost", y_label="WER")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.width


def test_bars_stand_over_their_groups():
    series = [
        Series(name="dense", x=(0, 1), y=(0.3, 0.4), low=(0.2, 0.3), high=(0.5, 0.6)),
        Series(name="ticket", x=(1,), y=(0.2,)),
    ]
    axes = bar_figure(series, groups=("an4", "coffee"), title="Transfer", y_label="WER", percent_y=True).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.3, 0.4, 0.2]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert middles == pytest.approx([-0.2, 0.8, 1.2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["an4", "coffee"]
    with pytest.raises(ValueError, match="no bars"):
        bar_figure([], groups=(), title="none", y_label="WER")
