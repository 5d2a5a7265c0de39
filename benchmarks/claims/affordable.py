"""What a search costs: every method at three densities, its WER, and how much training it took."""

from benchmarks.claims.findings import percent
from benchmarks.claims.verdict import FAILS, HOLDS, NOT_MEASURED, UNDECIDED, matches, statement, unmeasured

AFFORDABLE = 2.5
METHODS = {
    "imp": "IMP, rewound to an early step",
    "learning_rate": "iterative, learning rate rewound",
    "distilled": "iterative, distilled",
    "one_shot": "one round, learning rate rewound",
    "gradual": "gradual, in one training",
    "gradual_longer": "gradual, 2.4 times as long",
    "gradual_distilled": "gradual, distilled",
    "early_bird": "early bird, in one training",
}


def method_row(reader, scale, method, density):
    """Return the Row of a method at a density (key of `scale.levels`), or None."""
    level = scale.levels[density]
    if method in ("imp", "learning_rate", "distilled"):
        return reader.level("conformer" if method == "learning_rate" else method, level)
    name = {
        "one_shot": f"oneshot_{density}",
        "gradual": f"gradual_{density}",
        "gradual_longer": f"gradual_{density}_longer",
        "gradual_distilled": f"gradual_{density}_distilled",
        "early_bird": f"earlybird_{density}",
    }[method]
    return reader.counted_in(reader.last(name), "conformer") if name in reader.experiments else None


def costs(reader, scale):
    """Compare the methods: JSON with statements and rows, and the cheapest one that reaches IMP at each density.

    A method reaches IMP where its WER, as measured with the same seeds, is at most IMP's: IMP itself does, where no
    cheaper one does. How sure that is its statement says: it matches IMP as a ticket matches dense, where the interval
    ends at most 1 point above. Until IMP has finished nothing reaches it.
    """
    # IMP's dense model is another one than that of the other iterative searches: each stands beside its own.
    dense, dense_of_imp = (reader.level(name, 0) for name in ("conformer", "imp"))
    rows, statements, cheapest = [], [], {}
    for density, level in scale.levels.items():
        paper = method_row(reader, scale, "imp", density)
        where = percent(scale.density(level))
        affordable, reaching = [], []
        for method, label in METHODS.items():
            row = method_row(reader, scale, method, density)
            if row is None:
                continue
            found = row.to_json(dense=dense_of_imp if method == "imp" else dense, imp=paper)
            judged = statement(f"{label}, at {where}: matches IMP", row, paper, judge=matches)
            rows.append(found | {"method": method, "at": density, "matches_imp": judged["verdict"]})
            if method != "imp":
                statements.append(judged)
                affordable += [judged] if row.cost is not None and row.cost <= AFFORDABLE else []
            if found["minus_imp"] is not None and found["minus_imp"] <= 0 and row.cost is not None:
                reaching.append(rows[-1])
        chosen = min(reaching, key=lambda found: (found["cost"], found["method"] == "imp"), default=None)
        cheapest[density] = chosen and {
            key: chosen[key]
            for key in ("method", "cost", "minus_imp", "minus_imp_interval", "minus_imp_seeds", "matches_imp")
        }
        text = f"IMP's WER at {where} for at most {AFFORDABLE} dense trainings"
        statements.append(_best_judged(text, affordable if paper else [], is_headline=density == "10"))
    statements.sort(key=lambda each: not each["text"].startswith("IMP's"))
    densities = {name: scale.density(level) for name, level in scale.levels.items()}
    return {"statements": statements, "rows": rows, "cheapest": cheapest, "densities": densities}


def _best_judged(text, judged, *, is_headline):
    """Return the statement that one of several methods matches IMP: shown is the one that comes nearest to it.

    It holds where one of them does, and fails only where every one of them fails.
    """
    judged = [each for each in judged if each["verdict"] != NOT_MEASURED]
    if not judged:
        return unmeasured(text, is_headline=is_headline)
    verdicts = {each["verdict"] for each in judged}
    verdict = HOLDS if HOLDS in verdicts else UNDECIDED if UNDECIDED in verdicts else FAILS
    same = [each for each in judged if each["verdict"] == verdict]
    shown = min(same, key=lambda each: each["cost"] if verdict == HOLDS else each["interval"][1])
    method = shown["text"].partition(", at ")[0]
    return shown | {"text": f"{text} ({method})", "is_headline": is_headline}
