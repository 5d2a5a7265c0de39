"""The models that the ticket engine is measured with: drawn at a given size and masked, or tickets of a run.

What a sparse model costs depends on how many of its weights are left and where they lie, not on what they are. So the
larger models need no training: their weights are drawn, and masks keep the largest of each matrix. What they recognise
says nothing; error rates are those of trained tickets.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from export.shrink import removable_units, shrink
from export.weight_formats import tiles
from lottery_train.config import ModelConfig
from lottery_train.models import BlockWidths, ConformerConfig, build_model, dense_config
from lottery_train.pruning import prunable_names
from lottery_train.ticket import load_ticket
from runtime.features import fbank
from runtime.synthetic import speech_like

VOCAB_SIZE = 256
# name -> (blocks, model width) of the sizes that follow one rule: feed-forward four times as wide, four heads.
_WIDTHS = {"tiny": (2, 48), "8m": (16, 144), "24m": (16, 256)}
SIZES = ("1m", "8m", "24m")
_NUM_HEADS = 4
_CONV_KERNEL = 31


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the benchmark: a model at some density.

    Args:
        name: key in result files.
        label: for people.
        density: of the prunable weights.
        block: rows and columns that are kept or dropped as a whole.
        is_half: half of the feed-forward neurons, heads and convolution channels of every block are gone: what
            `lottery-export --structured` leaves of such a ticket.
    """

    name: str
    label: str
    density: float = 1.0
    block: tuple[int, int] = (1, 1)
    is_half: bool = False


VARIANTS = (
    Variant(name="dense", label="dense"),
    *(
        Variant(name=f"{name}_{percent}", label=f"{label} {percent} %", density=percent / 100, block=block)
        for name, label, block, percents in (
            ("unstructured", "unstructured", (1, 1), (20, 10, 5)),
            ("block1x4", "blocks 1x4", (1, 4), (20, 10)),
            ("block4x4", "blocks 4x4", (4, 4), (20, 10)),
        )
        for percent in percents
    ),
    Variant(name="half", label="half width", is_half=True),
    Variant(
        name="half_block4x4_25",
        label="half width, blocks 4x4 25 %",
        density=0.25,
        block=(4, 4),
        is_half=True,
    ),
)
COMPOSITE = "half_block4x4_25"


def config_of(size):
    """Return the ConformerConfig of a size: one of SIZES, or "tiny" for tests."""
    if size == "1m":
        return dense_config(ModelConfig(), vocab_size=VOCAB_SIZE)
    num_blocks, width = _WIDTHS[size]
    return _uniform(num_blocks, width)


def _uniform(num_blocks, width):
    return ConformerConfig.uniform(
        num_blocks=num_blocks,
        ff=4 * width,
        heads=_NUM_HEADS,
        conv=width,
        vocab_size=VOCAB_SIZE,
        model_width=width,
        stem_width=width,
        head_width=width // _NUM_HEADS,
        conv_kernel=_CONV_KERNEL,
    )


def ten_million_config():
    """Return the ConformerConfig of 10 million weights, on which the size of a ticket file is measured."""
    return _uniform(17, 160)


def peak_config():
    """Return the ConformerConfig of a model that is one int8 product and little else, small enough for a cache.

    Half a megabyte of weights in the feed-forward module of a single block.
    """
    return ConformerConfig(
        vocab_size=16,
        stem_width=16,
        model_width=384,
        head_width=32,
        blocks=(BlockWidths(ff1=640, heads=0, conv=0, ff2=0, conv_norm=1),),
    )


def halve(config):
    """Return the config with half of every block's units."""
    return config.with_blocks(
        replace(widths, ff1=widths.ff1 // 2, heads=widths.heads // 2, conv=widths.conv // 2, ff2=widths.ff2 // 2)
        for widths in config.blocks
    )


def draw_model(config, *, density=1.0, block=(1, 1)):
    """Return a Conformer with drawn weights, normalised for the benchmark's signal, of which the largest are kept.

    Each matrix keeps the same share, because weights of different layers are drawn from different ranges.
    """
    model = build_model(config, seed=0).eval()
    features_TF = fbank(speech_like())
    model.set_normalisation(mean=features_TF.mean(0), deviation=features_TF.std(0))
    if density < 1:
        weights = dict(model.named_parameters())
        for name in prunable_names(model, scope="pointwise"):
            weight = weights[name].detach()
            weight *= torch.from_numpy(largest_blocks(weight.numpy(), density=density, block=block))
    return model


def largest_blocks(weight, *, density, block):
    """Return bool (rows, cols): the share `density` of the blocks, those of the largest mean magnitude.

    Args:
        weight: (rows, cols); ragged edges are padded with zeros.
        density: above 0, at most 1.
        block: rows and columns of a block.
    """
    scores = tiles(np.abs(weight), block=block).mean((2, 3))
    num_kept = max(1, round(density * scores.size))
    is_kept = scores >= np.partition(scores.ravel(), -num_kept)[-num_kept]
    rows, cols = weight.shape
    return is_kept.repeat(block[0], 0).repeat(block[1], 1)[:rows, :cols]


def drawn_models(size):
    """Yield (Variant, Conformer) of every row at a size; drawn one at a time."""
    config = config_of(size)
    for variant in VARIANTS:
        shape = halve(config) if variant.is_half else config
        yield variant, draw_model(shape, density=variant.density, block=variant.block)


def ticket_models(folders):
    """Yield (Variant, Conformer) of trained tickets, unit tickets shrunk, as their bundles hold them.

    Args:
        folders: ticket folders. The first without any zeros is called "dense".
    Raises:
        TicketError: a folder holds no ticket.
    """
    has_dense = False
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        ticket = load_ticket(folder)
        model, density = ticket.build_model(), ticket.mask.density
        ticket.mask.apply_(model)
        if is_structured(ticket):
            model = shrink(model, removable_units(model, mask=ticket.mask))
        name = f"{folder.parent.name}_{folder.name}"
        if density == 1 and not has_dense:
            name, has_dense = "dense", True
        kind = "dense" if density == 1 else "units" if is_structured(ticket) else "unstructured"
        label = kind if density == 1 else f"{kind} {100 * density:.1f} %"
        yield Variant(name=name, label=f"{label} (trained)", density=density), model


def is_structured(ticket):
    """Whether a ticket's units can be removed: `lottery-export --structured` is for it."""
    return ticket.record["granularity"] == "unit" and ticket.mask.density < 1


def multiply_adds(model, *, chunk_frames):
    """Return (useful, dense): multiply-adds of one chunk, those with weights that are not 0, and all.

    Those of attention between activations are among both.
    """
    config = model.config
    useful = dense = 0
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name.endswith("position_bias"):
            continue
        # The first convolution of the subsampling makes two frames, and one between two chunks, where the rest has one.
        frames = 2 * chunk_frames + 1 if name.startswith("subsampling.conv1") else chunk_frames
        useful += int(parameter.count_nonzero()) * frames
        dense += parameter.numel() * frames
    window = config.left_context_frames + chunk_frames
    attention = sum(2 * widths.heads * config.head_width * chunk_frames * window for widths in config.blocks)
    return useful + attention, dense + attention


def count_nonzeros(model):
    """Return (non-zeros, weights) of a model."""
    with torch.no_grad():
        parameters = list(model.parameters())
        return sum(int(each.count_nonzero()) for each in parameters), sum(each.numel() for each in parameters)
