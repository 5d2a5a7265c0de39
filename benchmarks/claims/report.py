"""The suite's result files: one JSON a claim, summary.json, and one page."""

from pathlib import Path

from benchmarks.claims import figures
from benchmarks.claims.affordable import METHODS, costs
from benchmarks.claims.findings import matching, noises, percent, schedules, structures, transfers
from benchmarks.claims.verdict import NOT_MEASURED, interval_text, overall, points
from benchmarks.results import command_line, write_result
from runtime.files import write_atomic
from runtime.machine import describe_machine, machine_line
from runtime.plots import Section, html_report
from runtime.table import Table, number

TITLES = {
    "C1": "Tickets match the dense model",
    "C2": "The schedule matters",
    "C3": "Structured tickets hold up",
    "C4": "Tickets beat dense in noise",
    "C5": "Tickets transfer",
    "cost": "The search is affordable",
}
_FILES = {"C1": "c1", "C2": "c2", "C3": "c3", "C4": "c4", "C5": "c5", "cost": "cost"}
_PACKAGES = ("numpy", "torch")
_METHOD = """\
All error rates are of test splits, recognised chunk by chunk (640 ms) as a stream would be, greedily, without a \
language model. "minus" is the difference in WER, in percentage points, with a paired 95 % bootstrap interval over \
utterances; several seeds are pooled. What is chosen (checkpoints, the best ticket) is chosen on dev. The extreme \
ticket is the sparsest whose interval against dense ends at most 1 point above it, on test, as the claim defines it; \
the one that dev would choose by the same rule stands beside it.

"Matches" holds where the interval ends at most 1 point above 0, fails where all of it lies above 0 and it does not \
end there, and is undecided otherwise. "Beats" holds where all of the interval lies below 0, fails where all of it \
lies above, and is undecided otherwise. Among many such statements one in forty holds by chance alone.

The interval speaks of these models on other utterances; another seed is another model, and differs by about as much.

Rounds are fewer and larger than the paper's (36 % a round, 7 rounds to 4.4 %), and all but "imp" rewind the learning \
rate instead of the weights: 12 epochs a level after 70 dense ones."""
_NOTES = {
    "C1": "The transducer's encoder starts from the Conformer's dense ticket and trains 40 epochs (from drawn weights "
    "it was still silent after 20); controls that draw their weights are left out beside it. Costs are in multiples of "
    "each backbone's own dense training.",
    "C2": "All schedules end at the same density after as many rounds; their rates were solved for that.",
    "C3": "Blocks keep as many weights as single weights do, level by level; units are fewer, so that their densities "
    "are others: compare over the number of non-zeros.",
    "C4": "Trained with the pack's training sounds at 20, 10, 5 and 0 dB: three copies of each utterance are noisy, "
    "one is clean, and an epoch draws one of them, so that it costs what a clean one does. Tested with the pack's test "
    "sounds, which no training heard: one draw of sound and place for each utterance, the same at every ratio.",
    "C5": "The source is mini_librispeech in characters, on a processor: 15 epochs dense, then 3 rounds of 52.5 % with "
    "4 epochs each, to 10.7 %. Its dense level 0 and its ticket train on each target for the same number of epochs. "
    "Costs are in multiples of the first training on the target, the source's not counted.",
    "cost": "Trainings in multiples of the dense one, all that came before included; a distilled step counts 4/3. An "
    "epoch of a sparse model counts as one of the dense model.",
}


def find(reader, scale, *, tests):
    """Return claim -> its findings, with a verdict and what is missing."""
    found = {
        "C1": matching(reader, scale),
        "C2": schedules(reader, scale),
        "C3": structures(reader, scale),
        "C4": noises(reader, scale, tests),
        "C5": transfers(reader, scale),
        "cost": costs(reader, scale),
    }
    for claim, findings in found.items():
        needed = [experiment.name for experiment in reader.experiments.values() if claim in experiment.claims]
        findings["verdict"] = overall(findings["statements"])
        findings["missing"] = [
            {"experiment": name, "seed": seed, "why": why} for name, seed, why in reader.unfinished(needed)
        ]
    return found


