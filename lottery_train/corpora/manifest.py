"""Manifests: one JSON object a line, one line an utterance, one file a split."""

import codecs
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from lottery_train.corpora.sound_files import file_fault
from lottery_train.errors import CorpusError
from runtime.files import write_atomic
from runtime.foreign import escape, short
from runtime.text import clean_text
from runtime.tokenizer import WORD_START

_REQUIRED = {"audio_filepath": str, "duration": (int, float), "text": str}
_OPTIONAL = {"speaker": str, "lang": str, "offset": (int, float)}
_TYPE_NAMES = {str: "a string", (int, float): "a number"}
# No recording is 115 days long: such a number is a mistake, and sample counts made of it may overflow.
_MAX_S = 1e7
_MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One recording and what is said in it.

    Args:
        audio_path: sound file.
        duration_s: length in seconds, > 0.
        text: transcript, words separated by single spaces.
        speaker: speaker identity, or None where the corpus gives none.
        lang: language tag, or None.
        offset_s: where the utterance starts inside a longer recording; None where it is the whole file.
        manifest: manifest the utterance was read from, and `line` its line number, counted from 1.
    """

    audio_path: Path
    duration_s: float
    text: str
    speaker: str | None = None
    lang: str | None = None
    offset_s: float | None = None
    manifest: Path | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def origin(self):
        """`manifest:line` where known, the sound file otherwise: what an error message should name."""
        return f"{self.manifest}:{self.line}" if self.manifest else str(self.audio_path)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An utterance left out, where it stands and why."""

    file: Path
    line: int | None
    reason: str

    def __str__(self):
        return escape(f"{self.file}: {self.reason}" if self.line is None else f"{self.file}:{self.line}: {self.reason}")


class _LineError(ValueError):
    """What is wrong with one manifest line; the reader adds where it stands."""


def _number(record, key):
    try:
        value = float(record[key])
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise _LineError(f"{key!r} is not a finite number")
    if value > _MAX_S:
        raise _LineError(f"{key!r} is {value:g} seconds, expected at most {_MAX_S:g}")
    return value


def _text(record, *, needs_text):
    """Return the transcript as tokens will spell it."""
    text = clean_text(record.get("text", ""))
    if needs_text and not text:
        raise _LineError("'text' is empty")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _LineError("'text' holds half of a surrogate pair")
    # A recogniser with such a symbol could be trained, but nothing would load it.
    wrong = sorted({character for character in text if character == WORD_START or not character.isprintable()})
    if wrong:
        names = " ".join(f"U+{ord(character):04X}" for character in wrong)
        raise _LineError(f"'text' holds characters that no token can spell: {names}")
    return text


def _audio_path(record, *, manifest):
    """Return the path of a line's recording."""
    path = manifest.parent / record["audio_filepath"]
    if fault := file_fault(path):
        name = repr(record["audio_filepath"])
        name = name if len(name) <= _MAX_NAME_CHARACTERS else f"{name[:_MAX_NAME_CHARACTERS]}…"
        raise _LineError(f"audio file {name} {fault}")
    return path


