"""What the engine's benchmark says: tables for the terminal, and a self-contained page with figures."""

from benchmarks.engine_figures import density_figure, ratio_figure, roofline_figure
from benchmarks.engine_rows import SUBJECT
from benchmarks.engine_runtimes import CONTESTANTS
from runtime.machine import machine_line
from runtime.plots import Section, html_report
from runtime.table import Table, number

_METHOD = """\
One core, one thread in every runtime; one process for each model and the runtimes that run it, with onnxruntime's \
int8 of the dense model beside them. A round runs every one of these once, in rotating order, so that a busy machine \
slows all of them alike; a ratio is taken within each round, and its median and 10 to 90 % interval are shown.
Before each model the process reads a buffer of {evicted:.0f} MB, several times the second-level cache: cold \
times have all weights come from beyond it, the same for every contestant; warm times are those of the next chunk, \
at once. Inputs are speech-like, and state is carried on.

Models of 8 and 24 million weights are drawn, not trained, and masks keep the largest weights of each matrix: times \
depend on where zeros lie, not on what the other numbers are. Densities are those of the prunable weights. \
onnxruntime and OpenVINO know no masks: they run the same model with its zeros. The int8 graph of a masked model has \
the scales of the one without zeros. OpenVINO "default" multiplies in bfloat16 where the processor does; int8 there \
is the graph of onnxruntime, whose operators OpenVINO may not fuse.

The rooflines: reading is the fastest of three ways in which numpy reads 64 MB; arithmetic is four times the rate of \
numpy's float32 matrix product, because an instruction that adds up four 8-bit products does four multiply-adds in a \
lane where float32 does one. Only multiply-adds with weights that are not 0 count, and those of attention."""
_WER = """\
The reference is the first: onnxruntime in float32. The paired intervals are of one ticket each; among several, one \
beyond 0 is to be expected by chance, and the last line, all tickets together, says more."""


def result_text(result):
    """Return the tables of a result as text."""
    blocks = [f"{_title(part)}\n\n{part_table(part).text()}" for part in result["parts"].values()]
    blocks += [
        f"{_title(part)}: median ms a chunk, cold\n\n{runtimes_table(part).text()}" for part in result["parts"].values()
    ]
    blocks += [f"{_title(part)}\n\n{footprint_table(part).text()}" for part in _with_footprints(result)]
    if result["wer"]["records"]:
        blocks.append(wer_table(result["wer"]["records"]).text())
    blocks += [f"disk: {_disk_text(result['disk'])}", f"machine gives: {_peaks_text(result['peaks'])}"]
    blocks += [checks_table(result["checks"]).text(), f"machine: {machine_line(result['machine'])}"]
    return "\n\n".join(blocks)


