"""Tables of corpora: CSV and TSV files with a header."""

import csv
import io

from lottery_train.corpora.entry import read_text
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError


def read_rows(path, *, columns, skipped, hint=None, **dialect):
    """Read a table.

    The `csv` module alone decides where a row ends: a cell in quotation marks may hold line breaks, and no other
    character (U+2028, form feed) ends a row. Blank lines are ignored.

    Args:
        path: UTF-8 text, its first row the names of the columns.
        columns: names that must be among them.
        skipped: list; rows with another number of cells than the header are appended to it as Skipped.
        hint: what to do about a header that lacks a column.
        dialect: arguments of `csv.reader`.
    Returns:
        list of (line, row): line where the row begins, counted from 1; row maps each column to its cell.
    Raises:
        CorpusError: the file cannot be read, is no table, or its header lacks a column or names one twice.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), **dialect)
    rows, header, line = [], None, 1
    try:
        for cells in reader:
            if header is None:
                header = cells
                _check_header(path, header, columns=columns, hint=hint)
            elif cells and len(cells) != len(header):
                reason = f"{len(cells)} fields, the header has {len(header)}"
                skipped.append(Skipped(file=path, line=line, reason=reason))
            elif cells:
                rows.append((line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{path}:{line}: not CSV: {error}, in the row that begins here", hint="look for a quotation mark too few"
        ) from error
    if header is None:
        _check_header(path, [], columns=columns, hint=hint)
    return rows


def _check_header(path, header, *, columns, hint):
    if missing := [column for column in columns if column not in header]:
        raise CorpusError(f"{path}:1: the header lacks {', '.join(missing)}", hint=hint)
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise CorpusError(f"{path}:1: the header names {', '.join(map(repr, twice))} twice")
