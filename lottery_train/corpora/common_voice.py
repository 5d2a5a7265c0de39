"""Common Voice: sentences read by volunteers, in many languages, as MP3 clips."""

import csv
from pathlib import Path

from lottery_train.corpora.entry import Entry, measure_entries
from lottery_train.corpora.rows import read_rows
from lottery_train.errors import CorpusError

HOMEPAGE = "https://commonvoice.mozilla.org/datasets"
ARCHIVES = ()  # handed out only to people who agree to the terms on the homepage

_COLUMNS = ("client_id", "path", "sentence")


def _entries(index, *, skipped):
    """Yield the rows of one TSV file.

    The files are written without quoting, so that a quotation mark is part of the sentence.
    torchaudio.datasets.COMMONVOICE reads them with quoting on: one sentence that opens a quotation and does not
    close it swallows the rows after it. Apart from that both give the same rows (a test compares them).
    """
    rows = read_rows(index, columns=_COLUMNS, skipped=skipped, delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, record in rows:
        name = record["path"] if Path(record["path"]).suffix else record["path"] + ".mp3"
        yield Entry(
            audio_path=index.parent / "clips" / name, text=record["sentence"], speaker=record["client_id"],
            lang=record.get("locale") or None, file=index, line=number,
        )  # fmt: skip


def read_corpus(source_dir):
    """Read the official layout of one language: train.tsv, dev.tsv, test.tsv and clips/.

    Args:
        source_dir: the language's folder, such as cv-corpus-17.0/en.
    Returns:
        (splits, skipped): the official splits, which are disjoint in speakers; the speaker is the client id.
    Raises:
        CorpusError: train.tsv is missing, or a header lacks a column.
    """
    source_dir = Path(source_dir)
    if not (source_dir / "train.tsv").is_file():
        raise CorpusError(
            f"{source_dir}: no Common Voice here, there is no train.tsv",
            hint=f"name the folder of one language, such as cv-corpus-17.0/en; download it from {HOMEPAGE}",
        )
    splits, skipped = {}, []
    for split in ("train", "dev", "test"):
        index = source_dir / f"{split}.tsv"
        if index.is_file():
            entries = list(_entries(index, skipped=skipped))
            splits[split], unusable = measure_entries(entries, description=f"Common Voice {split}")
            skipped += unusable
    return splits, skipped
