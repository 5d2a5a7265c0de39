"""What a ticket cost to find, in multiples of one dense training."""

# A step is a forward pass and a backward pass of twice its work; a teacher adds a forward pass.
_TEACHER_SHARE = 1 / 3


def trained_epochs(record):
    """Return the epochs trained for one ticket (or control) alone; what stood before its rewind point is not its own.

    Args:
        record: content of its ticket.json; those of old tickets say only where their schedule ended.
    """
    return record.get("trained_epochs", record["epochs"])


def training_costs(levels):
    """Return what it took to reach each ticket of a run: the trainings that it could not do without.

    Evaluations, ranking and masks are left out, and what the ticket of `train.init_from` took; an epoch of a sparse
    model counts as one of the dense model. With distillation every step after level 0 counts 4/3: the teacher's forward
    pass is a third of a step's work.

    Args:
        levels: ticket.json contents of a run's levels, controls not among them, in any order.
    Returns:
        level -> cost in multiples of the dense training (`train.epochs`); None where the record of a training that
        it needed is missing.
    """
    records = {record["level"]: record for record in levels}
    # Old records do not say how the dense model was trained; its own says for how long.
    dense = [record["train"]["epochs"] for record in levels if "train" in record]
    dense += [records[0]["epochs"]] if 0 in records else []
    if not dense:
        return dict.fromkeys(records)
    own = {level: _own_epochs(record) / dense[0] for level, record in records.items()}
    costs = {}
    for level, record in records.items():
        needed = _needed_levels(record)
        costs[level] = sum(own[other] for other in needed) if needed <= set(own) else None
    return costs


def _own_epochs(record):
    is_distilled = record["level"] > 0 and record["search"].get("distillation", 0) > 0
    return trained_epochs(record) * (1 + _TEACHER_SHARE * is_distilled)


def _needed_levels(record):
    if record.get("method", "iterative") == "iterative":
        return set(range(record["level"] + 1))
    return {0, record["level"]} if record["search"]["distillation"] else {record["level"]}
