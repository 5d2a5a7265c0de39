"""Where a corpus is: a folder the user names, the environment, the cache, the official address."""

import os
import sys
from pathlib import Path

from lottery_train.corpora import embedded, negatives
from lottery_train.corpora.corpus import has_manifests, open_corpus
from lottery_train.corpora.download import download_archives
from lottery_train.corpora.registry import IMPORTERS, import_corpus
from lottery_train.errors import CorpusError
from runtime.errors import LotteryError

DATA_VARIABLE = "LOTTERY_DATA"
CACHE_VARIABLE = "LOTTERY_CACHE"
_SYNTHETIC = {embedded.NAME: embedded.build, negatives.NAME: negatives.build}


def cache_dir():
    """Return where downloads and synthesised speech are kept: $LOTTERY_CACHE, or lottery-asr in the user's cache.

    Raises:
        LotteryError: neither is set, and the user has no home directory.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "lottery-asr"
    except RuntimeError as error:
        raise LotteryError(
            "no home directory: nowhere to keep features and downloads",
            hint=f"name a directory for them: {CACHE_VARIABLE}=DIR",
        ) from error


def _in_data_dir(name, *, data_dir):
    for folder in (data_dir / name, data_dir):
        if has_manifests(folder):
            return open_corpus(folder, name=name)
    source = name if name in IMPORTERS else "NAME"
    hint = f"a corpus in its official layout is read by: lottery-train import {source} {data_dir} OUT"
    if name in _SYNTHETIC:
        hint = f"it is made where --data-dir is left out; others are found with it in {DATA_VARIABLE}={data_dir}"
    raise CorpusError(f"{data_dir}: no corpus here: neither train.jsonl nor {name}/train.jsonl", hint=hint)


def _in_environment(name):
    """Look in $LOTTERY_DATA: a folder of corpora, or the corpus itself where its folder bears its name."""
    if not os.environ.get(DATA_VARIABLE):
        return None
    data_dir = Path(os.environ[DATA_VARIABLE])
    for folder in (data_dir / name, data_dir):
        if folder.name == name and has_manifests(folder):
            return open_corpus(folder, name=name)
    return None


def _download(name):
    importer = IMPORTERS[name]
    if not importer.ARCHIVES:
        where = f"; get it from {importer.HOMEPAGE}" if importer.HOMEPAGE else ""
        raise CorpusError(
            f"corpus {name!r} was not found and cannot be downloaded{where}",
            hint=f"lottery-train import {name} SOURCE OUT, then --data-dir OUT",
        )
    try:
        source_dir = download_archives(importer.ARCHIVES, folder=cache_dir() / "downloads" / name)
        corpus = import_corpus(name, source_dir=source_dir, out_dir=cache_dir() / "corpora" / name)
    except CorpusError as error:
        hint = f"name a copy with --data-dir or {DATA_VARIABLE}, or use the embedded corpus, which needs no download"
        raise CorpusError(f"corpus {name!r}: {error}", hint=error.hint or hint) from error
    if corpus.skipped:
        print(f"{name}: {len(corpus.skipped)} utterances left out, the first: {corpus.skipped[0]}", file=sys.stderr)
    return corpus


def find_corpus(name=embedded.NAME, *, data_dir=None):
    """Find a corpus, or make it.

    In this order: `data_dir`/NAME or `data_dir` itself; $LOTTERY_DATA/NAME, or $LOTTERY_DATA itself where it is
    called NAME; for a synthetic corpus, its synthesis (kept in the cache); the cache; the official download.
    Under torchrun let one process call it first.

    Args:
        name: "embedded", "negatives", a key of IMPORTERS, or any folder of manifests below data_dir or $LOTTERY_DATA.
        data_dir: folder the user named (--data-dir); where given, nothing else is looked at.
    Returns:
        Corpus.
    Raises:
        CorpusError: not there, unknown, or the download failed.
        LotteryError: the cache cannot be written, or a package of the extra `train` is missing.
    """
    if data_dir is not None:
        return _in_data_dir(name, data_dir=Path(data_dir))
    found = _in_environment(name)
    if found:
        return found
    if name in _SYNTHETIC:
        return _SYNTHETIC[name](cache_dir() / "corpora" / name)
    if has_manifests(cache_dir() / "corpora" / name):
        return open_corpus(cache_dir() / "corpora" / name, name=name)
    if name in IMPORTERS:
        return _download(name)
    known = ", ".join(sorted({*_SYNTHETIC, *IMPORTERS}))
    raise CorpusError(
        f"corpus {name!r} was not found",
        hint=f"name its folder with --data-dir, set {DATA_VARIABLE}, or use one of: {known}",
    )
