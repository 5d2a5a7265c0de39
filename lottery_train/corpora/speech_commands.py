"""Speech Commands: single words spoken by thousands of people, one second each."""

from pathlib import Path

from lottery_train.corpora.download import Archive
from lottery_train.corpora.entry import Entry, measure_entries
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError
from lottery_train.torchaudio_import import import_torchaudio

HOMEPAGE = "https://arxiv.org/abs/1804.03209"
# Source of the checksum: torchaudio.datasets.speechcommands.
ARCHIVES = (
    Archive(
        url="https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
        folder="speech_commands_v0.02",
    ),
)

_VERSIONS = ("speech_commands_v0.02", "speech_commands_v0.01")
_SUBSETS = {"train": "training", "dev": "validation", "test": "testing"}


def _find_root(source_dir):
    """Return the folder that holds testing_list.txt, named after its version as torchaudio expects."""
    for version in _VERSIONS:
        for root in (source_dir, source_dir / version, source_dir / "SpeechCommands" / version):
            if root.name == version and (root / "testing_list.txt").is_file():
                return root
    raise CorpusError(
        f"{source_dir}: no Speech Commands here: no folder {' or '.join(_VERSIONS)} with a testing_list.txt",
        hint=f"unpack {ARCHIVES[0].url} into a folder {_VERSIONS[0]}",
    )


def read_corpus(source_dir):
    """Read the official layout and its official split, through torchaudio.datasets.SPEECHCOMMANDS.

    Args:
        source_dir: the folder `speech_commands_v0.02`, or one around it (torchaudio's `SpeechCommands` included).
    Returns:
        (splits, skipped): training, validation and testing as the corpus defines them. The text is the word.
    Raises:
        CorpusError: the corpus is not there.
        MissingExtraError: torchaudio is not installed.
    """
    root = _find_root(Path(source_dir).absolute())
    torchaudio = import_torchaudio()
    splits, skipped = {}, []
    for split, subset in _SUBSETS.items():
        dataset = torchaudio.datasets.SPEECHCOMMANDS(root.parent, url=root.name, folder_in_archive="", subset=subset)
        entries = []
        for number in range(len(dataset)):
            try:
                path, _, word, speaker, _ = dataset.get_metadata(number)
            except ValueError:
                reason = "expected a name such as WORD/SPEAKER_nohash_0.wav"
                skipped.append(Skipped(file=Path(dataset._walker[number]), line=None, reason=reason))
                continue
            audio_path = root.parent / path
            entries.append(Entry(audio_path=audio_path, text=word, speaker=speaker, lang="en", file=audio_path))
        splits[split], unusable = measure_entries(entries, description=f"Speech Commands {subset}")
        skipped += unusable
    return splits, skipped
