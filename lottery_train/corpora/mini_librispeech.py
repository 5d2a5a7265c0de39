"""Mini LibriSpeech: five hours of LibriSpeech's training part and two of its development part.

It has no test part: the speakers of dev-clean-2 are divided between dev and test.
"""

import re
from pathlib import Path

from lottery_train.corpora.download import Archive
from lottery_train.corpora.entry import Entry, measure_entries, read_index
from lottery_train.corpora.manifest import Skipped
from lottery_train.corpora.splits import hold_out
from lottery_train.errors import CorpusError
from runtime.foreign import short

HOMEPAGE = "https://www.openslr.org/31/"
# Source of the checksums: several public repositories agree, for files with the MD5 sums that openslr.org publishes,
# 5df7d4e78065366204ca6845bb08f490 and 6d7ab67ac6a1d2c993d050e16d61080d.
ARCHIVES = (
    Archive(
        url="https://www.openslr.org/resources/31/train-clean-5.tar.gz",
        sha256="47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d",
    ),
    Archive(
        url="https://www.openslr.org/resources/31/dev-clean-2.tar.gz",
        sha256="176ec501490eced2d6c1f89f4f0ddc7dfe799e649e5322f8ba49fe3ff50c8012",
    ),
)
# SPEAKER-CHAPTER-NUMBER
_NAME = re.compile(r"\d+-\d+-\d+", re.ASCII)
_SUBSETS = ("train-clean-5", "dev-clean-2")


def _entries(folder, *, skipped):
    for index in sorted(folder.glob("*/*/*.trans.txt")):
        for number, line in enumerate(read_index(index), start=1):
            name, _, text = line.partition(" ")
            if not _NAME.fullmatch(name):
                skipped.append(Skipped(file=index, line=number, reason=f"{short(name)} is no name of a recording"))
                continue
            audio_path, speaker = index.with_name(f"{name}.flac"), index.parent.parent.name
            yield Entry(audio_path=audio_path, text=text, speaker=speaker, lang="en", file=index, line=number)


def read_corpus(source_dir):
    """Read the two parts; torchaudio.datasets does not know them.

    Args:
        source_dir: the folder `LibriSpeech` of the archives, or the one around it.
    Returns:
        (splits, skipped): train-clean-5 is train; half of the speakers of dev-clean-2 are dev, the others test.
    Raises:
        CorpusError: a part is missing.
    """
    source_dir = Path(source_dir)
    root = source_dir / "LibriSpeech" if (source_dir / "LibriSpeech").is_dir() else source_dir
    missing = [subset for subset in _SUBSETS if not (root / subset).is_dir()]
    if missing:
        raise CorpusError(f"{root}: no Mini LibriSpeech here: {', '.join(missing)} missing", hint=f"from {HOMEPAGE}")
    skipped = []
    (train, bad), (dev, bad_dev) = (
        measure_entries(_entries(root / part, skipped=skipped), description=part) for part in _SUBSETS
    )
    halves = hold_out(dev, splits=("test",), fraction=0.49)
    splits = {"train": train, "dev": halves["train"], "test": halves["test"]}
    return splits, skipped + bad + bad_dev
