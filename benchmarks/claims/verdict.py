"""What a measured difference says of a claim: holds, fails, or undecided, by its 95 % interval alone."""

MARGIN = 0.01
HOLDS, FAILS, UNDECIDED, NOT_MEASURED = "holds", "fails", "undecided", "not measured"


def statement(text, difference, *, judge):
    """Return a claim's statement as JSON.

    Args:
        text: what is claimed.
        difference: {"minus", "interval", "seeds"} of `Row.minus`, or None where it was not measured.
        judge: `matches` or `beats`.
    """
    if difference is None:
        return {"text": text, "verdict": NOT_MEASURED, "minus": None, "interval": None, "seeds": []}
    return {"text": text, "verdict": judge(*difference["interval"]), **difference}


def matches(low, high):
    """Judge "no worse": the interval ends at most 1 point above; it fails where all of it is above 0, and not there."""
    if high <= MARGIN:
        return HOLDS
    return FAILS if low > 0 else UNDECIDED


def beats(low, high):
    """Judge "better": all of the interval is below 0; it fails where all of it is above."""
    if high < 0:
        return HOLDS
    return FAILS if low > 0 else UNDECIDED


def overall(statements):
    """Return the verdict on several statements: the one they share, or undecided; those not measured have no say."""
    found = {each["verdict"] for each in statements} - {NOT_MEASURED}
    if not found:
        return NOT_MEASURED
    return found.pop() if len(found) == 1 else UNDECIDED


def points(value, *, signed=True):
    """Return a fraction as percentage points, in words for people."""
    return "-" if value is None else f"{100 * value:{'+' if signed else ''}.1f}"


def interval_text(difference):
    """Return a difference with its interval as text: `-0.4 [-2.1, +1.3]`."""
    if difference is None or difference["minus"] is None:
        return "-"
    low, high = difference["interval"]
    return f"{points(difference['minus'])} [{points(low)}, {points(high)}]"
