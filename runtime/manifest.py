"""The bundle's manifest: what `manifest.json` says, checked as the untrusted input it is.

Loading proves that the description is complete and of this schema version, that every file lies inside the bundle,
and that each has the size it had when it was exported. The SHA-256 is proved for all files, or for those that are
used, when they are read: on a small board, hashing models that nobody runs would be most of the start-up time. A file
is read once, and the bytes that were hashed are what is used. The model card is for people, who may edit it: it has to
be there, no more. A signature, where one is required, is of the bytes of `manifest.json`, which hold all the hashes.
"""

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from runtime.confidence import Calibration
from runtime.errors import BundleError, LotteryError
from runtime.features import (
    ENCODER_FRAME_MS,
    FEATURE_FRAMES_PER_S,
    NUM_MELS,
    RECEPTIVE_FRAMES,
    SAMPLE_RATE_HZ,
    SUBSAMPLING,
    WINDOW_SAMPLES,
)
from runtime.fields import MAX_TEXT_CHARACTERS, Fields
from runtime.file_entry import COPY_AGAIN, FileEntry, explain_read_errors
from runtime.files import finish_interrupted, parse_json, write_json
from runtime.foreign import short
from runtime.signature import SIGNATURE_NAME, check_signature
from runtime.tokenizer import MAX_SYMBOLS

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
# Limits that no real bundle comes near; they keep a hostile one from eating the memory.
MAX_MANIFEST_BYTES = 1 << 20
MAX_ENTRIES = 64
MAX_AXES = 8
MAX_STATE_ELEMENTS = 1 << 26
MAX_CHUNK_FRAMES = 1024
MAX_LEFT_CONTEXT = 16384
MAX_INITIAL = 1 << 30
MAX_MATRICES = 1 << 12
# What one protobuf message can hold.
MAX_FILE_BYTES = 1 << 31

# Precision -> role of its model.
MODEL_ROLES = {"fp32": "model", "int8": "model_int8"}
# The file of the ticket engine.
TICKET_ROLE = "model_ticket"
CARD_ROLE = "card"
WORDS_ROLE = "words"
VOCABULARIES = ("open", "closed")

