"""A corpus: named splits, each a manifest, side by side in one folder."""

from dataclasses import dataclass
from pathlib import Path

from lottery_train.corpora.manifest import Skipped, write_manifest
from lottery_train.errors import CorpusError
from runtime.files import write_atomic

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What a recogniser is trained and measured on.

    Args:
        name: corpus name, such as "an4".
        splits: split name -> manifest; "train" is always there, "dev" and "test" nearly always.
        skipped: utterances an importer had to leave out (empty for a corpus that was only opened).
    """

    name: str
    splits: dict[str, Path]
    skipped: tuple[Skipped, ...] = ()


def _split_order(split):
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def has_manifests(folder):
    """Return whether `folder` is a corpus: it holds train.jsonl."""
    return (Path(folder) / "train.jsonl").is_file()


def open_corpus(folder, *, name):
    """Return the corpus whose manifests lie in `folder`: train.jsonl, dev.jsonl, test.jsonl and any others.

    Raises:
        CorpusError: there is no train.jsonl.
    """
    folder = Path(folder)
    if not has_manifests(folder):
        raise CorpusError(f"{folder}: no train.jsonl in this folder")
    paths = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    return Corpus(name=name, splits={split: paths[split] for split in sorted(paths, key=_split_order)})


def write_corpus(folder, *, name, splits, skipped=()):
    """Write one manifest a split, train.jsonl last: its presence says that the corpus is complete.

    Args:
        folder: may exist, but must not hold a corpus: nothing is overwritten.
        splits: split name -> list of Utterance.
        skipped: list of Skipped, listed in skipped.txt.
    Returns:
        Corpus.
    Raises:
        CorpusError: the folder holds a corpus already.
        LotteryError: the folder cannot be written; no manifest stays behind.
    """
    folder = Path(folder)
    if has_manifests(folder):
        raise CorpusError(f"{folder}: holds a corpus already", hint="remove it, or choose another output directory")
    paths = {split: folder / f"{split}.jsonl" for split in sorted(splits, key="train".__eq__)}
    try:
        if skipped:
            write_atomic(folder / "skipped.txt", "".join(f"{item}\n" for item in skipped))
        for split, path in paths.items():
            write_manifest(path, utterances=splits[split])
    except BaseException:
        for path in paths.values():
            path.unlink(missing_ok=True)
        raise
    return Corpus(name=name, splits={split: paths[split] for split in splits}, skipped=tuple(skipped))
