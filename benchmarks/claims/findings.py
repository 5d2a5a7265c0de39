"""The claims themselves: which rows each compares, and what follows, as plain JSON; the report adds nothing to it."""

from benchmarks.claims.noisy import SNRS_DB
from benchmarks.claims.registry import BACKBONES, BLOCKS, SCHEDULES, TARGETS
from benchmarks.claims.scores import of_equal_size
from benchmarks.claims.verdict import MARGIN, beats, matches, statement, unmeasured

_PERCENT = "{:.1f} %"


def percent(value):
    """Return a fraction as text."""
    return _PERCENT.format(100 * value)


def extreme(rows, *, split):
    """Return the Row of the lowest density whose interval against dense ends at most 1 point above it, or None."""
    fitting = [row for row in rows[1:] if row.minus(rows[0], split=split)["interval"][1] <= MARGIN]
    return min(fitting, key=lambda row: row.density, default=None)


def best(rows):
    """Return the ticket with the lowest dev WER; of equals the sparsest."""
    return min(rows[1:], key=lambda row: (row.dev_wer, row.density), default=None)


def matching(reader, scale):
    """C1: tickets match the dense model, on three backbones, and beat their controls."""
    backbones, statements = {}, []
    for name in BACKBONES:
        rows = reader.levels(name)
        if not rows:
            statements.append(statement(f"{name}: a ticket matches dense", None, judge=matches, is_headline=True))
            continue
        dense, found = rows[0], {split: extreme(rows, split=split) for split in ("test", "dev")}
        chosen, controls = best(rows), reader.controls(name)
        # Where none reaches the bar, the best one shows how far it is off.
        shown = found["test"] or chosen
        statements.append(
            statement(
                f"{name}: a ticket matches dense ({percent(shown.density)})",
                shown.minus(dense),
                judge=matches,
                is_headline=True,
            )
        )
        statements.append(
            statement(
                f"{name}: the best ticket beats dense ({percent(chosen.density)})", chosen.minus(dense), judge=beats
            )
        )
        ticket = reader.level(name, scale.level(5))
        for control in reader.control_names(name):
            other = reader.control(name, control, level=scale.level(5))
            text = f"{name}: the ticket of {percent(ticket.density)} beats {control}"
            statements.append(statement(text, other and ticket.minus(other), judge=beats))
        backbones[name] = {
            "rows": [row.to_json(dense=dense) for row in rows],
            "controls": [_beside(row, rows) for row in controls],
            "extreme": found["test"] and found["test"].to_json(dense=dense),
            "extreme_on_dev": found["dev"] and found["dev"].density,
            "best": chosen.to_json(dense=dense),
        }
    return {"statements": statements, "backbones": backbones}


def _beside(control, rows):
    """Return a control's row, with what the ticket it stands beside is minus it."""
    ticket = next(row for row in rows if row.level == control.level)
    found = ticket.minus(control)
    more = {"ticket_minus_this": found and found["minus"], "ticket_minus_this_interval": found and found["interval"]}
    return control.to_json(dense=rows[0]) | more


def schedules(reader, scale):
    """C2: how the rate goes on from round to round and layer to layer, at equal final density."""
    constant = reader.levels("conformer")
    curves = {"constant": [row.to_json(dense=constant[0]) for row in constant]} if constant else {}
    statements = []
    for name in SCHEDULES:
        rows = reader.levels(name) if constant else []
        difference = rows[-1].minus(constant[-1]) if rows else None
        text = f"{name} beats constant at {percent(scale.density(scale.rounds))}"
        statements.append(statement(text, difference, judge=beats, is_headline=True))
        if rows:
            curves[name] = [row.to_json(dense=constant[0], constant=constant[row.level]) for row in rows]
    return {"statements": statements, "curves": curves}


