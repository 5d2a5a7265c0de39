"""The models of the engine's benchmark: masks, widths, and how much work there is."""

import numpy as np
import pytest
import torch

from benchmarks.engine_models import (
    VARIANTS,
    config_of,
    count_nonzeros,
    draw_model,
    drawn_models,
    halve,
    largest_blocks,
    multiply_adds,
    ticket_models,
)
from lottery_train.pruning import Mask, prunable_names
from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket


@pytest.mark.parametrize("block", [(1, 1), (1, 4), (4, 4)])
def test_the_largest_blocks_are_kept_whole(block):
    weight = np.random.default_rng(0).normal(size=(24, 32)).astype(np.float32)
    is_kept = largest_blocks(weight, density=0.25, block=block)
    tiled = is_kept.reshape(24 // block[0], block[0], 32 // block[1], block[1]).swapaxes(1, 2)
    assert is_kept.mean() == 0.25
    assert (tiled.all((2, 3)) == tiled.any((2, 3))).all()
    means = np.abs(weight).reshape(24 // block[0], block[0], 32 // block[1], block[1]).mean((1, 3))
    assert means[tiled.all((2, 3))].min() > means[~tiled.any((2, 3))].max()


def test_ragged_edges_have_blocks_too():
    is_kept = largest_blocks(np.ones((5, 6), np.float32), density=0.5, block=(4, 4))
    # The corner block alone is full; the others hold padding, which counts as zero.
    assert is_kept.shape == (5, 6)
    assert is_kept[:4, :4].all()


def test_rows_are_what_they_are_called():
    rows = {variant.name: (variant, model) for variant, model in drawn_models("tiny")}
    assert list(rows) == [variant.name for variant in VARIANTS]
    dense = config_of("tiny")
    for variant, model in rows.values():
        assert model.config == (halve(dense) if variant.is_half else dense)
        weights = dict(model.named_parameters())
        for name in prunable_names(model, scope="pointwise"):
            kept = (weights[name] != 0).float().mean().item()
            # A block more or less is a rounding of one matrix.
            assert kept == pytest.approx(variant.density, abs=16 / weights[name].numel())
    block = rows["half"][1].config.blocks[0]
    assert (block.ff1, block.heads, block.conv, block.ff2, block.conv_norm) == (96, 2, 24, 96, 48)


def test_work_is_counted_from_the_weights_that_are_left():
    config = config_of("tiny")
    model, chunk = draw_model(config), 4
    block = config.blocks[0]
    width, taps = config.model_width, config.conv_kernel
    pointwise = 2 * width * (block.ff1 + block.ff2) + 4 * width * width + 3 * width * block.conv
    attention = 2 * block.heads * config.head_width * (config.left_context_frames + chunk)
    stem = 3 * config.num_mels * config.stem_width * (2 * chunk + 1) + 3 * config.stem_width * width * chunk
    each = len(config.blocks) * (pointwise + taps * block.conv + attention) + config.vocab_size * width
    assert multiply_adds(model, chunk_frames=chunk) == (chunk * each + stem, chunk * each + stem)
    with torch.no_grad():
        model.blocks[0].ff1.up.weight[:10] = 0
    useful, dense = multiply_adds(model, chunk_frames=chunk)
    assert dense - useful == 10 * width * chunk
    nonzeros, weights = count_nonzeros(model)
    assert weights == sum(each.numel() for each in model.parameters())
    assert nonzeros < weights


def test_trained_tickets_take_part_as_their_bundles_hold_them(tmp_path):
    model = random_model(small_config(), seed=1)
    dense = write_ticket(tmp_path / "run" / "level_00", model, mask=Mask.dense({}))
    units = unit_mask(model, drawn_units(model, seed=4))
    shrunk = write_ticket(tmp_path / "run" / "level_02", model, mask=units)
    found = list(ticket_models([dense.folder, shrunk.folder, dense.folder]))
    assert [variant.name for variant, _ in found] == ["dense", "run_level_02"]
    assert [variant.label.split()[0] for variant, _ in found] == ["dense", "units"]
    assert count_nonzeros(found[1][1])[1] < count_nonzeros(found[0][1])[1]
    assert found[1][0].density == pytest.approx(units.density)