def summarise(found):
    """Return the summary: fractions, and None for what is missing."""
    backbones, blocks = found["C1"]["backbones"], found["C3"]["curves"].get("block1x4", [])
    summary = {f"{name}_extreme_density": _extreme(backbones.get(name)) for name in ("conformer", "cnn_lstm", "rnnt")}
    conformer = backbones.get("conformer")
    nearest = min(blocks, key=lambda row: abs(row["density"] - 0.05), default=None)
    noisy = next((each["minus"] for each in found["C4"]["statements"] if each.get("snr_db") == 5.0), None)
    transferred = found["C5"]["targets"].get("an4", {}).get("transferred ticket")
    cheapest = found["cost"]["cheapest"]["10"]
    return summary | {
        "conformer_best_minus_dense_wer": conformer and conformer["best"]["minus_dense"],
        "block1x4_at_5pct_minus_dense_wer": nearest and nearest["minus_dense"],
        "noise_5db_ticket_minus_dense_wer": noisy,
        "transfer_an4_ticket_minus_dense_wer": transferred and transferred["minus_dense_transfer"],
        "ticket_minus_dense_small_wer_at_10pct": conformer and _minus_dense_small(conformer),
        "search_cost_multiples_at_10pct": cheapest and cheapest["cost"],
    }


def _extreme(backbone):
    """Return the extreme density; 1 where no ticket reaches the bar: dense itself does."""
    if backbone is None:
        return None
    return backbone["extreme"]["density"] if backbone["extreme"] else 1.0


def _minus_dense_small(backbone):
    """Return what the ticket nearest to 10 % is minus the dense model of its size."""
    ticket = min(backbone["rows"][1:], key=lambda row: abs(row["density"] - 0.1))
    for row in backbone["controls"]:
        if row["name"] == "dense-small" and row["level"] == ticket["level"]:
            return row["ticket_minus_this"]
    return None


def write_report(found, *, bench, scale, folder):
    """Write every result file; return the path of the page."""
    common = {"seeds": list(bench.seeds), "rounds": scale.rounds, "smaller": list(scale.smaller)}
    where = {"threads": 1, "packages": _PACKAGES, "folder": folder}
    for claim, findings in found.items():
        verdicts = {each["text"]: each["verdict"] for each in findings["statements"]}
        write_result(_FILES[claim], summary=verdicts, details=findings | common, **where)
    details = {"claims": {claim: {"title": TITLES[claim], "verdict": each["verdict"], "missing": each["missing"]}
                          for claim, each in found.items()}}  # fmt: skip
    write_result("summary", summary=summarise(found), details=details | common, **where)
    path = Path(folder) / "report.html"
    write_atomic(path, page(found, seeds=bench.seeds, is_small=bool(scale.smaller)))
    return path


def page(found, *, seeds, is_small=False):
    """Return the page: the verdicts first, then a section a claim."""
    sections = [Section(heading="In short", text=_opening(seeds, is_small), table=_verdict_table(found))]
    for claim, findings in found.items():
        sections += _claim_sections(claim, findings)
    sections.append(Section(heading="How it is measured", text=_METHOD))
    machine = machine_line(describe_machine(threads=1, packages=_PACKAGES))
    return html_report("Audio Lottery's claims, measured", sections=sections, footer=f"{machine}\n\n{command_line()}")


def _opening(seeds, is_small):
    text = "Seeds: " + ", ".join(map(str, seeds)) + "."
    if is_small:
        return f"A quick run of the suite's code with tiny models: these numbers say nothing about the claims. {text}"
    return (
        'Ding, Chen and Wang ("Audio Lottery", ICLR 2022) claim that sparse tickets match their dense model. Here is '
        f"what of it holds on these recordings. {text}"
    )


def _verdict_table(found):
    rows = tuple(
        (f"{claim}: {TITLES[claim]}", each["text"], each["verdict"], interval_text(each))
        for claim, findings in found.items()
        for each in findings["statements"]
        if each["is_headline"]
    )
    return Table(header=("claim", "measured", "verdict", "WER points, 95 %"), rows=rows, num_left=3)


def statement_table(statements):
    """Return the Table of statements, each with its verdict and interval."""
    rows = tuple(
        (each["text"], each["verdict"], interval_text(each), ", ".join(map(str, each["seeds"])) or "-")
        for each in statements
    )
    return Table(header=("statement", "verdict", "WER points, 95 %", "seeds"), rows=rows, num_left=2)


def _claim_sections(claim, findings):
    heading = f"{claim}: {TITLES[claim]}"
    missing = "; ".join(
        f"{each['experiment']}{' seed ' + str(each['seed']) if each['seed'] else ''} ({each['why']})"
        for each in findings["missing"]
    )
    parts = (_sentence(findings), _NOTES.get(claim, ""), _extremes(findings), missing and f"Missing: {missing}.")
    text = "\n\n".join(part for part in parts if part)
    if claim == "C4" and "sounds" in findings:
        sounds = findings["sounds"]
        text += f"\n\nSounds: {_sounds(sounds['train'])} for training, {_sounds(sounds['test'])} for tests."
    yield Section(heading=heading, text=text, table=statement_table(findings["statements"]))
    for figure, table in _evidence(claim, findings):
        yield Section(heading=f"{claim}: evidence", figure=figure, table=table)


