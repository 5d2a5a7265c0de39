"""What an official corpus says about a recording, before the recording itself is looked at."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from lottery_train.corpora.audio import measure_duration_s
from lottery_train.corpora.manifest import Skipped, Utterance
from lottery_train.corpora.sound_files import file_fault
from lottery_train.corpora.transcript import normalize_transcript
from lottery_train.errors import CorpusError
from runtime.errors import LotteryError
from runtime.text import decode_utf8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a corpus's own index.

    Args:
        audio_path: sound file it points to.
        text: transcript as the corpus writes it.
        file: index file, and `line` the line in it counted from 1 (None where lines mean nothing).
        speaker: speaker identity, or None.
        lang: language tag, or None.
        offset_s: start and `end_s` end of the utterance inside a longer recording; None where it is the whole file.
    """

    audio_path: Path
    text: str
    file: Path
    line: int | None = None
    speaker: str | None = None
    lang: str | None = None
    offset_s: float | None = None
    end_s: float | None = None


def _utterance(entry, *, file_durations_s):
    """Measure one entry; recordings that several entries share are measured once."""
    text = normalize_transcript(entry.text)
    if not text:
        raise CorpusError("the transcript holds no word")
    if entry.audio_path not in file_durations_s:
        if fault := file_fault(entry.audio_path):
            raise CorpusError(f"{entry.audio_path}: the recording {fault}")
        file_durations_s[entry.audio_path] = measure_duration_s(entry.audio_path)
    duration_s = file_durations_s[entry.audio_path]
    if entry.offset_s is not None:
        end_s = min(entry.end_s, duration_s)
        if not 0 <= entry.offset_s < end_s:
            raise CorpusError(f"{entry.offset_s} s to {entry.end_s} s is no part of a recording of {duration_s:.3f} s")
        duration_s = end_s - entry.offset_s
    return Utterance(
        audio_path=entry.audio_path, duration_s=round(duration_s, 6), text=text, speaker=entry.speaker,
        lang=entry.lang, offset_s=entry.offset_s,
    )  # fmt: skip


def measure_entries(entries, *, description):
    """Turn entries into utterances: transcript normalised, recording opened and measured.

    Args:
        entries: iterable of Entry.
        description: label of the progress bar.
    Returns:
        (utterances, skipped): lists of Utterance, in order, and of Skipped for recordings that are missing or
        corrupt, segments outside their recording, and transcripts without a word.
    """
    utterances, skipped, file_durations_s = [], [], {}
    for entry in tqdm(entries, desc=description, unit="file", disable=None):
        try:
            utterances.append(_utterance(entry, file_durations_s=file_durations_s))
        except CorpusError as error:
            skipped.append(Skipped(file=entry.file, line=entry.line, reason=str(error)))
    return utterances, skipped


def read_text(path):
    """Return the text of an index of a corpus, line ends as they are.

    Raises:
        CorpusError: missing, unreadable or not UTF-8.
    """
    try:
        return decode_utf8(Path(path).read_bytes(), source=path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot read: {error.strerror}") from error
    except LotteryError as error:
        raise CorpusError(str(error), hint=error.hint) from error


def read_index(path):
    """Return the lines of an index of a corpus; nothing but a line feed ends a line, and a final one begins none.

    Raises:
        CorpusError: missing, unreadable or not UTF-8.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
