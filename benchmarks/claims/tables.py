"""Tables of statements and of rows, in text for people."""

from benchmarks.claims.findings import percent
from benchmarks.claims.verdict import interval_text, points
from runtime.table import Table, number

STATEMENT = ("verdict", "WER %", "against %", "difference [95 %]", "cost", "seeds")
# What a row is compared with -> its heading.
_VERSUS = {"weights": "single weights", "dense_small": "dense-small", "imp": "IMP"}


def statement_table(statements):
    """Return the Table of statements, each with its verdict, both error rates, their difference, and what it cost."""
    return Table(header=("statement", *STATEMENT), rows=tuple(map(statement_cells, statements)), num_left=2)


def statement_cells(each):
    """Return the cells of one statement, under its text and STATEMENT."""
    rates = (points(each[key], signed=False) for key in ("wer", "other_wer"))
    seeds = ", ".join(map(str, each["seeds"])) or "-"
    return (each["text"], each["verdict"], *rates, interval_text(each), number(each["cost"]), seeds)


def row_table(rows, *, first=None, versus=()):
    """Return the Table of JSON rows.

    Args:
        first: (key, heading) of a column put in front, or None.
        versus: what else each row is compared with, beside dense: keys without `minus_`; it takes the place of dev WER
            and epochs, and, beside a first column, of the ticket's path, for which there is no room then.
    """
    has_path = not (first and versus)
    header = [*(["ticket"] if has_path else []), "density", "non-zeros, k", "test WER % [95 %]", "minus dense"]
    header += [f"minus {_VERSUS.get(name, name.replace('_', ' '))}" for name in versus]
    header += [*(() if versus else ("dev WER %", "epochs")), "cost", "seeds"]
    cells = []
    for row in rows:
        low, high = (points(end, signed=False) for end in row["interval"])
        line = [row["ticket"]] if has_path else []
        line += [percent(row["density"]), number(row["num_nonzeros"] / 1000, digits=0)]
        line += [f"{points(row['wer'], signed=False)} [{low}, {high}]", minus_text(row, "dense")]
        line += [minus_text(row, name) for name in versus]
        line += [] if versus else [points(row["dev_wer"], signed=False), number(row["epochs"], digits=0)]
        line += [number(row["cost"]), ", ".join(map(str, row["seeds"]))]
        cells.append(tuple([_shown(row[first[0]])] * bool(first) + line if first else line))
    header = ([first[1]] if first else []) + header
    return Table(header=tuple(header), rows=tuple(cells), num_left=bool(first) + has_path)


def _shown(value):
    return "clean" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def minus_text(row, name):
    """Return what a JSON row is minus another, with the interval; "-" beside itself and where nothing was compared."""
    if row.get(f"minus_{name}") is None or row[f"minus_{name}_interval"] == [0, 0]:
        return "-"
    return interval_text({"minus": row[f"minus_{name}"], "interval": row[f"minus_{name}_interval"]})