def _sentence(findings):
    """Return the verdict in a sentence."""
    found = [each for each in findings["statements"] if each["is_headline"]]
    counts = {each["verdict"]: 0 for each in found}
    for each in found:
        counts[each["verdict"]] += 1
    told = ", ".join(f"{verdict} {count}" for verdict, count in counts.items())
    return f"Verdict: {findings['verdict']} (headline statements: {told})."


def _extremes(findings):
    """Return what C1 says of the sparsest tickets that match, or nothing for another claim."""
    lines = []
    for name, each in findings.get("backbones", {}).items():
        on_test = percent(each["extreme"]["density"]) if each["extreme"] else "none"
        on_dev = percent(each["extreme_on_dev"]) if each["extreme_on_dev"] else "none"
        chosen = each["best"]
        lines.append(
            f"{name}: extreme ticket {on_test} (by the same rule on dev: {on_dev}); best ticket, chosen on dev, "
            f"{percent(chosen['density'])}, {_minus(chosen, 'dense')} points against dense."
        )
    return " ".join(lines)


def _sounds(counts):
    if counts["used"] == counts["all"]:
        return f"all {counts['all']}"
    return f"{counts['used']} of {counts['all']} (this libsndfile does not decode the others, which are left out)"


def _evidence(claim, findings):
    """Yield (figure, table) pairs."""
    if claim == "C1":
        for name, each in findings["backbones"].items():
            yield figures.backbone_figure(name, each), row_table(each["rows"] + each["controls"])
    elif claim == "C2" and len(findings["curves"]) > 1:
        rows = [row for curve in findings["curves"].values() for row in curve]
        yield figures.schedule_figure(findings["curves"]), row_table(rows)
    elif claim == "C3" and findings["curves"]:
        rows = [row for curve in findings["curves"].values() for row in curve]
        yield (
            figures.structure_figure(findings),
            row_table(rows + findings["dense_small"], versus=("dense_small", "weights")),
        )
    elif claim == "C4" and findings["rows"]:
        yield figures.noise_figure(findings), row_table(findings["rows"], first=("snr_db", "SNR dB"))
    elif claim == "C5" and any(findings["targets"].values()):
        rows = [{**row, "way": f"{target}: {way}"} for target, ways in findings["targets"].items()
                for way, row in ways.items()]  # fmt: skip
        yield (
            figures.transfer_figure(findings["targets"]),
            row_table(rows, first=("way", "way"), versus=("dense_transfer", "own_ticket")),
        )
    elif claim == "cost" and findings["rows"]:
        rows = [{**row, "what": METHODS[row["method"]]} for row in findings["rows"]]
        yield figures.cost_figure(findings["rows"]), row_table(rows, first=("what", "method"), versus=("imp",))


def row_table(rows, *, first=None, versus=()):
    """Return the Table of JSON rows.

    Args:
        first: (key, heading) of a column put in front, or None.
        versus: what else each row is compared with, beside dense: keys without `minus_`.
    """
    header = ["ticket", "density", "non-zeros", "test WER %", "95 %", "minus dense"]
    header += [*(f"minus {name.replace('_', ' ')}" for name in versus), "dev WER %", "epochs", "cost", "seeds"]
    cells = []
    for row in rows:
        low, high = row["interval"]
        line = [row["ticket"], percent(row["density"]), str(row["num_nonzeros"]), points(row["wer"], signed=False)]
        line += [f"[{points(low, signed=False)}, {points(high, signed=False)}]", _minus(row, "dense")]
        line += [_minus(row, name) for name in versus]
        line += [points(row["dev_wer"], signed=False), number(row["epochs"], digits=0), number(row["cost"])]
        line += [", ".join(map(str, row["seeds"]))]
        cells.append(tuple([_shown(row[first[0]])] * bool(first) + line if first else line))
    header = ([first[1]] if first else []) + header
    return Table(header=tuple(header), rows=tuple(cells), num_left=2 if first else 1)


def _shown(value):
    return "clean" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _minus(row, name):
    if row.get(f"minus_{name}") is None or row[f"minus_{name}_interval"] == [0, 0]:
        return "-"
    return interval_text({"minus": row[f"minus_{name}"], "interval": row[f"minus_{name}_interval"]})


def readme_table(found):
    """Return the README's table in Markdown, between its markers: the headlines that were measured."""
    rows = tuple(
        (claim, each["text"], each["verdict"], interval_text(each))
        for claim, findings in found.items()
        for each in findings["statements"]
        if each["is_headline"] and each["verdict"] != NOT_MEASURED
    )
    table = Table(header=("claim", "statement", "verdict", "WER points, 95 %"), rows=rows).markdown()
    return f"<!-- claims -->\n{table}\n<!-- /claims -->"
