"""The model card: a bundle's README.md, made from the ticket's record and from what the export measured."""

import re
import textwrap
from collections import Counter

from export.verify import summary
from lottery_train.outcome import failure_note
from runtime.features import ENCODER_FRAME_MS
from runtime.table import Table

# What sherpa-onnx's features hold back at the end, rounded up; docs/devices.md.
_SHERPA_TAIL_MS = 200
ZEROS_NOTE = (
    "The pruned weights are zeros inside full-size matrices. They make the compressed file smaller, and nothing else: "
    "onnxruntime multiplies zeros like any other number, so this model takes the time and the memory of the dense one. "
    "To make a ticket faster, train it with --granularity unit and export it with --structured."
)
ENGINE_NOTE = (
    "In the ONNX files the pruned weights are zeros inside full-size matrices, which onnxruntime multiplies like any "
    "other number: it takes the time and the memory of the dense model. model.ticket leaves them out, and the ticket "
    "engine does not multiply them."
)

_SAME = "this model computes what the masked one does"
_UNCALIBRATED = (
    "Not calibrated: it answers to everything, and the word confidences are softmax values. `lottery-export calibrate` "
    "mends that with dev sets of what it is for and what it is not for."
)


def zeros_note(provenance, *, engine):
    """Return what a user of a model with zeros must know, or None where there are none.

    Args:
        provenance, engine: of the manifest.
    """
    if provenance["structured"] or provenance["num_nonzeros"] == provenance["num_weights"]:
        return None
    is_sparse = engine is not None and any(not name.startswith("dense") for name in engine["formats"].values())
    return ENGINE_NOTE if is_sparse else ZEROS_NOTE


def summarise_formats(formats):
    """Return how many matrices have which format: `12 csr_i8, 4 dense_i8`."""
    counts = Counter(formats.values())
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts))


def model_card(*, name, record, provenance, container, parity, engine, num_bytes, num_words=None):
    """Return the text of the card (Markdown).

    Args:
        name: the bundle's name.
        record: content of the ticket's `ticket.json`.
        provenance: of the manifest.
        container: Container of the exported model.
        parity: content of `parity.json`.
        engine: of the manifest.
        num_bytes: file name -> (bytes, bytes after zip compression).
        num_words: of a closed vocabulary; None for an open one.
    """
    chunk_ms = container.chunk_frames * ENCODER_FRAME_MS
    context_s = container.config.left_context_frames * ENCODER_FRAME_MS / 1000
    sections = [
        f"# {name}",
        _text(
            f"A streaming speech recogniser (Conformer-CTC, {provenance['num_weights']:,} weights) for 16 kHz speech. "
            f"It hears {chunk_ms} ms at a time and remembers the {context_s:g} s before. lottery-export made it from a "
            "lottery ticket: a sub-network found by pruning, trained to the accuracy below."
        ),
        "## Error rates",
        *_error_rates(record, chunk_ms=chunk_ms),
        "## Confidence",
        _text(_UNCALIBRATED),
        "## Sizes",
        *_sizes(provenance, engine=engine, num_bytes=num_bytes),
        "## Method",
        _text(_method(record, provenance=provenance)),
        "## Training data",
        _text(_data(record)),
        "## Verification",
        *_verification(parity),
        "## Known limits",
        _limits(container=container, num_words=num_words),
        "## How to run it",
        _usage(name, files=num_bytes, chunk_ms=container.chunk_frames * ENCODER_FRAME_MS),
    ]
    return "\n\n".join(sections) + "\n"


def with_confidence(card, figures):
    """Return a card whose section on confidence tells the figures of a calibration; cards without one get it.

    Args:
        card: text of a model card.
        figures: what calibrate_bundle returns.
    """
    section = "\n\n".join(["## Confidence", *_confidence(figures)])
    found = re.search(r"^## Confidence\n.*?(?=\n\n## |\n*\Z)", card, re.MULTILINE | re.DOTALL)
    if found:
        return card[: found.start()] + section + card[found.end() :]
    place = re.search(r"^## ", card.partition("\n## ")[2], re.MULTILINE)
    start = len(card) if place is None else card.index("\n## ") + len("\n## ") + place.start()
    return f"{card[:start].rstrip()}\n\n{section}\n\n{card[start:]}".rstrip() + "\n"


def _confidence(figures):
    rows = [
        [record["set"], record["num_utterances"], _percent(record.get("kept")), _percent(record.get("rejected"))]
        for record in figures["sets"]
    ]
    note = (
        f"Calibrated on the dev sets below and on nothing else. An utterance whose confidence is below "
        f"{figures['min_confidence']:g} is rejected (`--min-confidence`, 0 switches it off): of the utterances that it "
        f"is for {_percent(figures['kept'])} were kept, of the others {_percent(figures['rejected'])} rejected or "
        "silent. A word's confidence is the probability that it is right, for speech of the first kind."
    )
    return [_text(note), _table(["dev set", "utterances", "kept", "rejected or silent"], rows)]