def result_html(result):
    """Return the page of a result.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    parts = list(result["parts"].values())
    sections = [
        Section(heading="Promised and found", table=checks_table(result["checks"])),
        Section(heading="How it is measured", text=_METHOD.format(evicted=result["peaks"]["evicted_bytes"] / 1e6)),
    ]
    longest = [part for part in parts if part["chunk_ms"] == max(part["chunk_ms"] for part in parts)]
    drawn = [part for part in longest if not part["is_trained"]]
    if drawn:
        sections.append(
            Section(heading=f"Against onnxruntime int8, {drawn[0]['chunk_ms']} ms", figure=ratio_figure(drawn))
        )
    for part in drawn:
        sections.append(Section(heading=f"Time over density, {_title(part)}", figure=density_figure(part)))
    if longest:
        text = f"The machine gives one thread {_peaks_text(result['peaks'])}."
        figure = roofline_figure(drawn or longest, peaks=result["peaks"])
        sections.append(Section(heading="Rooflines", text=text, figure=figure))
    for part in parts:
        sections.append(Section(heading=_title(part), table=part_table(part)))
        heading = f"{_title(part)}: every runtime, median ms a chunk, cold"
        sections.append(Section(heading=heading, table=runtimes_table(part)))
    for part in _with_footprints(result):
        sections.append(Section(heading=f"{_title(part)}: load time and memory", table=footprint_table(part)))
    if result["wer"]["records"]:
        sections.append(
            Section(heading="Word error rate, AN4 test", text=_WER, table=wer_table(result["wer"]["records"]))
        )
    sections.append(Section(heading="On disk", text=_disk_text(result["disk"])))
    footer = f"{machine_line(result['machine'])}\n\n{result['command']}"
    return html_report("The ticket engine", sections=sections, footer=footer)


def _title(part):
    return f"{part['size']}, {part['chunk_ms']} ms chunks"


def part_table(part):
    """Return the Table of one part: the engine's time, its ratios, and how near it comes to the machine's peak."""
    header = (
        "model", "formats", "non-zeros M", "cold ms", "warm ms", "vs ort int8", "10-90 %", "warm", "vs ort int8 dense",
        "ns/non-zero", "file MB", "memory MB", "of roofline", "of fp32 peak",
    )  # fmt: skip
    rows = []
    for row in part["rows"]:
        subject = row["runtimes"][SUBJECT]
        ratio, to_dense = row["ratio"], row["ratio_to_dense"]
        rows.append(
            (
                row["label"],
                " ".join(f"{count} {name}" for name, count in sorted(row["formats"].items())),
                number(row["num_nonzeros"], scale=1e-6),
                number(_median(subject, "cold"), digits=3),
                number(_median(subject, "warm"), digits=3),
                f"{number(ratio and ratio['cold']['p50'])}x",
                f"{number(ratio and ratio['cold']['p10'])}-{number(ratio and ratio['cold']['p90'])}",
                f"{number(ratio and ratio['warm']['p50'])}x",
                f"{number(to_dense and to_dense['cold']['p50'])}x",
                number(row.get("ns_per_nonzero")),
                number(subject["file_bytes"], scale=1e-6),
                number(subject.get("weight_bytes"), scale=1e-6),
                f"{number(row.get('share_of_roofline'), scale=100, digits=0)} %",
                f"{number(row.get('share_of_fp32_peak'), scale=100, digits=0)} %",
            )
        )
    return Table(header=header, rows=tuple(rows), num_left=2)


def _median(record, kind):
    return record.get(f"{kind}_ms", {}).get("p50")


def runtimes_table(part):
    """Return the Table of the median time of every contestant; what failed says why below, once."""
    present = [name for name in CONTESTANTS if any(name in row["runtimes"] for row in part["rows"])]
    rows = [(row["label"], *(_cell(row["runtimes"].get(contestant)) for contestant in present)) for row in part["rows"]]
    complaints = dict.fromkeys(
        f"{name}: {record['error']}"
        for row in part["rows"]
        for name, record in row["runtimes"].items()
        if "error" in record
    )
    blank = ("",) * len(present)
    rows += [(complaint, *blank) for complaint in complaints]
    return Table(header=("model", *(name.replace("_", " ") for name in present)), rows=tuple(rows))


def _cell(record):
    if record is None:
        return "-"
    return "refused" if "error" in record else number(_median(record, "cold"), digits=2)


def _with_footprints(result):
    return [
        part
        for part in result["parts"].values()
        if any("footprint" in record for row in part["rows"] for record in row["runtimes"].values())
    ]


def footprint_table(part):
    """Return the Table of what each model takes to load, in a process of its own."""
    rows = []
    for row in part["rows"]:
        for contestant, record in row["runtimes"].items():
            if "peak_rss_bytes" in record.get("footprint", ()):
                found = record["footprint"]
                rows.append(
                    (
                        row["label"],
                        contestant.replace("_", " "),
                        number(record["file_bytes"], scale=1e-6),
                        number(found["load_s"], scale=1e3, digits=0),
                        number(found["peak_rss_bytes"], scale=1e-6, digits=0),
                        number(found["peak_rss_bytes"] - found["imports_rss_bytes"], scale=1e-6, digits=1),
                    )
                )
    header = ("model", "runtime", "file MB", "load ms", "peak RSS MB", "of it the model's")
    return Table(header=header, rows=tuple(rows), num_left=2)


def wer_table(records):
    """Return the Table of error rates of trained tickets."""
    names = [name for name in records[0] if isinstance(records[0][name], dict)]
    header = ["ticket", "density"]
    for name in names:
        header += [f"{name.replace('_', ' ')} WER %", "minus reference, 95 %"]
    rows = []
    for record in records:
        cells = [record["ticket"], number(record["density"], digits=3)]
        for name in names:
            low, high = (100 * value for value in record[name]["minus_reference_interval"])
            cells += [number(record[name]["wer"], scale=100, digits=1), f"{low:+.1f} to {high:+.1f}"]
        rows.append(tuple(cells))
    return Table(header=tuple(header), rows=tuple(rows))


def checks_table(checks):
    """Return the Table of what was promised and what was found."""
    header = ("figure", "found", "warm", "promised", "met", "prototype", "beaten")
    rows = tuple(
        (
            check["key"],
            _value(check["value"]),
            _value(check.get("warm")),
            _value(check["bar"]),
            _value(check["is_met"]),
            _value(check.get("prototype")),
            _value(check.get("beats_prototype")),
        )
        for check in checks
    )
    return Table(header=header, rows=rows)


def _value(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.3g}"


def _disk_text(disk):
    return (
        f"{disk['num_weights'] / 1e6:.2f} M weights, {disk['density']:.1%} of the prunable ones kept: the file takes "
        f"{disk['file_bytes'] / 1e6:.3f} MB, {disk['file_over_bound']:.3f} times what entropy allows for all that it "
        f"holds; the entries of its matrices take {disk['weight_bytes'] / 1e6:.3f} MB, "
        f"{disk['weights_over_bound']:.3f} times their bound"
    )


def _peaks_text(peaks):
    return (
        f"{peaks['read_bytes_per_s'] / 1e9:.1f} GB/s from beyond the second-level cache, "
        f"{peaks['fp32_multiply_adds_per_s'] / 1e9:.0f} G multiply-adds/s in float32 (numpy), "
        f"{peaks['int8_multiply_adds_per_s'] / 1e9:.0f} G/s in int8 at four a lane; the engine's own dense int8 "
        f"product reaches {peaks['engine_int8_multiply_adds_per_s'] / 1e9:.0f} G/s with weights in cache"
    )
