"""A folder of recordings with a metadata.csv: the way in for a corpus of one's own."""

import csv
from pathlib import Path

from lottery_train.corpora.corpus import SPLITS
from lottery_train.corpora.entry import Entry, measure_entries, read_index
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError
from runtime.foreign import short

HOMEPAGE = None
ARCHIVES = ()

_SPLIT_NAMES = {split: split for split in SPLITS} | {"valid": "dev", "validation": "dev", "training": "train"}


def _rows(index):
    """Return ([(line number, record)], column names) of a CSV file with a header."""
    reader = csv.DictReader(read_index(index), strict=True)
    try:
        columns = reader.fieldnames or []
        missing = [column for column in ("file", "text") if column not in columns]
        if missing:
            raise CorpusError(
                f"{index}:1: the header lacks {', '.join(missing)}",
                hint="the first line is `file,text`, optionally with `split`, `speaker` and `lang`",
            )
        return [(reader.line_num, record) for record in reader], columns
    except csv.Error as error:
        raise CorpusError(f"{index}:{reader.line_num}: not CSV: {short(error)}") from error


def _split_of(record, *, where):
    split = _SPLIT_NAMES.get(record["split"].strip().lower())
    if split is None:
        raise CorpusError(f"{where}: split must be {', '.join(SPLITS)}, found {short(record['split'])}")
    return split


def read_corpus(source_dir):
    """Read metadata.csv: columns `file` (relative to it) and `text`, optionally `split`, `speaker`, `lang`.

    Returns:
        (splits, skipped): as the column `split` says; without one everything is train, and import_corpus holds dev
        and test out of it.
    Raises:
        CorpusError: metadata.csv is missing or not CSV, lacks a column, or names an unknown split.
    """
    index = Path(source_dir) / "metadata.csv"
    rows, columns = _rows(index)
    groups = {split: [] for split in SPLITS}
    skipped = []
    for number, record in rows:
        if None in record or None in record.values():
            skipped.append(Skipped(file=index, line=number, reason=f"expected {len(columns)} fields"))
            continue
        split = _split_of(record, where=f"{index}:{number}") if "split" in columns else "train"
        entry = Entry(
            audio_path=index.parent / record["file"], text=record["text"], speaker=record.get("speaker") or None,
            lang=record.get("lang") or None, file=index, line=number,
        )  # fmt: skip
        groups[split].append(entry)
    splits = {}
    for split, entries in groups.items():
        splits[split], unusable = measure_entries(entries, description=f"{index.parent.name} {split}")
        skipped += unusable
    return splits, skipped
