"""LibriSpeech: read English audio books, 16 kHz."""

from pathlib import Path

from lottery_train.corpora.download import Archive
from lottery_train.corpora.entry import Entry, measure_entries
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError
from lottery_train.torchaudio_import import import_torchaudio
from runtime.foreign import short

HOMEPAGE = "https://www.openslr.org/12/"
# The 100-hour training part and the clean held-out parts. Source of the checksums: torchaudio.datasets.librispeech.
ARCHIVES = (
    Archive(
        url="https://www.openslr.org/resources/12/train-clean-100.tar.gz",
        sha256="d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    ),
    Archive(
        url="https://www.openslr.org/resources/12/dev-clean.tar.gz",
        sha256="76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    ),
    Archive(
        url="https://www.openslr.org/resources/12/test-clean.tar.gz",
        sha256="39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    ),
)

_SPLIT_OF_SUBSET = {
    "train-clean-100": "train",
    "train-clean-360": "train",
    "train-other-500": "train",
    "dev-clean": "dev",
    "test-clean": "test",
    "dev-other": "dev_other",
    "test-other": "test_other",
}


def _entries(dataset, *, root, subset, skipped):
    for number in range(len(dataset)):
        try:
            path, _, text, speaker, _, _ = dataset.get_metadata(number)
        except (OSError, ValueError) as error:
            skipped.append(Skipped(file=root / subset, line=None, reason=short(error)))
            continue
        audio_path = root / path
        index = audio_path.parent / f"{audio_path.stem.rpartition('-')[0]}.trans.txt"
        yield Entry(audio_path=audio_path, text=text, speaker=str(speaker), lang="en", file=index)


def read_corpus(source_dir):
    """Read whichever official parts are there, through torchaudio.datasets.LIBRISPEECH.

    Args:
        source_dir: the folder `LibriSpeech` of the archives, or the one around it.
    Returns:
        (splits, skipped): all train-* parts together are train, dev-clean is dev, test-clean is test, and the
        "other" parts, where present, are dev_other and test_other.
    Raises:
        CorpusError: no part is there.
        MissingExtraError: torchaudio is not installed.
    """
    source_dir = Path(source_dir)
    root = source_dir / "LibriSpeech" if (source_dir / "LibriSpeech").is_dir() else source_dir
    subsets = [subset for subset in _SPLIT_OF_SUBSET if (root / subset).is_dir()]
    if not subsets:
        raise CorpusError(f"{source_dir}: no LibriSpeech here: none of {', '.join(_SPLIT_OF_SUBSET)}")
    torchaudio = import_torchaudio()
    splits, skipped = {}, []
    for subset in subsets:
        dataset = torchaudio.datasets.LIBRISPEECH(root.parent, url=subset, folder_in_archive=root.name)
        entries = list(_entries(dataset, root=root, subset=subset, skipped=skipped))
        utterances, unusable = measure_entries(entries, description=subset)
        splits.setdefault(_SPLIT_OF_SUBSET[subset], []).extend(utterances)
        skipped += unusable
    return splits, skipped
