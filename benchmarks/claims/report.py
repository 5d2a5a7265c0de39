"""The suite's result files: one JSON a claim, summary.json, and one page."""

from pathlib import Path

from benchmarks.claims import figures
from benchmarks.claims.affordable import METHODS, costs
from benchmarks.claims.findings import matching, noises, percent, schedules, structures, transfers
from benchmarks.claims.prose import METHOD, NOTES, READING, TITLES, WORDS
from benchmarks.claims.tables import STATEMENT, minus_text, row_table, statement_cells, statement_table
from benchmarks.claims.verdict import NOT_MEASURED, overall, points
from benchmarks.results import command_line, write_result
from runtime.files import write_atomic
from runtime.machine import describe_machine, machine_line
from runtime.plots import Section, html_report
from runtime.table import Table

_FILES = {"C1": "c1", "C2": "c2", "C3": "c3", "C4": "c4", "C5": "c5", "cost": "cost"}
_PACKAGES = ("numpy", "torch")


def find(reader, scale, *, tests):
    """Return claim -> its findings, with a verdict and what is missing."""
    names = {
        claim: [experiment.name for experiment in reader.experiments.values() if claim in experiment.claims]
        for claim in TITLES
    }
    # In C1 every search stands beside a dense model of its own, in the others beside each other.
    shared = {claim: reader.over_shared_seeds(needed) for claim, needed in names.items()}
    found = {
        "C1": matching(reader, scale),
        "C2": schedules(shared["C2"], scale),
        "C3": structures(shared["C3"], scale),
        "C4": noises(shared["C4"], scale, tests),
        "C5": transfers(shared["C5"], scale),
        "cost": costs(shared["cost"], scale),
    }
    for claim, findings in found.items():
        findings["verdict"] = overall(findings["statements"])
        findings["experiments"] = {name: reader.seeds(name) for name in names[claim]}
        findings["missing"] = reader.missing(names[claim])
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
    shown = ("verdict", "experiments", "missing")
    details = {
        "claims": {
            claim: {"title": TITLES[claim], **{key: each[key] for key in shown}} for claim, each in found.items()
        }
    }
    write_result("summary", summary=summarise(found), details=details | common, **where)
    path = Path(folder) / "report.html"
    write_atomic(path, page(found, seeds=bench.seeds, is_small=bool(scale.smaller)))
    return path


def page(found, *, seeds, is_small=False):
    """Return the page: the verdicts first, then a section a claim."""
    sections = [
        Section(heading="In short", text=_opening(found, seeds=seeds, is_small=is_small), table=_verdict_table(found)),
        Section(heading="Headlines", text=READING, table=_headline_table(found)),
    ]
    for claim, findings in found.items():
        sections += _claim_sections(claim, findings)
    sections.append(Section(heading="How it is measured", text=METHOD))
    machine = machine_line(describe_machine(threads=1, packages=_PACKAGES))
    return html_report("Audio Lottery's claims, measured", sections=sections, footer=f"{machine}\n\n{command_line()}")


def _opening(found, *, seeds, is_small):
    missing = {name for findings in found.values() for name in findings["missing"]}
    text = "Seeds: " + ", ".join(map(str, seeds)) + "."
    if len(seeds) > 1:
        text += " Not every experiment was trained with all of them: a number is of the seeds that stand beside it."
    if missing:
        text += f" Not finished, and not measured: {', '.join(sorted(missing))}."
    if is_small:
        return f"A quick run of the suite's code with tiny models: these numbers say nothing about the claims. {text}"
    return (
        'Ding, Chen and Wang ("Audio Lottery", ICLR 2022) claim that sparse tickets match their dense model. Here is '
        f"what of it holds on these recordings. {text}\n\n{WORDS}"
    )


def _verdict_table(found):
    rows = tuple(
        (
            f"{claim}: {TITLES[claim]}",
            findings["verdict"],
            _counts(findings),
            f"{len(findings['experiments']) - len(findings['missing'])} of {len(findings['experiments'])}",
        )
        for claim, findings in found.items()
    )
    return Table(header=("claim", "verdict", "headlines", "experiments finished"), rows=rows, num_left=3)


