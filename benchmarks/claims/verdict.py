"""What a measured difference says of a claim: holds, fails, or undecided, by its 95 % interval alone."""

MARGIN = 0.01
HOLDS, FAILS, UNDECIDED, MIXED, NOT_MEASURED = "holds", "fails", "undecided", "mixed", "not measured"
PARTLY = "partly measured"


def statement(text, row, other, *, judge, is_headline=False):
    """Return a claim's statement as JSON.

    Args:
        text: what is claimed.
        row, other: Row that it speaks of, and Row that this is compared with; None where not measured.
        judge: `matches` or `beats`.
        is_headline: whether the verdict on the claim hangs on it.
    """
    difference = row and other and row.minus(other)
    if not difference:
        return unmeasured(text, is_headline=is_headline)
    return {
        "text": text,
        "is_headline": is_headline,
        "verdict": judge(*difference["interval"]),
        "wer": row.over(difference["seeds"]).wer,
        "other_wer": other.over(difference["seeds"]).wer,
        "cost": row.cost,
        **difference,
    }


def unmeasured(text, *, is_headline=False):
    """Return a statement without numbers."""
    empty = dict.fromkeys(("wer", "other_wer", "cost", "minus", "interval"))
    return {"text": text, "is_headline": is_headline, "verdict": NOT_MEASURED, **empty, "seeds": []}


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
    """Return the verdict on a claim: the one its headlines share, else mixed; it says where some are not measured."""
    found = {each["verdict"] for each in statements if each["is_headline"]}
    measured = found - {NOT_MEASURED}
    if not measured:
        return NOT_MEASURED
    verdict = measured.pop() if len(measured) == 1 else MIXED
    return f"{verdict} ({PARTLY})" if NOT_MEASURED in found else verdict


def points(value, *, signed=True):
    """Return a fraction as percentage points, in words for people."""
    return "-" if value is None else f"{100 * value:{'+' if signed else ''}.1f}"


def interval_text(difference):
    """Return a difference with its interval as text: `-0.4 [-2.1, +1.3]`."""
    if difference is None or difference["minus"] is None:
        return "-"
    low, high = difference["interval"]
    return f"{points(difference['minus'])} [{points(low)}, {points(high)}]"