def _text(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _table(header, rows):
    return Table(header=tuple(header), rows=tuple(tuple(map(str, row)) for row in rows)).markdown()


def _percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def _error_rates(record, *, chunk_ms):
    metrics = record.get("metrics", {})
    if not metrics:
        return ["The ticket records none."]
    rows = []
    for split, score in metrics.items():
        low, high = score.get("wer_interval", (None, None))
        counts = [score.get(count, "-") for count in ("num_utterances", "num_words")]
        rows.append(
            [
                split,
                _percent(score.get("wer")),
                f"{_percent(low)} to {_percent(high)}",
                _percent(score.get("cer")),
                *counts,
            ]
        )
    measured_ms = record["chunk_frames"] * ENCODER_FRAME_MS
    note = (
        f"Measured in float32 at {measured_ms} ms chunks with greedy decoding and no language model. The interval is a "
        "95 % bootstrap over utterances. The int8 model was compared with the float32 one (below), not scored on these "
        "splits."
    )
    if failure := failure_note(record):
        note = f"**Do not use it: {failure}.** {note}"
    if measured_ms != chunk_ms:
        note += f" **This bundle runs at {chunk_ms} ms chunks, where the rates differ.**"
    return [_table(["split", "WER", "interval", "CER", "utterances", "words"], rows), _text(note)]


def _sizes(provenance, *, engine, num_bytes):
    weights, nonzeros, dense = (provenance[key] for key in ("num_weights", "num_nonzeros", "dense_weights"))
    figures = [
        ["density of the prunable weights", _percent(provenance["density"])],
        ["weights", f"{weights:,} ({_percent(weights / dense)} of the dense model's {dense:,})"],
        ["non-zero weights", f"{nonzeros:,} ({_percent(nonzeros / dense)})"],
    ]
    files = [[name, f"{size:,}", f"{zipped:,}"] for name, (size, zipped) in num_bytes.items()]
    sections = [_table(["size", "of this model"], figures), _table(["file", "bytes", "bytes, zip-compressed"], files)]
    if engine is not None:
        sections.append(_text(f"Matrices in model.ticket, by format: {summarise_formats(engine['formats'])}."))
    if (note := zeros_note(provenance, engine=engine)) is not None:
        sections.append(_text(note))
    return sections


def _method(record, *, provenance):
    search = record.get("search", {})
    if provenance["density"] >= 1:
        origin = "A dense model: nothing is pruned."
    else:
        origin = (
            f"Level {provenance['level']} of an iterative search: train, prune the {provenance['granularity']}s that "
            f"matter least, rewind, train again. Criterion {search.get('criterion', 'unknown')}, schedule "
            f"{search.get('schedule', 'unknown')}, rewinding {search.get('rewind', 'unknown')}."
        )
    if provenance["structured"]:
        origin += (
            " The attention heads, feed-forward neurons and convolution channels that the ticket masks were then "
            f"removed: {'what was left was trained on' if 'shrunk' in record else _SAME}."
        )
    return f"{origin} Name {record.get('name', 'unknown')}, seed {record.get('seed', 'unknown')}."


def _data(record):
    fingerprint = str(record.get("data_fingerprint", "unknown"))
    return (
        f"Corpus {record.get('corpus', 'unknown')}, fingerprint {fingerprint[:16]}. The model knows the accents, "
        "microphones, rooms and words of that corpus; on others expect more errors."
    )


def _verification(parity):
    rows = [
        [parity["stages"][stage]["compares"], f"{largest:.2g}", f"{mean:.2g}", f"{bound:.2g}", _percent(agreement)]
        for stage, largest, mean, bound, agreement in summary(parity)
    ]
    signal = parity["signal"]
    long_chunks = f" ({signal['num_long_chunks']} for int8 and the engine)" if "num_long_chunks" in signal else ""
    note = (
        f"Differences of log-probabilities (natural log) over {signal['num_chunks']} chunks{long_chunks} that carry "
        "state, on a synthetic speech-like signal; `parity.json` has the reasons for the bounds."
    )
    return [_table(["step", "largest", "mean", "bound", "same best symbol"], rows), _text(note)]


def _limits(*, container, num_words):
    words = "It spells what it hears" if num_words is None else f"It says {num_words} words and no other (`words.txt`)"
    limits = (
        f"- {words}: no language model, no punctuation, no numbers as digits.\n"
        f"- A word is known at the earliest {container.chunk_frames * ENCODER_FRAME_MS} ms after its chunk began.\n"
        "- One speaker at a time; overlapping speech and music come out as words."
    )
    return limits


def _usage(name, *, files, chunk_ms):
    commands = f"    pip install lottery-asr\n    lottery-transcribe {name} clip.wav\n    lottery-listen {name}\n\n"
    notes = []
    if "model.ticket" in files:
        notes.append(
            "These run `model.ticket` in the ticket engine where it is installed, ONNX in onnxruntime elsewhere."
        )
    graphs = [f"`{file}`" for file in ("model.onnx", "model.int8.onnx") if file in files]
    kind = (
        "run in sherpa-onnx, as streaming zipformer2-CTC models"
        if len(graphs) > 1
        else "runs in sherpa-onnx, as a streaming zipformer2-CTC model"
    )
    notes.append(
        f"{' and '.join(graphs)} also {kind} with `tokens.txt` (docs/devices.md), which never "
        f"decodes a last chunk that is not full: there a recording needs {(chunk_ms + _SHERPA_TAIL_MS) / 1000:g} s of "
        "silence at its end."
    )
    if "model.ort" in files:
        notes.append("`model.ort` is for small onnxruntime builds; a file beside it names the operators they need.")
    notes.append("`manifest.json` has inputs, outputs and states.")
    return commands + _text(" ".join(notes))
