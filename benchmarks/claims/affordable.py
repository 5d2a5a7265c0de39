"""What a search costs: every method at three densities, its WER, and how much training it took."""

from benchmarks.claims.findings import percent
from benchmarks.claims.verdict import matches, statement, unmeasured

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

    Dev chooses: a method reaches IMP where its dev WER is at most IMP's with the same seeds, and IMP reaches itself.
    Test then judges what was chosen, and every other method: it matches IMP as a ticket matches dense, where the
    interval ends at most 1 point above. Until IMP has finished nothing reaches it.
    """
    # IMP's dense model is another one than that of the other iterative searches: each stands beside its own.
    dense, dense_of_imp = (reader.level(name, 0) for name in ("conformer", "imp"))
    rows, statements, cheapest = [], [], {}
    for density, level in scale.levels.items():
        paper = method_row(reader, scale, "imp", density)
        where = percent(scale.density(level))
        judged, priced = {}, []
        for method, label in METHODS.items():
            row = method_row(reader, scale, method, density)
            if row is None:
                continue
            on_dev = paper and row.minus(paper, split="dev")
            found = row.to_json(dense=dense_of_imp if method == "imp" else dense, imp=paper)
            found |= {"method": method, "at": density, "minus_imp_on_dev": on_dev and on_dev["minus"]}
            judged[method] = statement(f"{label}, at {where}: matches IMP", row, paper, judge=matches)
            rows.append(found | {"matches_imp": judged[method]["verdict"]})
            if on_dev and row.cost is not None:
                priced.append(rows[-1])
        statements += [each for method, each in judged.items() if method != "imp"]
        reaching = choose(priced)
        cheapest[density] = reaching and {
            key: reaching[key]
            for key in ("method", "cost", "minus_imp_on_dev", "minus_imp", "minus_imp_interval", "minus_imp_seeds",
                        "matches_imp")
        }  # fmt: skip
        affordable = choose(row for row in priced if row["cost"] <= AFFORDABLE)
        text = f"IMP's WER at {where} for at most {AFFORDABLE} dense trainings"
        shown = judged[affordable["method"]] if affordable else unmeasured(text)
        method = f" ({METHODS[affordable['method']]})" if affordable else ""
        statements.append(shown | {"text": text + method, "is_headline": density == "10"})
    statements.sort(key=lambda each: not each["text"].startswith("IMP's"))
    densities = {name: scale.density(level) for name, level in scale.levels.items()}
    return {"statements": statements, "rows": rows, "cheapest": cheapest, "densities": densities}


def choose(rows):
    """Return the cheapest method's JSON row whose dev WER is at most IMP's, else the nearest to it; None of none."""

    def rank(row):
        missed = max(row["minus_imp_on_dev"], 0)
        return missed, row["cost"], row["method"] == "imp"

    return min(rows, key=rank, default=None)
