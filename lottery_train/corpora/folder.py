"""A folder of recordings with a metadata.csv: the way in for a corpus of one's own."""

from pathlib import Path

from lottery_train.corpora.corpus import SPLITS
from lottery_train.corpora.entry import Entry, measure_entries
from lottery_train.corpora.rows import read_rows
from lottery_train.errors import CorpusError
from runtime.foreign import short

HOMEPAGE = None
ARCHIVES = ()

_SPLIT_NAMES = {split: split for split in SPLITS} | {"valid": "dev", "validation": "dev", "training": "train"}


_HEADER_HINT = "the first line is `file,text`, optionally with `split`, `speaker` and `lang`"


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
    groups = {split: [] for split in SPLITS}
    skipped = []
    for number, record in read_rows(index, columns=("file", "text"), skipped=skipped, hint=_HEADER_HINT, strict=True):
        split = _split_of(record, where=f"{index}:{number}") if "split" in record else "train"
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