_VERIFY = ("all", "used")
_STATE_DTYPES = ("float32", "int64")
_GIVE_BUNDLE = "give the directory that lottery-export wrote"
_RE_EXPORT = "re-run lottery-export on the ticket"
# What runtime/features.py computes: a bundle that asks for anything else would be fed the wrong numbers.
_FRONT_END = {
    "sample_rate_hz": SAMPLE_RATE_HZ,
    "window_ms": WINDOW_SAMPLES * 1000 // SAMPLE_RATE_HZ,
    "hop_ms": 1000 // FEATURE_FRAMES_PER_S,
    "num_mels": NUM_MELS,
    "subsampling": SUBSAMPLING,
    "blank": 0,
}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a model is fed: sizes of a chunk in and out.

    Args:
        chunk_frames: encoder frames (40 ms) that one step returns.
        left_context: encoder frames before a chunk that the caches hold.
        vocab_size: symbols, blank included.
        subsampling: feature frames an encoder frame.
        num_mels: feature bins.
        blank: index of the CTC blank.
    """

    chunk_frames: int
    left_context: int
    vocab_size: int
    subsampling: int = SUBSAMPLING
    num_mels: int = NUM_MELS
    blank: int = 0

    @property
    def window_frames(self):
        """Feature frames (10 ms) that one step reads."""
        return (self.chunk_frames - 1) * self.subsampling + RECEPTIVE_FRAMES

    @property
    def shift_frames(self):
        """Feature frames between the starts of two steps."""
        return self.chunk_frames * self.subsampling

    @property
    def frame_s(self):
        """Seconds an encoder frame stands for: 0.04."""
        return ENCODER_FRAME_MS / 1000


@dataclass(frozen=True, kw_only=True)
class StateSpec:
    """One recurrent input of the model: name, shape (-1 stands for the batch), dtype and the value it starts with."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    initial: float = 0


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is: its model's geometry and states, its files, and where it came from.

    Args:
        name: short name for tables and transcripts.
        created_by: program and version that wrote the bundle.
        chunk_frames, left_context, vocab_size: see Geometry.
        states: the model's recurrent inputs, in the order of the graph's inputs after `x`.
        files: role -> FileEntry; `tokens` and `model` or `model_int8` always, `model_ort`, `ort_operators`,
            `model_ticket`, `words`, `parity`, `card` if made.
        engine: what `model_ticket` holds, None where there is none: {"precision": "fp32" or "int8", "target": kind of
            processor it is meant for, "formats": {name of a matrix: name of its format}}. Target and formats are for
            people: the file itself says how it is read.
        vocabulary: "closed" where no word outside `words.txt` is ever meant, else "open".
        confidence: Calibration, None where nobody calibrated the bundle: then nothing is rejected.
        provenance: ticket, density, sizes, WER: for people and the benchmark; never acted upon.
    """

    name: str
    created_by: str
    chunk_frames: int
    left_context: int
    vocab_size: int
    states: tuple[StateSpec, ...]
    files: dict[str, FileEntry]
    engine: dict | None = None
    vocabulary: str = "open"
    confidence: Calibration | None = None
    provenance: dict = field(default_factory=dict)

    @property
    def geometry(self):
        """The Geometry of the model."""
        return Geometry(chunk_frames=self.chunk_frames, left_context=self.left_context, vocab_size=self.vocab_size)

    @property
    def models(self):
        """The (backend, precision) pairs that the bundle has a model for, onnxruntime's first."""
        found = [("onnxruntime", precision) for precision, role in MODEL_ROLES.items() if role in self.files]
        return found + ([("engine", self.engine["precision"])] if self.engine else [])

    @classmethod
    def load(cls, bundle, *, verify="all", require_signature=None):
        """Read and verify a bundle directory.

        Args:
            bundle: the directory.
            verify: "all" checks the SHA-256 of every file but the card; "used" leaves it to `read`, by which whoever
                uses a file gets its content. Presence, place and size of all files are checked in any case.
            require_signature: path of an Ed25519 public key (PEM) that must have signed `manifest.json`; None: no
                signature is looked at.
        Raises:
            BundleError: not a bundle, another schema version, a wrong type or range (the field is named), a path that
                leaves the bundle, a file that is missing, truncated or altered, or the signature is missing or wrong.
            LotteryError: the public key cannot be read.
            MissingExtraError: a signature is required, and the package that checks it is not installed.
            ValueError: an unknown `verify`.
        """
        if verify not in _VERIFY:
            raise ValueError(f"verify is {verify!r}, expected one of {', '.join(_VERIFY)}")
        path = Path(bundle) / MANIFEST_NAME
        with explain_read_errors(bundle):
            manifest = cls.from_json(_read(path, require_signature=require_signature), source=path)
        for role, entry in manifest.files.items():
            entry.check_place(bundle)
            if role != CARD_ROLE:
                entry.check_size(bundle)
        if verify == "all":
            for role in manifest.files:
                if role != CARD_ROLE:
                    manifest.read(role, bundle=bundle)
        return manifest

    def read(self, role, *, bundle):
        """Return the content of a file of the bundle as bytes, after checking its size and SHA-256.

        It is read once: whoever uses the content uses what was hashed.

        Args:
            role: key of `files`.
            bundle: the directory that this manifest was loaded from.
        Raises:
            BundleError: the file is missing, truncated or altered.
        """
        return self.files[role].read(bundle)

    def write(self, bundle):
        """Write `manifest.json` into the directory `bundle`, atomically, after checking it as load() will."""
        path = Path(bundle) / MANIFEST_NAME
        value = self.to_json()
        self.from_json(value, source=path)
        write_json(path, value)

    def to_json(self):
        """Return the JSON object of `manifest.json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "created_by": self.created_by,
            **_FRONT_END,
            "chunk_frames": self.chunk_frames,
            "left_context": self.left_context,
            "vocab_size": self.vocab_size,
            "states": [asdict(state) | {"shape": list(state.shape)} for state in self.states],
            "files": {role: asdict(entry) for role, entry in self.files.items()},
            **({} if self.engine is None else {"engine": self.engine}),
            **({} if self.vocabulary == "open" else {"vocabulary": self.vocabulary}),
            **({} if self.confidence is None else {"confidence": self.confidence.to_json()}),
            "provenance": self.provenance,
        }

    @classmethod
    def from_json(cls, value, *, source):
        """Check a parsed `manifest.json` and return the Manifest; `source` names it in errors."""
        fields = Fields(value, source=source, hint=_RE_EXPORT)
        _check_schema_version(fields)
        for name, supported in _FRONT_END.items():
            if fields.integer(name, low=0, high=1 << 31) != supported:
                raise BundleError(
                    f"{source}: {name} is {value[name]}, this runtime computes {supported}", hint=_RE_EXPORT
                )
        manifest = cls(
            name=fields.text("name"),
            created_by=fields.text("created_by"),
            chunk_frames=fields.integer("chunk_frames", low=1, high=MAX_CHUNK_FRAMES),
            left_context=fields.integer("left_context", low=0, high=MAX_LEFT_CONTEXT),
            vocab_size=fields.integer("vocab_size", low=2, high=MAX_SYMBOLS),
            states=tuple(_state(child) for _, child in fields.children("states", list, limit=MAX_ENTRIES)),
            files={role: _entry(child) for role, child in fields.children("files", dict, limit=MAX_ENTRIES)},
            engine=_engine(value["engine"], source=source) if "engine" in value else None,
            vocabulary=fields.text("vocabulary") if "vocabulary" in value else "open",
            confidence=Calibration.from_json(value["confidence"], source=source, hint=_RE_EXPORT)
            if "confidence" in value
            else None,
            provenance=fields.get("provenance", dict),
        )
        if "tokens" not in manifest.files:
            raise BundleError(f"{source}: files has no 'tokens'", hint=_RE_EXPORT)
        if not any(role in manifest.files for role in MODEL_ROLES.values()):
            raise BundleError(f"{source}: files has neither of {', '.join(MODEL_ROLES.values())}", hint=_RE_EXPORT)
        if manifest.vocabulary not in VOCABULARIES:
            fields.fail(
                f"is {short(manifest.vocabulary)}, expected one of {', '.join(VOCABULARIES)}", name="vocabulary"
            )
        if manifest.vocabulary == "closed" and WORDS_ROLE not in manifest.files:
            raise BundleError(f"{source}: vocabulary is 'closed', and files has no {WORDS_ROLE!r}", hint=_RE_EXPORT)
        if (TICKET_ROLE in manifest.files) != (manifest.engine is not None):
            raise BundleError(f"{source}: engine and files[{TICKET_ROLE!r}] go together", hint=_RE_EXPORT)
        if sum(abs(math.prod(state.shape)) for state in manifest.states) > MAX_STATE_ELEMENTS:
            raise BundleError(f"{source}: the states have more than {MAX_STATE_ELEMENTS} elements", hint=_RE_EXPORT)
        if len({state.name for state in manifest.states}) != len(manifest.states):
            raise BundleError(f"{source}: two states have the same name", hint=_RE_EXPORT)
        return manifest


def _read(path, *, require_signature):
    """Return the parsed manifest; the bytes that are parsed are those whose signature is checked."""
    bundle = path.parent
    if not bundle.exists():
        # An export that was killed between two renames left it under another name.
        finish_interrupted(bundle)
    if not path.is_file():
        if not bundle.exists():
            raise BundleError(f"{bundle}: no such bundle", hint=_GIVE_BUNDLE)
        if (bundle / "ticket.json").is_file():
            raise BundleError(f"{bundle}: a ticket, not a bundle", hint=f"lottery-export {bundle} --out BUNDLE")
        if bundle.is_file():
            hint = (
                f"is it sound? lottery-transcribe {bundle}, lottery-listen --replay {bundle}, lottery-bench --audio ..."
            )
            raise BundleError(f"{bundle}: a file, not a bundle", hint=hint)
        raise BundleError(f"{bundle}: not a bundle, it has no {MANIFEST_NAME}", hint=_GIVE_BUNDLE)
    with open(path, "rb") as file:
        content = file.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes, this is no manifest", hint=COPY_AGAIN)
    if require_signature is not None:
        check_signature(content, path=path.with_name(SIGNATURE_NAME), key=require_signature)
    try:
        return parse_json(content, source=path)
    except LotteryError as error:
        raise BundleError(str(error), hint=COPY_AGAIN) from error


def _check_schema_version(fields):
    version = fields.get("schema_version", int)
    if version == SCHEMA_VERSION:
        return
    hint = "pip install --upgrade lottery-asr" if version > SCHEMA_VERSION else _RE_EXPORT
    raise BundleError(
        f"{fields.source}: a bundle from another schema version: {short(version)}, this "
        f"lottery-asr reads {SCHEMA_VERSION}",
        hint=hint,
    )


def _state(fields):
    shape = tuple(fields.get("shape", list))
    if len(shape) > MAX_AXES:
        fields.fail(f"has {len(shape)} axes, at most {MAX_AXES} are supported", name="shape")
    batch_axes = sum(1 for size in shape if size == -1)
    num_elements = 1
    for size in shape:
        if type(size) is not int or not (size == -1 or 0 <= size <= MAX_STATE_ELEMENTS):
            fields.fail(f"holds {short(size)}, expected sizes, or -1 for the batch", name="shape")
        num_elements *= abs(size)
    if batch_axes != 1 or num_elements > MAX_STATE_ELEMENTS:
        fields.fail(f"is {short(shape)}, expected one -1 and at most {MAX_STATE_ELEMENTS} elements", name="shape")
    dtype = fields.text("dtype")
    if dtype not in _STATE_DTYPES:
        fields.fail(f"is {short(dtype)}, expected one of {', '.join(_STATE_DTYPES)}", name="dtype")
    initial = fields.get("initial", int, float)
    if not abs(initial) <= MAX_INITIAL or (dtype == "int64" and type(initial) is not int):
        fields.fail(f"is {short(initial)}, expected a number of dtype {dtype}", name="initial")
    return StateSpec(name=fields.text("name"), shape=shape, dtype=dtype, initial=initial)


def _engine(value, *, source):
    """Check the field `engine` and return it."""
    fields = Fields(value, source=source, key="engine", hint=_RE_EXPORT)
    precision, names = fields.text("precision"), fields.get("formats", dict)
    if precision not in MODEL_ROLES:
        fields.fail(f"is {short(precision)}, expected one of {', '.join(MODEL_ROLES)}", name="precision")
    if len(names) > MAX_MATRICES:
        fields.fail(f"has {len(names)} entries, at most {MAX_MATRICES} are supported", name="formats")
    for name in names:
        if not 0 < len(name) <= MAX_TEXT_CHARACTERS or not name.isprintable():
            fields.fail(f"names a matrix {short(name)}, expected printable characters", name="formats")
    formats = Fields(names, source=source, key="engine.formats", hint=_RE_EXPORT)
    return {
        "precision": precision,
        "target": fields.text("target"),
        "formats": {name: formats.text(name) for name in names},
    }


def _entry(fields):
    path, digest = fields.text("path"), fields.text("sha256")
    parts = PurePosixPath(path).parts
    if "\\" in path or ":" in path or PurePosixPath(path).is_absolute() or ".." in parts or not parts:
        fields.fail(f"is {short(path)}, expected a path inside the bundle", name="path")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        fields.fail(f"is {short(digest)}, expected 64 hex digits", name="sha256")
    return FileEntry(path=path, sha256=digest, bytes=fields.integer("bytes", low=0, high=MAX_FILE_BYTES))
