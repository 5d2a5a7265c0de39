"""The claims themselves: which rows each compares, and what follows, as plain JSON; the report adds nothing to it."""

from benchmarks.claims.noisy import SNRS_DB
from benchmarks.claims.registry import BACKBONES, BLOCKS, SCHEDULES, TARGETS
from benchmarks.claims.scores import of_equal_size
from benchmarks.claims.verdict import FAILS, MARGIN, beats, matches, statement, unmeasured

_PERCENT = "{:.1f} %"
# Searches that are set against their dense model -> what they are called. The Conformer's is done twice: with short
# levels, as the other backbones', and with whole trainings, as the paper does it.
_SEARCHES = {name: name for name in BACKBONES} | {"imp": "conformer by IMP"}
# Widths of a dense-small model are whole and move together: it comes near to a size, and is told where it does not.
_SMALL_SHARE = 0.15


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


def _distance(interval):
    """Return what an interval is ranked by where none matches: whether it fails to, then how far up it reaches."""
    return matches(*interval) == FAILS, interval[1]


def matching(reader, scale):
    """C1: tickets match the dense model, on three backbones and by IMP once more, and beat their controls."""
    backbones, statements = {}, []
    for name, label in _SEARCHES.items():
        rows = reader.levels(name)
        if not rows:
            statements.append(unmeasured(f"{label}: a ticket matches dense", is_headline=True))
            continue
        dense, found = rows[0], {split: extreme(rows, split=split) for split in ("test", "dev")}
        chosen, controls = best(rows), reader.controls(name)
        # Where none reaches the bar, the one that ends nearest to it shows how far all of them are off.
        shown = found["test"] or min(rows[1:], key=lambda row: _distance(row.minus(dense)["interval"]))
        which = "" if found["test"] else "nearest: "
        text = f"{label}: a ticket matches dense ({which}{percent(shown.density)})"
        statements.append(statement(text, shown, dense, judge=matches, is_headline=True))
        if found["dev"]:
            text = f"{label}: the extreme ticket that dev chooses matches dense ({percent(found['dev'].density)})"
            statements.append(statement(text, found["dev"], dense, judge=matches))
        text = f"{label}: the best ticket beats dense ({percent(chosen.density)})"
        statements.append(statement(text, chosen, dense, judge=beats))
        places = [place for place in reader.control_places(name) if place[1] == scale.level(5)]
        statements += _controlled(reader, name, places, label=label)
        backbones[name] = {
            "label": label,
            "rows": [row.to_json(dense=dense) for row in rows],
            "controls": [_beside(row, rows) for row in controls],
            "extreme": found["test"] and found["test"].to_json(dense=dense),
            "extreme_on_dev": found["dev"] and found["dev"].to_json(dense=dense),
            "best": chosen.to_json(dense=dense),
        }
    return {"statements": statements, "backbones": backbones}


def _controlled(reader, folder, places, *, label):
    """Yield the statements of tickets against controls of a run directory: (control, level) pairs."""
    for name, level in places:
        ticket, control = reader.level(folder, level), reader.control(folder, name, level=level)
        # Dense-longer has every weight and all of the ticket's training: to be no worse than that is a headline.
        is_headline = name == "dense-longer"
        judge, verb = (matches, "matches") if is_headline else (beats, "beats")
        text = f"{label}: the ticket of {percent(ticket.density)} {verb} {_control_text(name, ticket, control)}"
        yield statement(text, ticket, control, judge=judge, is_headline=is_headline)


def _control_text(name, ticket, control):
    if name == "dense-longer":
        return "dense trained for as long"
    if name != "dense-small" or control is None:
        return name
    return f"dense-small ({_sizes(ticket, control)})"


def _sizes(row, small):
    """Return how large a dense-small model is beside what it is compared with, in text."""
    return f"{small.num_nonzeros / 1000:.0f} k weights, the ticket {row.num_nonzeros / 1000:.0f} k"


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
        equal = [of_equal_size(row, constant) for row in rows]
        text = f"{name} beats constant at {percent(scale.density(scale.rounds))}"
        pair = (rows[-1], equal[-1]) if rows else (None, None)
        statements.append(statement(text, *pair, judge=beats, is_headline=True))
        if rows:
            # On the way the schedules' densities differ: a difference stands where they do not.
            curves[name] = [
                row.to_json(dense=constant[0], constant=other) for row, other in zip(rows, equal, strict=True)
            ]
    return {"statements": statements, "curves": curves}


