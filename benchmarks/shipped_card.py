"""What the model card of the shipped recogniser says beyond what every export's card says: its data, set by set."""

import re
from dataclasses import replace
from pathlib import Path

from runtime.files import write_atomic
from runtime.manifest import CARD_ROLE, FileEntry, Manifest
from runtime.table import Table

# Pack -> (what it is, licence).
DATA = {
    "an4": ("CMU Census (AN4), 1991: spelled letters, numbers and control words, 74 speakers", "free for any purpose"),
    "fsdd": ("Free Spoken Digit Dataset: single digits, 6 speakers, 8 kHz originals", "CC BY-SA 4.0"),
    "coffee_commands": (
        "orders for a coffee maker (Picovoice speech-to-intent benchmark), more than 50 speakers; transcripts from a "
        "grammar and a recogniser's vote, not from a person",
        "Apache-2.0",
    ),
    "embedded": ("letters, digits and commands synthesised by espeak-ng voices", "made by this package"),
    "flite": ("letters, digits and commands synthesised by flite (awb, rms, slt)", "free for any purpose"),
    "asterisk_en": ("Asterisk core sounds, one speaker (Allison Smith): first stage alone", "CC BY-SA 3.0"),
    "mini_librispeech": (
        "Mini LibriSpeech, read English, five hours: to start from, and as speech to stay silent at",
        "CC BY 4.0",
    ),
    "negatives": (
        "other languages, other English words and words that do not exist, synthesised by espeak-ng: to stay silent at",
        "made by this package",
    ),
    "noise": ("26 sounds, mixed in at 5 to 25 dB; the 8 of the test were never heard", "CC0, CC BY, public domain"),
}
_LIMITS = """\
- It knows the words of its data: spelled letters, digits and numbers, the control words of AN4 (go, help, erase, yes,
  no, start, stop ...), coffee orders. It says no other word, and is not for dictation: of general English, such as the
  announcements of `asterisk_en`, it rejects or misses most.
- Nearly all who speak in its data are adults from North America. Letters that rhyme (b, d, e, p, t, v) are easily taken
  for one another.
- The test set of `fsdd` is one speaker: its interval speaks of that one alone.
- Test speakers are not among the training speakers, but for `coffee_commands` (speakers unpublished) and `asterisk_en`
  (one speaker).
- It was measured on clean close recordings and on AN4 with noise mixed in; never on far microphones."""


def update_card(bundle, **measured):
    """Bring the card of a bundle up to date, and the manifest's entry of it.

    Args:
        bundle: its directory.
        measured: what complete_card() takes beside the card.
    Raises:
        BundleError: no bundle, or a damaged one.
        ValueError: the card lacks one of the sections.
    """
    manifest = Manifest.load(bundle)
    name = manifest.files[CARD_ROLE].path
    card = Path(bundle) / name
    write_atomic(card, complete_card(card.read_text(encoding="utf-8"), **measured))
    entry = FileEntry.of(name, bundle=bundle)
    replace(manifest, files=manifest.files | {CARD_ROLE: entry}).write(bundle)


def complete_card(card, *, scores, rtf, processor, trust=None):
    """Return a card with its error rates, its data and its limits replaced by those of the shipped recogniser.

    Its commands lose the name of the bundle: they find this one without.

    Args:
        card: text that lottery-export (or this function) wrote.
        scores: set -> Score on the test splits, streamed.
        rtf: real-time factor of one thread.
        processor: what it was measured on, in words.
        trust: (summary, details) of `benchmarks.shipped_trust`, or None where it was not measured.
    Raises:
        ValueError: the card lacks one of the sections.
    """
    rates = tuple(
        (
            name,
            f"{score.wer:.1%}",
            "{:.1%} to {:.1%}".format(*score.wer_interval),
            str(score.num_utterances),
            str(score.num_words),
        )
        for name, score in scores.items()
    )
    rates = Table(header=("test set", "WER", "95 % interval", "utterances", "words"), rows=rates).markdown()
    rates += (
        "\n\nStreamed, int8, no language model, nothing rejected (`python -m benchmarks.shipped`). The interval is a "
        f"bootstrap over utterances. Real-time factor on one thread of {processor}: {rtf:.4f}."
    )
    data = tuple((name, *DATA[name]) for name in DATA)
    data = Table(header=("pack", "what it is", "licence"), rows=data).markdown()
    data += (
        "\n\nThe weights are the mean of those trained on (85 %) and of those before (15 %); docs/shipped.md. "
        "No recording is part of this package."
    )
    if trust:
        rates += "\n\n" + _trust(*trust)
    for heading, text in (("Error rates", rates), ("Training data", data)):
        card = _replaced(card, heading, text)
    general = _section(card, "Known limits").replace(_LIMITS, "").strip()
    card = _replaced(card, "Known limits", f"{_LIMITS}\n{general}")
    commands = re.sub(r"^(    lottery-(?:transcribe|listen)) en\b", r"\1", _section(card, "How to run it"), flags=re.M)
    return _replaced(card, "How to run it", commands)


def _trust(summary, details):
    """Return what the card says of levels, rejection and other voices."""
    answers, kept = (
        "an4 {:.1%}, fsdd {:.1%}, coffee_commands {:.1%}".format(
            *(details[name][pack] for pack in ("an4", "fsdd", "coffee_commands"))
        )
        for name in ("wer_of_answers", "wer_of_kept")
    )
    levels = ", ".join(f"{gain_db} dB {wer:.1%}" for gain_db, wer in details["wer_by_gain_db"].items())
    rows = [(f"{name}: kept", f"{share:.1%}") for name, share in details["kept"].items()]
    rows += [(f"{name}: rejected or silent", f"{share:.1%}") for name, share in details["rejected"].items()]
    rows.append(("words that are no words of its training", f"{summary['non_word_rate']:.2%}"))
    rows += [
        (f"{name}, {kind}: WER of what is heard; kept", f"{found['wer']:.1%}; {found['kept']:.0%}")
        for name, kinds in details.get("synthesisers", {}).items()
        for kind, found in kinds.items()
    ]
    table = Table(header=("test clips", "share"), rows=tuple(rows)).markdown()
    return (
        f"With rejection, what is rejected counted as not recognised: {answers}; of the clips that are kept: {kept}. "
        f"AN4 at other levels, with rejection: {levels}.\n\n{table}"
    )


def _pattern(heading):
    return re.compile(rf"^## {heading}\n\n(.*?)(?=\n\n## |\Z)", re.MULTILINE | re.DOTALL)


def _section(card, heading):
    found = _pattern(heading).search(card)
    if found is None:
        raise ValueError(f"the card has no section {heading!r}")
    return found[1]


def _replaced(card, heading, text):
    _section(card, heading)
    return _pattern(heading).sub(lambda found: f"## {heading}\n\n{text}", card)
