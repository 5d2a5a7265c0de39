"""What speed must not cost: error rates of trained tickets in every runtime, and bytes beside Shannon's bound."""

import sys
from pathlib import Path

from benchmarks.clips import read_clips
from benchmarks.engine_files import model_key
from benchmarks.engine_models import draw_model, is_structured, ten_million_config
from export.bundle import export_ticket
from export.ticket_file import entropy_bound_bytes, write_ticket
from lottery_train.evaluate import paired_difference, pool_scores, score_texts
from lottery_train.ticket import load_ticket
from runtime.recognizer import Recognizer

# (backend, precision) in the order of the table; the first is what the others are compared with.
RUNTIMES = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("engine", "int8"))
DISK_DENSITY = 0.044


def word_error_rates(folders, *, data_dir, bundles):
    """Export tickets as lottery-export does, recognise AN4's test clips as streams with each runtime, and score them.

    Args:
        folders: ticket folders.
        data_dir: corpus directory.
        bundles: folder that the bundles are written to; one that is there is not made again.
    Returns:
        list of dicts, one a ticket and, of more than one, a last one of all together: `ticket`, `density`, and for each
        of RUNTIMES a dict `<backend>_<precision>` of `wer`, `wer_interval`, `minus_reference` and
        `minus_reference_interval` (paired, 95 %).
    """
    clips, references = read_clips("an4", data_dir=data_dir)
    records, every_score = [], []
    for folder in map(Path, folders):
        ticket = load_ticket(folder)
        bundle = _export(ticket, bundles=bundles)
        print(f"recognising with {folder}", file=sys.stderr)
        scores = {}
        for backend, precision in RUNTIMES:
            recognizer = Recognizer(bundle, precision=precision, backend=backend)
            texts = [recognizer.transcribe(clip).text for clip in clips]
            scores[f"{backend}_{precision}"] = score_texts(references, texts)
        name = f"{folder.resolve().parent.name}/{folder.name}"
        records.append({"ticket": name, "density": ticket.mask.density, **_compare(scores)})
        every_score.append(scores)
    if len(every_score) > 1:
        together = {name: pool_scores([scores[name] for scores in every_score]) for name in every_score[0]}
        records.append({"ticket": "all together", "density": None, **_compare(together)})
    return records


def _compare(scores):
    """Return a dict of figures for each Score: what it is, and how far from the first one."""
    reference = next(iter(scores.values()))
    found = {}
    for name, score in scores.items():
        difference, low, high = paired_difference(reference, score)
        found[name] = {
            "wer": score.wer,
            "wer_interval": list(score.wer_interval),
            "minus_reference": difference,
            "minus_reference_interval": [low, high],
        }
    return found


def _export(ticket, *, bundles):
    """Return the bundle of a ticket, made by the code as it is now."""
    name = f"{ticket.folder.resolve().parent.name}_{ticket.folder.name}_{model_key(ticket.build_model())}"
    bundle = Path(bundles) / name
    if not (bundle / "manifest.json").is_file():
        print(f"exporting {bundle.name}", file=sys.stderr)
        export_ticket(ticket, bundle, is_structured=is_structured(ticket), progress=lambda line: None)
    return bundle


def disk_figures(config=None):
    """Return how large a ticket file is beside what its entropy allows.

    Args:
        config: ConformerConfig; None for that of 10 million weights.
    Returns:
        dict: `file_bytes` and `bound_bytes` of everything that the file holds, `weight_bytes` and `weight_bound_bytes`
        of the entries of its matrices, and the ratios `file_over_bound` and `weights_over_bound`.
    """
    model = draw_model(config or ten_million_config(), density=DISK_DENSITY)
    data, records = write_ticket(model, chunk_frames=16)
    weight_bound_bytes, bound_bytes = entropy_bound_bytes(model)
    weight_bytes = sum(record["weight_bytes"] for record in records.values())
    return {
        "num_weights": sum(parameter.numel() for parameter in model.parameters()),
        "density": DISK_DENSITY,
        "file_bytes": len(data),
        "bound_bytes": bound_bytes,
        "weight_bytes": weight_bytes,
        "weight_bound_bytes": weight_bound_bytes,
        "file_over_bound": len(data) / bound_bytes,
        "weights_over_bound": weight_bytes / weight_bound_bytes,
    }