def structures(reader, scale):
    """C3: single weights, blocks and units at equal non-zeros, each against a dense model of that size."""
    curves, statements = {}, []
    weights = reader.levels("conformer")
    controls = [row for folder in ("conformer", *BLOCKS, "unit") for row in reader.controls(folder)]
    small = [row for row in controls if row.name == "dense-small"]
    for name, label in {"conformer": "single weights", **{name: name for name in BLOCKS}, "unit": "units"}.items():
        rows, is_structured = reader.levels(name), name != "conformer"
        if not rows:
            statements.append(unmeasured(f"{label} at the sparsest level: match dense", is_headline=is_structured))
            continue
        # Units end denser than the others: where they have as many non-zeros as single weights is compared, too.
        equal = [row for row in rows[1:-1] if of_equal_size(row, weights)]
        near = rows[scale.level(5)] if name != "unit" else equal[-1] if equal else None
        for row in dict.fromkeys((near, rows[-1])) if near else rows[-1:]:
            text, near_small = f"{label} at {percent(row.density)}", _near_small(row, small)
            statements.append(statement(f"{text}: match dense", row, rows[0], judge=matches, is_headline=is_structured))
            size = f" ({_sizes(row, near_small)})" if near_small else ""
            beaten = f"{text}: beat dense-small{size}"
            statements.append(statement(beaten, row, near_small, judge=beats))
            if is_structured:
                other = of_equal_size(row, weights)
                statements.append(statement(f"{text}: match single weights", row, other, judge=matches))
        if is_structured:
            places = [place for place in reader.control_places(name) if place[0] != "dense-small"]
            statements += _controlled(reader, name, places, label=label)
        curves[name] = [
            row.to_json(dense=rows[0], dense_small=_near_small(row, small), weights=of_equal_size(row, weights))
            for row in rows
        ]
    return {
        "statements": statements,
        "curves": curves,
        "controls": [
            row.to_json(dense=weights[0] if weights else None)
            for row in controls
            if row in small or not row.path.startswith("conformer/")
        ],
    }


def _near_small(row, small):
    """Return the dense-small Row nearest to a sparse row's size, or None; dense itself has none beside it."""
    return of_equal_size(row, small, share=_SMALL_SHARE) if row.level else None


def noises(reader, scale, tests):
    """C4: dense and tickets trained with noise, tested in other noise.

    Args:
        tests: NoisyTests, or None where the noise pack is not there.
    """
    rows = reader.levels("noise") if tests else []
    if not rows:
        judged = unmeasured("the best ticket beats dense at 5 dB", is_headline=True)
        return {"statements": [judged], "rows": [], "has_sounds": tests is not None}
    dense, chosen = rows[0], best(rows)
    statements, found = [], []
    places = reader.control_places("noise")
    controls = {name: reader.control("noise", name, level=level) for name, level in places}
    clean = [row for row in (reader.level("conformer", 0), reader.level("conformer", scale.level(5))) if row]
    for snr_db in (None, *SNRS_DB):
        reference = tests.row(dense, snr_db=snr_db)
        for row in [*rows, *filter(None, controls.values()), *clean]:
            heard = tests.row(row, snr_db=snr_db)
            found.append({"snr_db": snr_db, **heard.to_json(dense=reference)})
        heard = tests.row(chosen, snr_db=snr_db)
        where = "in clean speech" if snr_db is None else f"at {snr_db:g} dB"
        text = f"the best ticket ({percent(chosen.density)}) beats dense {where}"
        is_headline = snr_db == 5.0
        judged = statement(text, heard, reference, judge=beats, is_headline=is_headline)
        statements.append(judged | {"snr_db": snr_db})
        text = f"the best ticket ({percent(chosen.density)}) matches dense trained for as long {where}"
        longer = controls["dense-longer"] and tests.row(controls["dense-longer"], snr_db=snr_db)
        statements.append(statement(text, longer and heard, longer, judge=matches, is_headline=is_headline))
    for name, level in places:
        if name != "dense-longer":
            pair = [row and tests.row(row, snr_db=5.0) for row in (reader.level("noise", level), controls[name])]
            text = f"the ticket of {percent(pair[0].density)} beats {name} at 5 dB"
            statements.append(statement(text, *pair, judge=beats))
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
            "dense transfer, longer": reader.level(f"{target}_from_libri_longer", 0),
            "transferred ticket": reader.level(f"{target}_from_libri_ticket", 0),
            "random mask transfer": reader.level(f"{target}_from_libri_random", 0),
        }
        # One unit for all of a target: those that start from the source train for fewer epochs than dense does.
        ways = {way: reader.counted_in(row, own) for way, row in ways.items()}
        ticket = ways["transferred ticket"]
        headlines = ("dense transfer", "dense transfer, longer")
        for other in (*headlines, "own ticket", "dense"):
            text = f"{target}: the transferred ticket matches {_in_words(other, target)}"
            statements.append(statement(text, ticket, ways[other], judge=matches, is_headline=other in headlines))
        text = f"{target}: the transferred ticket beats random pruning on the source, transferred"
        statements.append(statement(text, ticket, ways["random mask transfer"], judge=beats))
        targets[target] = {
            way: row.to_json(dense=ways["dense"], dense_transfer=ways["dense transfer"], own_ticket=ways["own ticket"])
            for way, row in ways.items()
            if row is not None
        }
    source = [reader.level("libri", 0), reader.level("libri", scale.source_rounds), *reader.controls("libri")]
    return {
        "statements": statements,
        "targets": targets,
        "source": [row.to_json(dense=source[0]) for row in source if row is not None],
    }


def _in_words(way, target):
    names = {
        "own ticket": f"the ticket found on {target}",
        "dense": f"dense, trained on {target} alone",
        "dense transfer, longer": "dense transfer, trained on the source for as long",
    }
    return names.get(way, way)
