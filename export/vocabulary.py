"""Which words a bundle is restricted to, if any."""

from pathlib import Path

from export.errors import ExportError
from lottery_train.corpora import read_manifest
from lottery_train.vocabulary import words_of
from runtime.errors import LotteryError
from runtime.files import explain_os_errors
from runtime.lexicon import read_words

_HINT = "name their source with --words-from, or export with --vocabulary open"


def choose_words(ticket, *, vocabulary="auto", words_from=()):
    """Return the words that a bundle's recogniser may say, sorted, or None where any may be meant.

    Args:
        ticket: lottery_train.ticket.Ticket; what it knows of its training decides where nothing else does.
        vocabulary: "auto" takes the ticket's, "closed" where words_from is given; "open" restricts nothing.
        words_from: corpus manifests, whose texts hold the words; or lists (`.txt`), one word a line.
    Raises:
        CorpusError: a manifest cannot be used.
        ExportError: "closed", and the ticket knows no words; or "open", and words are given.
        BundleError: a word that no words.txt may hold, or too many.
    """
    if vocabulary == "open":
        if words_from:
            raise ExportError("--words-from is for a closed vocabulary", hint="leave out --vocabulary open")
        return None
    if words_from:
        return sorted({word for path in words_from for word in _read(Path(path))})
    known = ticket.vocabulary
    if vocabulary == "auto" and known.get("kind") != "closed":
        return None
    if not known.get("words"):
        raise ExportError(f"{ticket.folder}: the ticket does not carry the words of its training", hint=_HINT)
    # What a foreign ticket says is checked as what the runtime will read.
    return sorted(read_words("\n".join(map(str, known["words"])).encode(), source=ticket.folder / "ticket.json"))


def _read(path):
    if path.suffix == ".txt":
        try:
            with explain_os_errors(path):
                content = path.read_bytes()
        except LotteryError as error:
            raise ExportError(f"{path}: cannot read the words", hint=error.hint) from error
        return read_words(content, source=path)
    utterances, _ = read_manifest(path, on_error="skip")
    words = words_of(utterance.text for utterance in utterances)
    return read_words("\n".join(words).encode(), source=path)
