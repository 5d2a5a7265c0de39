"""TED-LIUM, releases 1 to 3: English talks, cut into segments by their STM files."""

import re
from pathlib import Path

from lottery_train.corpora.download import Archive
from lottery_train.corpora.entry import Entry, measure_entries
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError
from lottery_train.torchaudio_import import import_torchaudio
from runtime.foreign import short

HOMEPAGE = "https://www.openslr.org/51/"
# Release 1, the smallest. Source of the checksum: torchaudio.datasets.tedlium.
ARCHIVES = (
    Archive(
        url="https://www.openslr.org/resources/7/TEDLIUM_release1.tar.gz",
        sha256="30301975fd8c5cac4040c261c0852f57cfa8adbbad2ce78e77e4986957445f27",
    ),
)

_RELEASES = {
    "TEDLIUM_release-3": "release3",
    "TEDLIUM_release2": "release2",
    "TEDLIUM_release1": "release1",
}
# Pronunciation variants "(2)", and marks of noise such as {NOISE}, <sil>, [laughter].
_MARKS = re.compile(r"\(\d+\)|\{[^}]*\}|\[[^]]*\]|<(?!unk>)[^>]*>", re.IGNORECASE)
_DETACHED_SUFFIX = re.compile(r"(\w) '(?=\w)")
_NOT_SCORED = "ignore_time_segment_in_scoring"


def _clean(transcript):
    """Drop marks and join the detached endings of the STM files: "it 's" becomes "it's"."""
    return _DETACHED_SUFFIX.sub(r"\1'", " ".join(_MARKS.sub(" ", transcript).split()))


def _segment_reader(torchaudio):
    """Return TEDLIUM with audio loading replaced, as its documentation invites: only the segment's place is wanted."""

    class Segments(torchaudio.datasets.TEDLIUM):
        def _load_audio(self, path, start_time, end_time, sample_rate=16000):
            return (Path(path), float(start_time), float(end_time)), sample_rate

    return Segments


def _entries(dataset, *, excluded_talks, skipped):
    for number in range(len(dataset)):
        talk, line = dataset._filelist[number]
        stm = Path(dataset._path) / "stm" / f"{talk}.stm"
        if talk in excluded_talks:
            continue
        try:
            (audio_path, offset_s, end_s), _, text, _, speaker, _ = dataset[number]
        except ValueError:
            skipped.append(Skipped(file=stm, line=line + 1, reason="expected seven fields, two of them times"))
            continue
        text = _clean(text)
        if text == _NOT_SCORED:
            continue
        if "<unk>" in text.lower():
            skipped.append(Skipped(file=stm, line=line + 1, reason="the transcript holds an unknown word"))
            continue
        yield Entry(
            audio_path=audio_path, text=text, speaker=speaker, lang="en", offset_s=offset_s, end_s=end_s,
            file=stm, line=line + 1,
        )  # fmt: skip


def read_corpus(source_dir):
    """Read the newest release that is there, through torchaudio.datasets.TEDLIUM.

    Nothing is copied: utterances are parts (`offset`, `duration`) of the talks' SPHERE files.

    Args:
        source_dir: the folder that holds TEDLIUM_release1, TEDLIUM_release2 or TEDLIUM_release-3, or that folder.
    Returns:
        (splits, skipped): train, dev and test as released. Segments the corpus excludes from scoring are left out
        silently; those with unknown words are counted as skipped. Talks of dev and test never enter train.
    Raises:
        CorpusError: no release is there, or a part of it is missing.
        MissingExtraError: torchaudio is not installed.
    """
    source_dir = Path(source_dir).absolute()
    roots = [root for name in _RELEASES for root in (source_dir, source_dir / name) if root.name == name]
    root = next((root for root in roots if root.is_dir()), None)
    if root is None:
        raise CorpusError(f"{source_dir}: no TED-LIUM here: none of {', '.join(_RELEASES)}")
    segments = _segment_reader(import_torchaudio())
    splits, skipped, held_out_talks = {}, [], set()
    for split in ("test", "dev", "train"):
        try:
            dataset = segments(root.parent, release=_RELEASES[root.name], subset=split)
        except UnicodeDecodeError as error:
            raise CorpusError(f"{root}: part {split}: a file in stm is not UTF-8 text: {error.reason}") from error
        except (OSError, RuntimeError) as error:
            raise CorpusError(f"{root}: part {split} is incomplete: {short(error)}") from error
        entries = list(_entries(dataset, excluded_talks=held_out_talks if split == "train" else (), skipped=skipped))
        splits[split], unusable = measure_entries(entries, description=f"TED-LIUM {split}")
        skipped += unusable
        held_out_talks |= {talk for talk, _ in dataset._filelist}
    return splits, skipped
