"""`ticket.json` as the untrusted input it is: what any reader of a ticket may rely on."""

from pathlib import Path

from lottery_train.errors import TicketError
from runtime.errors import LotteryError
from runtime.fields import Fields
from runtime.files import read_json
from runtime.foreign import short
from runtime.manifest import MAX_CHUNK_FRAMES
from runtime.tokenizer import MAX_SYMBOLS

SCHEMA_VERSION = 1
FILES = ("mask.safetensors", "weights.safetensors")
_RETRAIN = "restore the file, or train the level again"
_MAX_BYTES = 1 << 24
_MAX_LEVEL = 10_000
_MAX_SPLITS = 64
_MAX_COUNT = 1 << 48
# Error rates can be above 1, by insertions.
_MAX_RATE = 1000
_TEXTS = ("name", "corpus", "granularity", "method")
_SEARCH_TEXTS = ("criterion", "schedule", "rewind", "scope", "method", "granularity")


def read_record(folder):
    """Return the content of a folder's `ticket.json` as a dict, checked.

    Fields that old tickets lack are checked where they are there. `model` is an object, `tokens` a list of texts; what
    they mean is for the caller to find out.

    Raises:
        TicketError: missing, no JSON, of another schema version, or a field is missing, of another type or out of
            range; names the file and the field.
    """
    path = Path(folder) / "ticket.json"
    if not path.exists():
        raise TicketError(f"{folder}: no ticket.json here", hint="name a level of a run, such as runs/an4/level_06")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise TicketError(f"{path}: larger than {_MAX_BYTES} bytes, this is no ticket", hint=_RETRAIN)
        record = read_json(path)
    except LotteryError as error:
        raise TicketError(str(error), hint=error.hint or _RETRAIN) from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise TicketError(
            f"{path}: schema version {short(version)}, this program reads version {SCHEMA_VERSION}",
            hint="use the lottery-asr release that wrote the ticket, or train the level again",
        )
    _check(Fields(record, source=path, hint=_RETRAIN, error=TicketError))
    return record


def _check(fields):
    fields.integer("level", low=0, high=_MAX_LEVEL)
    fields.integer("chunk_frames", low=1, high=MAX_CHUNK_FRAMES)
    fields.get("model", dict)
    tokens = fields.get("tokens", list)
    if len(tokens) > MAX_SYMBOLS or not all(isinstance(token, str) for token in tokens):
        fields.fail(f"is not a list of at most {MAX_SYMBOLS} texts", name="tokens")
    files = fields.child("files")
    for name in FILES:
        entry = files.child(name)
        entry.text("sha256")
        entry.integer("bytes", low=0, high=_MAX_COUNT)
    _check_texts(fields, _TEXTS)
    if "data_fingerprint" in fields and fields.get("data_fingerprint", str, type(None)) is not None:
        fields.text("data_fingerprint")
    for name in ("search", "train"):
        if name in fields:
            fields.get(name, dict)
    if "search" in fields:
        search = fields.child("search")
        _check_texts(search, _SEARCH_TEXTS)
        if "distillation" in search:
            search.number("distillation", low=0, high=1)
    if "train" in fields:
        fields.child("train").integer("epochs", low=1, high=_MAX_COUNT)
    for name in ("epochs", "trained_epochs", "trained_steps"):
        if name in fields:
            fields.number(name, low=0, high=_MAX_COUNT)
    if "seed" in fields:
        fields.get("seed", int, type(None))
    if "round_epochs" in fields:
        times = fields.get("round_epochs", list)
        if not all(type(time) in (int, float) and 0 <= time <= _MAX_COUNT for time in times):
            fields.fail("is not a list of epochs", name="round_epochs")
    _check_sizes(fields.child("sizes"))
    if "metrics" in fields:
        for split, score in fields.children("metrics", dict, limit=_MAX_SPLITS):
            _check_score(score, split=split)


def _check_texts(fields, names):
    for name in names:
        if name in fields:
            fields.text(name)


def _check_sizes(sizes):
    sizes.number("prunable_density", low=0, high=1)
    for name in ("num_weights", "num_nonzeros", "bytes"):
        sizes.integer(name, low=0, high=_MAX_COUNT)


def _check_score(score, *, split):
    if not split.isprintable():
        score.fail("is the name of no split")
    for name in ("wer", "cer"):
        if name in score:
            score.number(name, low=0, high=_MAX_RATE)
    for name in ("num_utterances", "num_words"):
        if name in score:
            score.integer(name, low=0, high=_MAX_COUNT)
    if "wer_interval" in score:
        interval = score.get("wer_interval", list)
        if len(interval) != 2 or not all(type(end) in (int, float) and 0 <= end <= _MAX_RATE for end in interval):
            score.fail(f"is {short(interval)}, expected two error rates", name="wer_interval")