def structures(reader, scale):
    """C3: single weights, blocks and units at equal non-zeros, each against a dense model of that size."""
    curves, statements = {}, []
    weights = reader.levels("conformer")
    small = [row for folder in ("conformer", "unit") for row in reader.controls(folder) if row.name == "dense-small"]
    for name, label in {"conformer": "single weights", **{name: name for name in BLOCKS}, "unit": "units"}.items():
        rows, is_structured = reader.levels(name), name != "conformer"
        if not rows:
            statements.append(unmeasured(f"{label} at the sparsest level: match dense", is_headline=is_structured))
            continue
        # Units end denser than the others: where they have as many non-zeros as single weights is compared, too.
        equal = [row for row in rows[1:-1] if of_equal_size(row, weights)]
        near = rows[scale.level(5)] if name != "unit" else equal[-1] if equal else None
        for row in dict.fromkeys((near, rows[-1])) if near else rows[-1:]:
            others = {"dense": rows[0], "a dense model of that size": of_equal_size(row, small)}
            if is_structured:
                others["single weights"] = of_equal_size(row, weights)
            for what, other in others.items():
                judge = beats if what.startswith("a dense") else matches
                statements.append(
                    statement(
                        f"{label} at {percent(row.density)}: {'beat' if judge is beats else 'match'} {what}",
                        other and row.minus(other),
                        judge=judge,
                        is_headline=is_structured and what == "dense",
                    )
                )
        curves[name] = [
            row.to_json(dense=rows[0], dense_small=of_equal_size(row, small), weights=of_equal_size(row, weights))
            for row in rows
        ]
    return {
        "statements": statements,
        "curves": curves,
        "dense_small": [row.to_json(dense=weights[0] if weights else None) for row in small],
    }


def noises(reader, scale, tests):
    """C4: dense and tickets trained with noise, tested in other noise.

    Args:
        tests: NoisyTests, or None where the noise pack is not there.
    """
    rows = reader.levels("noise") if tests else []
    if not rows:
        return {"statements": [unmeasured("the best ticket beats dense at 5 dB", is_headline=True)], "rows": []}
    dense, chosen = rows[0], best(rows)
    statements, found = [], []
    clean = [row for row in (reader.level("conformer", 0), reader.level("conformer", scale.level(5))) if row]
    for snr_db in (None, *SNRS_DB):
        reference = tests.row(dense, snr_db=snr_db)
        for row in [*rows, *clean]:
            heard = tests.row(row, snr_db=snr_db)
            found.append({"snr_db": snr_db, **heard.to_json(dense=reference)})
        difference = tests.row(chosen, snr_db=snr_db).minus(reference)
        where = "in clean speech" if snr_db is None else f"at {snr_db:g} dB"
        text = f"the best ticket ({percent(chosen.density)}) beats dense {where}"
        is_headline = snr_db == 5.0
        statements.append(statement(text, difference, judge=beats, is_headline=is_headline) | {"snr_db": snr_db})
    return {"statements": statements, "rows": found, "best": chosen.label, "sounds": tests.sounds()}


def transfers(reader, scale):
    """C5: tickets found on another corpus, trained on the target, against dense transfer and the target's own."""
    targets, statements = {}, []
    for target in TARGETS:
        own = "conformer" if target == "an4" else target
        own_level = scale.level(5) if target == "an4" else scale.source_rounds
        ways = {
            "dense": reader.level(own, 0),
            "own ticket": reader.level(own, own_level),
            "dense transfer": reader.level(f"{target}_from_libri_dense", 0),
            "transferred ticket": reader.level(f"{target}_from_libri_ticket", 0),
        }
        ticket = ways["transferred ticket"]
        for other in ("dense transfer", "own ticket", "dense"):
            difference = ticket and ways[other] and ticket.minus(ways[other])
            text = f"{target}: the transferred ticket matches {_with_article(other, target)}"
            is_headline = other == "dense transfer"
            statements.append(statement(text, difference, judge=matches, is_headline=is_headline))
        targets[target] = {
            way: row.to_json(dense=ways["dense"], dense_transfer=ways["dense transfer"], own_ticket=ways["own ticket"])
            for way, row in ways.items()
            if row is not None
        }
    return {"statements": statements, "targets": targets}


def _with_article(way, target):
    if way == "own ticket":
        return f"the ticket found on {target}"
    return f"a dense model trained on {target} alone" if way == "dense" else way
