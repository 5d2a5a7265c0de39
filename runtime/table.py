"""A table of results: aligned text for the terminal, plain rows for the HTML report."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """Named columns and rows of text.

    Args:
        header: column names.
        rows: one tuple of text a row, as long as the header.
        num_left: leading columns that align left; the others hold numbers and align right.
    Raises:
        ValueError: a row is longer or shorter than the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_left: int = 1

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"row {row} has {len(row)} cells, the header {len(self.header)}")

    def text(self):
        """Return the table as aligned lines, the header ruled off."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]

        def line(cells):
            aligned = (
                cell.ljust(width) if column < self.num_left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            return "  ".join(aligned).rstrip()

        rule = "  ".join("-" * width for width in widths)
        return "\n".join([line(self.header), rule, *map(line, self.rows)])

    def markdown(self):
        """Return the table in Markdown."""
        lines = (self.header, ("---",) * len(self.header), *self.rows)
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value, *, digits=2, scale=1.0):
    """Return a number as text with fixed decimals, "-" for None."""
    return "-" if value is None else f"{value * scale:.{digits}f}"
