"""The export itself: ticket -> shrunk model -> ONNX, int8, .ort -> verified bundle, written whole or not at all."""

import zlib
from dataclasses import dataclass
from pathlib import Path

from export.calibrate import calibrate_bundle
from export.card import model_card, summarise_formats
from export.container import Container
from export.errors import ExportError
from export.graph import count_ops, export_onnx, quantize
from export.ort_format import required_operators, to_ort_format
from export.shrink import removable_units, shrink
from export.ticket_file import write_ticket
from export.verify import verify
from lottery_train.models.build import count_weights
from lottery_train.models.registry import require_backbone
from runtime import __version__
from runtime.engine.library import EngineUnavailableError, load
from runtime.features import ENCODER_FRAME_MS
from runtime.fields import MAX_TEXT_CHARACTERS
from runtime.files import atomic_directory, explain_os_errors, finish_interrupted, sha256_file, write_atomic, write_json
from runtime.foreign import short
from runtime.manifest import MANIFEST_NAME, TICKET_ROLE, WORDS_ROLE, FileEntry, Manifest
from runtime.operators import check_model
from runtime.signature import load_private_key, write_signature

FILES = {
    "model": "model.onnx",
    "model_int8": "model.int8.onnx",
    "model_ort": "model.ort",
    "ort_operators": "model.required_operators.config",
    TICKET_ROLE: "model.ticket",
    "tokens": "tokens.txt",
    WORDS_ROLE: "words.txt",
    "parity": "parity.json",
    "card": "README.md",
}
PRECISIONS = ("fp32", "int8")
_SCORES = ("wer", "wer_interval", "cer", "num_utterances", "num_words")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export made, for the table at its end.

    Args:
        manifest: Manifest of the bundle.
        parity: content of `parity.json`.
        zip_bytes: model role -> bytes after zip compression.
        num_nodes: model role -> nodes of the ONNX graph.
    """

    manifest: Manifest
    parity: dict
    zip_bytes: dict[str, int]
    num_nodes: dict[str, int]


def export_ticket(
    ticket,
    out,
    *,
    is_structured=False,
    chunk_frames=None,
    name=None,
    precisions=PRECISIONS,
    num_bits=8,
    target="server",
    words=None,
    calibration=(),
    negatives=(),
    can_overwrite=False,
    sign=None,
    progress=print,
):
    """Turn a ticket into a bundle directory.

    Args:
        ticket: lottery_train.ticket.Ticket.
        out: directory to write.
        is_structured: remove the units that the mask drops; otherwise zeros stay zeros.
        chunk_frames: encoder frames (40 ms) a chunk; None takes the ticket's.
        name: name in tables; None takes the directory's.
        precisions: of the models to write, some of PRECISIONS. With int8 the .ort file is made from it, and the ticket
            file is int8 too; int8 alone is the smallest bundle, without an .ort file.
        num_bits: of the weights in an int8 ticket file: 8, or 4 for a smaller and less exact one.
        target: processors that the ticket file is meant for, a key of weight_formats.TARGETS; others run it too.
        words: those that the recogniser may say, as choose_words returns them; None for any.
        calibration, negatives: manifests of dev sets, as for calibrate_bundle; without them nothing is rejected.
        can_overwrite: replace an older bundle at `out`.
        sign: path of an Ed25519 private key (PEM) to sign `manifest.json` with; None leaves the bundle unsigned.
        progress: called with one line of text at each step.
    Returns:
        Export.
    Raises:
        ConfigError: the ticket is of another backbone than the Conformer.
        ExportError: nothing to shrink, `out` is in the way, or the verification failed. Nothing is left behind.
        LotteryError: `out` cannot be written, or the key cannot be read; see also calibrate_bundle.
    """
    key = None if sign is None else load_private_key(sign)
    require_backbone(ticket.config, "conformer", purpose="lottery-export")
    out = Path(out)
    name = name or _printable(out.absolute().name)
    chunk_frames = ticket.chunk_frames if chunk_frames is None else chunk_frames
    with explain_os_errors(out):
        finish_interrupted(out)
    _require_free(out, can_overwrite=can_overwrite)
    with atomic_directory(out) as folder:
        masked = _masked(ticket)
        model = _shrunk(masked, ticket, progress=progress) if is_structured else masked
        progress(f"converting to ONNX, {chunk_frames * ENCODER_FRAME_MS} ms chunks")
        has_int8 = "int8" in precisions
        graphs, data = _convert(model, chunk_frames=chunk_frames, has_int8=has_int8, progress=progress)
        tickets, engine = _tickets(
            model,
            chunk_frames=chunk_frames,
            has_int8=has_int8,
            num_bits=num_bits,
            target=target,
            progress=progress,
        )
        if engine is not None:
            data[TICKET_ROLE] = tickets[engine["precision"]]
        progress("verifying every step of the conversion")
        parity = verify(
            masked=masked,
            model=model,
            chunk_frames=chunk_frames,
            graphs={"fp32": data["model"]} | ({"int8": data["model_int8"]} if has_int8 else {}),
            ort=data["model_ort"],
            tickets=tickets,
        )
        if "fp32" not in precisions:
            data = {role: content for role, content in data.items() if role not in ("model", "model_ort")}
        _write_models(folder, data)
        ticket.tokenizer.save(folder / FILES["tokens"])
        if words is not None:
            write_atomic(folder / FILES[WORDS_ROLE], "".join(f"{word}\n" for word in words))
            progress(f"closed vocabulary: {len(words)} words")
        write_json(folder / FILES["parity"], parity)
        provenance = _provenance(ticket, model, is_structured=is_structured)
        if engine is not None:
            provenance["ticket_bits"] = num_bits if has_int8 else 32
        zip_bytes = {role: len(zlib.compress(content)) for role, content in data.items()}
        container = Container(config=model.config, chunk_frames=chunk_frames)
        card = model_card(
            name=name,
            record=ticket.record,
            provenance=provenance,
            container=container,
            parity=parity,
            engine=engine,
            num_words=None if words is None else len(words),
            num_bytes={FILES[role]: (len(content), zip_bytes[role]) for role, content in data.items()},
        )
        write_atomic(folder / FILES["card"], card)
        manifest = Manifest(
            name=name,
            created_by=f"lottery-asr {__version__}",
            chunk_frames=chunk_frames,
            left_context=model.config.left_context_frames,
            vocab_size=model.config.vocab_size,
            states=container.states,
            files={role: FileEntry.of(path, bundle=folder) for role, path in FILES.items() if (folder / path).exists()},
            engine=engine,
            vocabulary="open" if words is None else "closed",
            provenance=provenance,
        )
        manifest.write(folder)
        if calibration or negatives:
            calibrate_bundle(folder, calibration=calibration, negatives=negatives, progress=progress)
            manifest = Manifest.load(folder, verify="used")
        if key is not None:
            write_signature(folder, key=key)
    num_nodes = {role: sum(count_ops(graph).values()) for role, graph in graphs.items()}
    return Export(manifest=manifest, parity=parity, zip_bytes=zip_bytes, num_nodes=num_nodes)


def _printable(text):
    """Return what a manifest takes for a name, whatever the directory is called."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)[:MAX_TEXT_CHARACTERS]


