"""What a search costs: every method at three densities, its WER, and how much training it took."""

from benchmarks.claims.findings import percent
from benchmarks.claims.verdict import FAILS, HOLDS, unmeasured

AFFORDABLE = 2.5
METHODS = {
    "imp": "iterative, rewound to an early step (IMP)",
    "learning_rate": "iterative, learning rate rewound",
    "distilled": "learning rate rewound, distilled",
    "gradual": "gradual, in one training",
    "gradual_distilled": "gradual, distilled",
    "early_bird": "early bird, in one training",
}


def method_row(reader, scale, method, density):
    """Return the Row of a method at a density (key of `scale.levels`), or None."""
    level = scale.levels[density]
    if method in ("imp", "learning_rate", "distilled"):
        return reader.level("conformer" if method == "learning_rate" else method, level)
    name = {"gradual": f"gradual_{density}", "early_bird": f"earlybird_{density}"}.get(method, f"{method}")
    if method == "gradual_distilled":
        name = f"gradual_{density}_distilled"
    return reader.last(name) if name in reader.experiments else None


def costs(reader, scale):
    """Compare the methods: JSON with statements and rows, and the cheapest one that reaches IMP at each density."""
    dense, rows, statements, cheapest = reader.level("conformer", 0), [], [], {}
    for density in scale.levels:
        paper = method_row(reader, scale, "imp", density)
        reaching = []
        for method in METHODS:
            row = method_row(reader, scale, method, density)
            if row is None:
                continue
            found = row.to_json(dense=dense, imp=paper) | {"method": method, "at": density}
            low = found["minus_imp_interval"] and found["minus_imp_interval"][0]
            found["reaches_imp"] = None if low is None else low <= 0
            rows.append(found)
            if found["reaches_imp"] and row.cost is not None and method != "imp":
                reaching.append(found)
        chosen = min(reaching, key=lambda found: found["cost"], default=None)
        cheapest[density] = chosen and {key: chosen[key] for key in ("method", "cost", "wer", "minus_imp")}
        text = f"IMP's WER at {percent(scale.density(scale.levels[density]))} for at most {AFFORDABLE} dense trainings"
        statements.append(_judged(text, chosen, is_measured=paper is not None, is_headline=density == "10"))
    return {"statements": statements, "rows": rows, "cheapest": cheapest}


def _judged(text, chosen, *, is_measured, is_headline):
    if not is_measured:
        return unmeasured(text, is_headline=is_headline)
    if chosen is None:
        return unmeasured(f"{text}: no method", is_headline=is_headline, verdict=FAILS)
    return {
        "text": f"{text}: {chosen['method']}, {chosen['cost']:.2f} trainings",
        "is_headline": is_headline,
        "verdict": HOLDS if chosen["cost"] <= AFFORDABLE else FAILS,
        "minus": chosen["minus_imp"],
        "interval": chosen["minus_imp_interval"],
        "seeds": chosen["seeds"],
    }
