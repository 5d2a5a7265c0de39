"""What the live benchmark says: a table for the terminal, and a self-contained page with figures."""

import numpy as np

from runtime.machine import machine_line
from runtime.plots import Section, Series, html_report, line_figure
from runtime.table import Table, number

_TITLE = "Live recognition"
_NUM_POINTS = 41
_LATENCY = """\
Test clips at the pace of speech, in packets of 100 ms, each handed over when its last sample has been spoken. First \
text and first settled word count from the beginning of the first word, a word from its own end to the moment when it \
stands there for good, the final text from the last sample spoken, and the end of the line from the end of its last \
word, the silence that the rule waits for included. A dropped sample is one that the queue of ten seconds had no room \
for.

Shangguan et al., Interspeech 2020, have the terms."""
_SOAK = """\
One clip again and again through PortAudio. Latency: from the end of a word to the event that shows it, the audio \
system's own buffers included; work: the same from the newest sample that the event knows of. The first and the last \
minute are compared. Memory: the resident set of lottery-listen; the second tenth of the session and the last one are \
compared."""


def result_text(result):
    """Return the tables of a result as text."""
    return "\n\n".join(table.text() for _, table in _tables(result["parts"]))


def result_html(result):
    """Return the page of a result.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    parts, sections = result["parts"], []
    tables = dict(_tables(parts))
    if "latency" in parts:
        figure = latency_figure(parts["latency"]["values_ms"])
        sections.append(_section("Latency", _LATENCY, parts["latency"], table=tables["latency"], figure=figure))
    if "idle" in parts:
        text = "Processor time of lottery-listen in a quiet room, all of its threads, per cent of one core."
        sections.append(_section("Idle", text, parts["idle"], table=tables["idle"]))
    if "soak" in parts:
        figures = soak_figures(parts["soak"]["timeline"])
        sections.append(_section("Soak", _SOAK, parts["soak"], table=tables["soak"], figure=figures[0]))
        sections.append(Section(heading="Memory over the soak", figure=figures[1]))
    return html_report(f"{_TITLE}: {result['bundle']}", sections=sections, footer=f"Written by: {result['command']}")


def latency_figure(values_ms):
    """Return the Figure of the share of each time's values that are not longer.

    Args:
        values_ms: {name: sorted numbers}.
    """
    shares = np.linspace(0, 1, _NUM_POINTS)
    series = [
        Series(name=f"{name} ({len(values)})", x=tuple(np.quantile(values, shares).tolist()), y=tuple(shares.tolist()))
        for name, values in values_ms.items()
        if values
    ]
    return line_figure(
        series, title="How often it takes no longer", x_label="milliseconds", y_label="share", percent_y=True
    )


def soak_figures(timeline):
    """Return the Figures of latency and of memory over the minutes of a session."""
    minutes = tuple(part["heard_s"] / 60 for part in timeline)
    latency, memory = (tuple(part[name] for part in timeline) for name in ("latency_ms", "rss_mb"))
    return (
        line_figure(
            [Series(name="latency", x=minutes, y=latency)],
            title="From the end of a word to its text",
            x_label="minutes of audio",
            y_label="ms, median of each part",
        ),
        line_figure(
            [Series(name="resident memory", x=minutes, y=memory)],
            title="Memory",
            x_label="minutes of audio",
            y_label="MB, median of each part",
        ),
    )


def _section(heading, text, part, **content):
    machine = part["machine"]
    measured = f"{part['command']}. {machine_line(machine)}. Load before: {machine['load_average']}."
    return Section(heading=heading, text=f"{text}\n\nMeasured by: {measured}", **content)


def _tables(parts):
    """Yield (name of a part, Table)."""
    if "latency" in parts:
        yield "latency", _latency_table(parts["latency"])
    if "idle" in parts:
        yield "idle", _idle_table(parts["idle"])
    if "soak" in parts:
        yield "soak", _soak_table(parts["soak"])


def _latency_table(part):
    times = (
        ("first text", "first_partial_ms"),
        ("first settled word", "first_stable_ms"),
        ("a word, from its end", "partial_lag_ms"),
        ("final text, from the end of speech", "finalisation_ms"),
        ("end of the line", "endpoint_ms"),
    )
    rows = [
        (label, *(number(part[name][rank], digits=0) for rank in ("p50", "p95", "p99")), str(part[name]["count"]))
        for label, name in times
    ]
    low, high = part["stream_minus_offline_wer_interval"]
    facts = (
        ("words changed after they were shown, %", number(part["changed_word_share"], scale=100, digits=2)),
        ("settled words that the final text has otherwise", str(part["contradicted_words"])),
        ("samples dropped", str(part["dropped_samples"])),
        ("longest wait of a packet, ms", number(part["most_lag_ms"], digits=0)),
        ("WER streaming, %", number(part["stream_wer"], scale=100)),
        ("WER at once, %", number(part["offline_wer"], scale=100)),
        (
            "difference, 95 %",
            f"{number(part['stream_minus_offline_wer'], scale=100)} ({100 * low:.2f} to {100 * high:.2f})",
        ),
    )
    rows += [(label, value, "", "", "") for label, value in facts]
    return Table(header=("latency", "p50 ms", "p95", "p99", "count"), rows=tuple(rows))


def _idle_table(part):
    labels = {
        "idle_cpu_percent": "with --gate",
        "idle_cpu_percent_10_ms": "with --gate, woken every 10 ms",
        "idle_cpu_percent_silero": "with --gate silero",
        "idle_cpu_percent_without_gate": "without",
    }
    rows = tuple((label, number(part[name])) for name, label in labels.items() if name in part)
    return Table(header=("idle", "% of a core"), rows=rows)


def _soak_table(part):
    rows = (
        ("audio, s", number(part["audio_s"], digits=0)),
        ("times real time", number(part["speed"], digits=1)),
        ("lines", str(part["lines"])),
        ("lines unlike the most frequent", str(part["wrong_lines"])),
        ("samples dropped", str(part["dropped_samples"])),
        ("memory first, MB", number(part["rss_first_mb"])),
        ("memory last, MB", number(part["rss_last_mb"])),
        ("latency first, ms", number(part["latency_first_ms"])),
        ("latency last, ms", number(part["latency_last_ms"])),
        ("last over first", number(part["latency_ratio"], digits=3)),
        ("work first, ms", number(part["work_first_ms"])),
        ("work last, ms", number(part["work_last_ms"])),
    )
    return Table(header=("soak", "value"), rows=rows)