def _headline_table(found, *, is_measured=False):
    """Return the Table of all headlines, or of those that were measured."""
    rows = tuple(
        (claim, *statement_cells(each))
        for claim, findings in found.items()
        for each in findings["statements"]
        if each["is_headline"] and not (is_measured and each["verdict"] == NOT_MEASURED)
    )
    return Table(header=("claim", "statement", *STATEMENT), rows=rows, num_left=3)


def _claim_sections(claim, findings):
    heading = f"{claim}: {TITLES[claim]}"
    missing = "; ".join(f"{name} ({why})" for name, why in findings["missing"].items())
    parts = (_sentence(findings), NOTES.get(claim, ""), _extremes(findings), missing and f"Missing: {missing}.")
    text = "\n\n".join(part for part in parts if part)
    if findings.get("source"):
        rates = " and ".join(
            f"{points(row['wer'], signed=False)} % ({row['ticket']}, density {percent(row['density'])})"
            for row in findings["source"]
        )
        text += f"\n\nOn its own test split the source has a WER of {rates}: no more than that is transferred."
    if not findings.get("has_sounds", True):
        text += "\n\nThe noise pack is not there: nothing can be tested in noise."
    if claim == "C4" and "sounds" in findings:
        sounds = findings["sounds"]
        text += f"\n\nSounds: {_sounds(sounds['train'])} for training, {_sounds(sounds['test'])} for tests."
    yield Section(heading=heading, text=text, table=statement_table(findings["statements"]))
    for figure, table in _evidence(claim, findings):
        yield Section(heading=f"{claim}: evidence", figure=figure, table=table)


def _sentence(findings):
    """Return the verdict in a sentence."""
    return f"Verdict: {findings['verdict']}. Headlines: {_counts(findings)}."


def _counts(findings):
    """Return how many headlines have each verdict, in words."""
    found = [each["verdict"] for each in findings["statements"] if each["is_headline"]]
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in dict.fromkeys(found))


def _extremes(findings):
    """Return what C1 says of the sparsest tickets that match, or nothing for another claim."""
    lines = []
    for each in findings.get("backbones", {}).values():
        on_test = percent(each["extreme"]["density"]) if each["extreme"] else "none"
        dev, chosen = each["extreme_on_dev"], each["best"]
        on_dev = f"{percent(dev['density'])}, on test {minus_text(dev, 'dense')} points" if dev else "none"
        lines.append(
            f"{each['label']}: extreme ticket {on_test} (by the same rule on dev: {on_dev}); best ticket, chosen on "
            f"dev, {percent(chosen['density'])}, {minus_text(chosen, 'dense')} points against dense."
        )
        by_seed = each["rows"][0]["wer_by_seed"]
        if len(by_seed) > 1:
            lines.append(f"{each['label']}: dense by seed {', '.join(map(percent, by_seed.values()))}.")
    return " ".join(lines)


def _sounds(counts):
    if counts["used"] == counts["all"]:
        return f"all {counts['all']}"
    return f"{counts['used']} of {counts['all']} (this libsndfile does not decode the others, which are left out)"


def _evidence(claim, findings):
    """Yield (figure, table) pairs."""
    if claim == "C1":
        for each in findings["backbones"].values():
            yield figures.backbone_figure(each), row_table(each["rows"] + each["controls"])
    elif claim == "C2" and len(findings["curves"]) > 1:
        rows = [row for curve in findings["curves"].values() for row in curve]
        yield figures.schedule_figure(findings["curves"]), row_table(rows, versus=("constant",))
    elif claim == "C3" and findings["curves"]:
        rows = [row for curve in findings["curves"].values() for row in curve]
        yield (
            figures.structure_figure(findings),
            row_table(rows + findings["controls"], versus=("dense_small", "weights")),
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
        groups = {name: percent(density) for name, density in findings["densities"].items()}
        yield (
            figures.cost_figure(findings["rows"], groups=groups, labels=METHODS),
            row_table(rows, first=("what", "method"), versus=("imp",)),
        )


def readme_table(found):
    """Return the README's table in Markdown, between its markers: the headlines that were measured."""
    table = _headline_table(found, is_measured=True).markdown()
    return f"<!-- claims -->\n{table}\n<!-- /claims -->"