def _write_models(folder, data):
    """Write the model files, role -> bytes, and what goes with the .ort file."""
    for role, content in data.items():
        if role != TICKET_ROLE:
            # What the runtime would refuse is better refused here: another torch may write other operators.
            check_model(content, source=FILES[role])
        write_atomic(folder / FILES[role], content)
    if "model_ort" in data:
        write_atomic(folder / FILES["ort_operators"], required_operators(data["model_ort"]))


def _convert(model, *, chunk_frames, has_int8, progress):
    """Return (role -> onnx.ModelProto, role -> bytes of the file)."""
    graphs = {"model": export_onnx(model, chunk_frames=chunk_frames)}
    if has_int8:
        graphs["model_int8"] = quantize(graphs["model"])
        num_int8 = count_ops(graphs["model_int8"])["MatMulInteger"]
        progress(f"int8: {num_int8} matrix products; those with small weights would not gain and stay float32")
    data = {role: graph.SerializeToString(deterministic=True) for role, graph in graphs.items()}
    data["model_ort"] = to_ort_format(list(graphs.values())[-1])
    return graphs, data


def _tickets(model, *, chunk_frames, has_int8, num_bits, target, progress):
    """Return (precision -> bytes of the ticket file, the manifest's `engine`); nothing and None without the engine.

    The float32 file is made in any case: it shows that the engine computes what onnxruntime does.
    """
    try:
        load()
    except EngineUnavailableError as error:
        progress(f"no {FILES[TICKET_ROLE]}: {error} ({error.hint})")
        return {}, None
    tickets = {}
    for precision in ("fp32", "int8") if has_int8 else ("fp32",):
        tickets[precision], records = write_ticket(
            model, chunk_frames=chunk_frames, precision=precision, num_bits=num_bits, target=target
        )
    formats = {name: record["format"] for name, record in records.items()}
    progress(f"ticket engine: {summarise_formats(formats)}")
    return tickets, {"precision": precision, "target": target, "formats": formats}


def _require_free(out, *, can_overwrite):
    """Raise unless `out` is absent, empty, or an older bundle that may go."""
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST_NAME).is_file():
        raise ExportError(
            f"{out}: exists, and is not a bundle: it will not be replaced", hint="choose another --out directory"
        )
    if not can_overwrite:
        raise ExportError(
            f"{out}: a bundle is there already", hint="replace it with --overwrite, or choose another --out"
        )


def _masked(ticket):
    model = ticket.build_model()
    try:
        ticket.mask.apply_(model)
    except ValueError as error:
        raise ExportError(
            f"{ticket.folder / 'mask.safetensors'}: not a mask of this model: {short(error)}",
            hint="train the level again",
        ) from error
    return model


def _shrunk(masked, ticket, *, progress):
    keep_units = removable_units(masked, mask=ticket.mask)
    by_kind = {}
    for group in masked.unit_groups():
        kept, size = by_kind.get(group.kind, (0, 0))
        by_kind[group.kind] = kept + int(keep_units[group.name].sum()), size + group.size
    kept = ", ".join(f"{kept} of {size} {kind} units" for kind, (kept, size) in sorted(by_kind.items()))
    progress(f"shrinking: keeping {kept}")
    return shrink(masked, keep_units)


def _provenance(ticket, model, *, is_structured):
    record = ticket.record
    scores = {
        split: {name: score[name] for name in _SCORES if name in score}
        for split, score in record.get("metrics", {}).items()
    }
    parameters = list(model.parameters())
    origin = record.get("shrunk") or {"level": 0, "density": 1.0, "dense_weights": count_weights(ticket.config)}
    return {
        "ticket_sha256": sha256_file(ticket.folder / "ticket.json"),
        "config": model.config.to_json(),
        "density": ticket.mask.density * origin["density"],
        "level": ticket.level + origin["level"],
        "granularity": record.get("granularity", "unknown"),
        "structured": is_structured or "shrunk" in record,
        "num_weights": sum(parameter.numel() for parameter in parameters),
        "num_nonzeros": sum(int(parameter.count_nonzero()) for parameter in parameters),
        "dense_weights": origin["dense_weights"],
        "wer": scores,
        "corpus": record.get("corpus", "unknown"),
        "seed": record.get("seed"),
        "data_fingerprint": record.get("data_fingerprint"),
    }