def _parse_object(line, *, needs_text):
    """Decode one line and check its keys and types; null stands for an absent optional key."""
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _LineError(f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _LineError(f"not JSON: {error.msg} at column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise _LineError(f"not usable JSON: {short(error)}") from error
    if not isinstance(record, dict):
        raise _LineError(f"expected a JSON object, found {type(record).__name__}")
    for key in _OPTIONAL:
        if record.get(key, "") is None:
            del record[key]
    for key, types in (_REQUIRED | _OPTIONAL).items():
        if key not in record:
            if key in _REQUIRED and (needs_text or key != "text"):
                raise _LineError(f"key {key!r} is missing")
        elif not isinstance(record[key], types) or isinstance(record[key], bool):
            raise _LineError(f"{key!r} must be {_TYPE_NAMES[types]}, found {short(record[key])}")
    return record


def _parse_line(line, *, manifest, number, needs_text):
    record = _parse_object(line, needs_text=needs_text)
    duration_s = _number(record, "duration")
    if duration_s <= 0:
        raise _LineError(f"'duration' must be above 0 seconds, found {short(record['duration'])}")
    offset_s = _number(record, "offset") if "offset" in record else None
    if offset_s is not None and offset_s < 0:
        raise _LineError(f"'offset' must not be negative, found {short(record['offset'])}")
    text = _text(record, needs_text=needs_text)
    return Utterance(
        audio_path=_audio_path(record, manifest=manifest), duration_s=duration_s, text=text,
        speaker=record.get("speaker"), lang=record.get("lang"), offset_s=offset_s, manifest=manifest, line=number,
    )  # fmt: skip


def read_manifest(path, *, on_error="raise", needs_text=True):
    """Read a split.

    Args:
        path: manifest; `audio_filepath` is relative to its folder. Blank lines and a byte-order mark are ignored.
        on_error: "raise" stops at the first line that cannot be used, "skip" leaves such lines out.
        needs_text: whether every line needs words; False for recordings of noise.
    Returns:
        (utterances, skipped): lists of Utterance, in file order, and of Skipped.
    Raises:
        CorpusError: the file cannot be read, no line of it can be used, or (on_error="raise") a line is not JSON,
            lacks a key, holds a wrong type, a duration that is not above 0, an empty text or points nowhere.
        ValueError: on_error is neither "raise" nor "skip".
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', found {on_error!r}")
    path = Path(path)
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise CorpusError(f"{path}: cannot read the manifest: {error.strerror}") from error
    utterances, skipped = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            utterances.append(_parse_line(line, manifest=path, number=number, needs_text=needs_text))
        except _LineError as error:
            if on_error == "raise":
                raise CorpusError(f"{path}:{number}: {error}", hint="correct the line, or remove it") from error
            skipped.append(Skipped(file=path, line=number, reason=str(error)))
    if not utterances:
        first = f"; the first of {len(skipped)} faults: {skipped[0]}" if skipped else ""
        raise CorpusError(f"{path}: no usable utterance{first}")
    return utterances, skipped


def write_manifest(path, *, utterances):
    """Write a split atomically.

    Sound files inside the manifest's folder are named relative to it, others by their absolute path. A byte of a name
    that is not UTF-8 is written as the escape `\\udc80` to `\\udcff` (PEP 383).

    Raises:
        LotteryError: the file cannot be written.
    """
    path = Path(path)
    folder = path.parent.resolve()
    lines = []
    for utterance in utterances:
        audio_path = Path(utterance.audio_path).resolve()
        if audio_path.is_relative_to(folder):
            audio_path = audio_path.relative_to(folder)
        record = {
            "audio_filepath": audio_path.as_posix(),
            "duration": utterance.duration_s,
            "text": utterance.text,
            "speaker": utterance.speaker,
            "lang": utterance.lang,
            "offset": utterance.offset_s,
        }
        record = {key: value for key, value in record.items() if value is not None}
        is_unicode = audio_path.as_posix().isprintable()
        lines.append(json.dumps(record, ensure_ascii=not is_unicode, allow_nan=False) + "\n")
    write_atomic(path, "".join(lines))


def check_characters(utterances, *, tokenizer):
    """Split utterances into those the tokens can spell and the rest.

    Args:
        utterances: iterable of Utterance.
        tokenizer: has `missing_characters(text) -> list[str]`.
    Returns:
        (usable, skipped): lists of Utterance and of Skipped, which names the manifest line and the characters.
    """
    usable, skipped = [], []
    for utterance in utterances:
        missing = tokenizer.missing_characters(utterance.text)
        if missing:
            reason = f"text holds characters outside the tokens: {short(' '.join(missing), is_quoted=False)}"
            skipped.append(Skipped(file=utterance.manifest or utterance.audio_path, line=utterance.line, reason=reason))
        else:
            usable.append(utterance)
    return usable, skipped
