"""The chain of equalities, in one file: masks, shrinking, chunks, ONNX.

    python -m benchmarks.parity
    python -m benchmarks.parity --ticket runs/an4_structured/level_03

Without a ticket the model has AN4's size and random weights, biases, gains and statistics, and loses half of its units
(attention heads, feed-forward neurons, convolution channels). The masks of the reference schedules are compared with
torch.nn.utils.prune over twenty rounds. Writes benchmarks/results/parity.json.
"""

import copy
import sys

import numpy as np
import torch

from benchmarks.results import RESULTS, relative, write_result
from export.graph import export_onnx, quantize
from export.ort_format import to_ort_format
from export.shrink import removable_units, shrink
from export.verify import NUM_CHUNKS, verify
from lottery_train.config import ModelConfig
from lottery_train.models import build_model, dense_config
from lottery_train.pruning import Constant, Decaying, Layerwise, Magnitude, UnitGranularity, prunable_names, prune
from lottery_train.ticket import load_ticket
from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.options import create_parser, positive_int
from runtime.table import Table
from tests import reference_pruning as reference

VOCAB_SIZE = 28
DEFAULT_CHUNK_FRAMES = 16
NUM_ROUNDS = 20
# Weights rounded to multiples of this: thousands of ties, which the reference breaks in its own way.
TIE_QUANTUM = 0.02
SCHEDULES = {
    "constant": (Constant(0.2), reference.constant_amounts),
    "decaying": (Decaying(0.2, 0.9), reference.decaying_amounts),
    "thirds by module count": (Layerwise(Constant(0.2), split_by="modules"), reference.thirds_amounts),
    "decaying thirds by module count": (
        Layerwise(Decaying(0.2, 0.9), split_by="modules"),
        reference.decaying_thirds_amounts,
    ),
}


def random_an4_model(*, seed=0):
    """Return a dense Conformer of AN4's size in which no bias is zero and no gain is one."""
    model = build_model(dense_config(ModelConfig(), vocab_size=VOCAB_SIZE), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    # The statistics of log-mel features of speech, roughly.
    model.set_normalisation(mean=np.full(80, -8.0), deviation=np.full(80, 3.0))
    return model


def half_of_the_units(model):
    """Return the mask that drops, by magnitude, half of the weights in whole units."""
    granularity = UnitGranularity(groups=model.unit_groups())
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    mask = granularity.dense_mask(weights, names=prunable_names(model, scope="pointwise"))
    return prune(weights, mask, criterion=Magnitude(), granularity=granularity, schedule=Constant(0.5), level=1)


def conversion_parity(model, *, mask, chunk_frames, num_chunks):
    """Mask, shrink, convert, quantise, and verify every step.

    Args:
        model: dense Conformer; left as it is.
        mask: Mask that drops whole units.
        chunk_frames: encoder frames a chunk.
        num_chunks: chunks a stream.
    Returns:
        (report of export.verify, kept units by kind: {kind: [kept, all]}).
    """
    masked = copy.deepcopy(model).eval()
    mask.apply_(masked)
    keep_units = removable_units(masked, mask=mask)
    kept = {}
    for group in masked.unit_groups():
        before = kept.get(group.kind, [0, 0])
        kept[group.kind] = [before[0] + int(keep_units[group.name].sum()), before[1] + group.size]
    shrunk = shrink(masked, keep_units)
    graph = export_onnx(shrunk, chunk_frames=chunk_frames)
    int8 = quantize(graph)
    report = verify(
        masked=masked,
        model=shrunk,
        chunk_frames=chunk_frames,
        graphs={"fp32": graph.SerializeToString(), "int8": int8.SerializeToString()},
        ort=to_ort_format(int8),
        num_chunks=num_chunks,
    )
    return report, kept


def mask_parity():
    """Return, for every reference schedule, whether all masks of all rounds are bit-equal, without and with ties."""
    return {
        name: {
            label: reference.reference_masks_equal(schedule, amounts=amounts, num_rounds=NUM_ROUNDS, quantum=quantum)
            for label, quantum in (("distinct", None), ("ties", TIE_QUANTUM))
        }
        for name, (schedule, amounts) in SCHEDULES.items()
    }


def summarise(report, masks):
    """Return the summary: largest differences of log-probabilities, and whether all masks agree."""
    stages = report["stages"]
    return {
        "masked_vs_shrunk": stages["masked_vs_shrunk"]["log_probs"]["max"],
        "masked_vs_shrunk_float32": stages["masked_vs_shrunk"]["float32"]["max"],
        "torch_vs_onnx": stages["torch_vs_onnx"]["log_probs"]["max"],
        "chunked_vs_full": stages["chunked_vs_full"]["log_probs"]["max"],
        "reference_masks_equal": all(is_equal for found in masks.values() for is_equal in found.values()),
    }


def _print(report, masks, summary):
    header = ("stage", "largest", "mean", "bound", "same symbol")
    rows = tuple(
        (
            name,
            *(f"{value:.2g}" for value in (stage["log_probs"]["max"], stage["log_probs"]["mean"], stage["bound"])),
            f"{stage['argmax_agreement']:.2%}",
        )
        for name, stage in report["stages"].items()
    )
    print(Table(header=header, rows=rows).text(), end="\n\n")
    rows = tuple((name, str(found["distinct"]), str(found["ties"])) for name, found in masks.items())
    header = (f"masks of {NUM_ROUNDS} rounds equal torch's", "distinct weights", "with ties")
    print(Table(header=header, rows=rows).text(), end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in summary.items()))


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.parity",
        description="Compare every step from masks to ONNX with the one before; writes benchmarks/results/parity.json.",
        examples="  python -m benchmarks.parity --ticket runs/an4_structured/level_03",
    )
    parser.add_argument("--ticket", metavar="DIR", help="unit ticket to convert (default: AN4's size, random weights)")
    parser.add_argument("--chunks", type=positive_int, default=NUM_CHUNKS, metavar="N", help="chunks (%(default)s)")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where parity.json goes")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    if arguments.ticket:
        ticket = load_ticket(arguments.ticket)
        if ticket.record.get("granularity") != "unit" or ticket.level == 0:
            raise LotteryError(f"{arguments.ticket}: nothing to shrink", hint="give a ticket pruned in whole units")
        model, mask, chunk_frames = ticket.build_model(), ticket.mask, ticket.chunk_frames
    else:
        model, chunk_frames = random_an4_model(), DEFAULT_CHUNK_FRAMES
        mask = half_of_the_units(model)
    print("converting and comparing", file=sys.stderr)
    report, kept = conversion_parity(model, mask=mask, chunk_frames=chunk_frames, num_chunks=arguments.chunks)
    print("pruning beside torch.nn.utils.prune", file=sys.stderr)
    masks = mask_parity()
    summary = summarise(report, masks)
    _print(report, masks, summary)
    details = {
        "model": relative(arguments.ticket) if arguments.ticket else "AN4's size, random weights",
        "kept_units": kept,
        "density": mask.density,
        "conversion": report,
        "masks": masks,
    }
    packages = ("torch", "onnx", "onnxruntime", "torch-pruning")
    path = write_result(
        "parity", summary=summary, details=details, threads=1, packages=packages, folder=arguments.results
    )
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the comparison; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
