"""The format of a matrix follows from how many weights are left and where they lie; tables from what they cost."""

import numpy as np
import pytest

from export.frequency_tables import MAX_TABLES, TABLE_BYTES, entropy_bits, normalise, share_tables
from export.weight_coding import gap_bytes, quantise
from export.weight_formats import FORMATS, block_occupancy, choose_format, find_format
from lottery_train.pruning.granularity import make_granularity
from lottery_train.pruning.mask import Mask
from tests.runtime.engine.ticket_builder import gap_symbols


def random_weights(rows, cols, *, density, block=(1, 1), seed=0):
    """Return (rows, cols) whose blocks are kept as a whole with that probability, to one block."""
    random = np.random.default_rng(seed)
    places = (-(-rows // block[0]), -(-cols // block[1]))
    keep = np.zeros(places[0] * places[1], bool)
    keep[random.permutation(keep.size)[: round(density * keep.size)]] = True
    keep = keep.reshape(places).repeat(block[0], 0).repeat(block[1], 1)[:rows, :cols]
    return random.standard_normal((rows, cols)) * keep


@pytest.mark.parametrize(
    ("density", "block", "int8", "fp32"),
    [
        (1.0, (1, 1), "dense_i8", "dense_f32"),
        (0.41, (1, 1), "dense_i8", "dense_f32"),
        (0.39, (1, 1), "dense_i8", "csr_f32"),
        (0.16, (1, 1), "dense_i8", "csr_f32"),
        (0.14, (1, 1), "csr_i8", "csr_f32"),
        (0.05, (1, 1), "csr_i8", "csr_f32"),
        (0.0, (1, 1), "csr_i8", "csr_f32"),
        (0.5, (1, 4), "block1x4_i8", "block1x4_f32"),
        (0.1, (1, 4), "block1x4_i8", "block1x4_f32"),
        (0.5, (4, 4), "block4x4_i8", "block1x4_f32"),
        (0.1, (4, 4), "block4x4_i8", "block1x4_f32"),
        (0.1, (8, 8), "block4x4_i8", "block1x4_f32"),
        (0.7, (4, 4), "dense_i8", "dense_f32"),
    ],
)
@pytest.mark.parametrize("shape", [(64, 96), (63, 94)], ids=["whole blocks", "ragged edges"])
def test_density_and_blocks_choose(shape, density, block, int8, fp32):
    weight = random_weights(*shape, density=density, block=block)
    assert choose_format(weight, precision="int8").name == int8
    assert choose_format(weight, precision="fp32").name == fp32


@pytest.mark.parametrize(
    ("target", "density", "kind"),
    [
        ("server", 0.2, "dense"),
        ("mobile", 0.2, "dense"),
        ("mobile", 0.09, "csr"),
        ("basic", 0.39, "csr"),
        ("basic", 0.41, "dense"),
        ("compact", 0.05, "csr"),
        ("compact", 0.07, "bitmask"),
        ("compact", 0.84, "bitmask"),
        ("compact", 0.9, "dense"),
    ],
)
def test_the_target_chooses(target, density, kind):
    weight = random_weights(64, 96, density=density)
    assert choose_format(weight, precision="int8", target=target).kind == kind


def test_rows_of_removed_units_are_blocks():
    """A ticket exported with its zeros: whole rows, or columns, are gone."""
    weight = random_weights(64, 96, density=1)
    weight[8:40] = 0
    assert choose_format(weight, precision="int8").name == "block4x4_i8"
    assert choose_format(weight.T, precision="int8").name == "block4x4_i8"


def test_blocks_with_too_many_zeros_are_not_blocks():
    weight = random_weights(64, 96, density=0.2, block=(4, 4))
    assert choose_format(weight * (random_weights(64, 96, density=0.7, seed=1) != 0), precision="int8").kind == (
        "block4x4"
    )
    assert choose_format(weight * (random_weights(64, 96, density=0.3, seed=1) != 0), precision="int8").kind == "csr"


def test_a_ticket_pruned_in_blocks_is_stored_in_the_same_blocks():
    import torch

    weight = torch.randn(30, 50, generator=torch.Generator().manual_seed(0))
    mask = Mask.dense({"w": weight}, names=["w"])
    granularity = make_granularity("block:4x4")
    cells = granularity.cells({"w": weight.abs()}, mask, names=["w"], pool="mean")
    removed = cells.scores < cells.scores.median()
    granularity.carve(mask, cells, removed=removed)
    occupied = block_occupancy(mask["w"].numpy(), block=(4, 4))
    assert occupied.sum() == (~removed).sum()
    assert choose_format((weight * mask["w"]).numpy(), precision="int8").name == "block4x4_i8"


def test_names_numbers_and_kinds():
    # As docs/formats.md numbers them.
    names = ["dense_f32", "dense_i8", "csr_f32", "csr_i8", "bitmask_i8", "block1x4_f32", "block1x4_i8", "block4x4_i8"]
    assert [(each.number, each.name) for each in FORMATS] == list(enumerate(names))
    for each in FORMATS:
        assert find_format(each.kind, precision=each.precision) is each
    with pytest.raises(ValueError, match="no format 'bitmask' with fp32 weights, there are block1x4, csr, dense"):
        find_format("bitmask", precision="fp32")


@pytest.mark.parametrize("num_bits", [8, 4])
def test_integers_are_the_nearest_and_zeros_stay_zeros(num_bits):
    limit = {8: 127, 4: 7}[num_bits]
    weight = random_weights(40, 60, density=0.3) * np.logspace(-4, 3, 40)[:, None]
    weight[7] = 0
    integers, scale = quantise(weight, num_bits=num_bits)
    assert np.abs(integers).max() == limit
    assert scale.dtype == np.float16
    assert not integers[weight == 0].any()
    error = np.abs(weight - integers * scale[:, None].astype(np.float64))
    # half a step, or what the largest weight of a row loses where its scale was rounded down to float16
    slack = np.abs(weight).max(1) - limit * scale.astype(np.float64)
    assert (error <= np.maximum(scale.astype(np.float64) / 2, slack)[:, None] * (1 + 1e-12)).all()
    assert (slack <= scale.astype(np.float64) / 2 + 1e-15).all()


@pytest.mark.parametrize("size", [1e-7, 1e8])
def test_a_scale_that_float16_does_not_hold_is_float32(size):
    weight = random_weights(4, 9, density=1) * size
    integers, scale = quantise(weight)
    assert scale.dtype == np.float32
    assert (np.abs(integers).max(1) == 127).all()
    np.testing.assert_allclose(integers * scale[:, None].astype(np.float64), weight, rtol=0, atol=size / 50)


@pytest.mark.parametrize("density", [0, 0.001, 0.01, 0.3, 1])
def test_gaps(density):
    is_taken = np.random.default_rng(0).random(20_000) < density
    assert gap_bytes(is_taken).tobytes() == gap_symbols(np.flatnonzero(is_taken).tolist())


def test_gaps_around_the_escape():
    for gap in (0, 1, 254, 255, 256, 509, 510, 511):
        is_taken = np.zeros(600, bool)
        is_taken[[3, 4 + gap]] = True
        assert gap_bytes(is_taken).tobytes() == gap_symbols([3, 4 + gap])


def test_frequencies_sum_up_and_cost_what_the_counts_do():
    random = np.random.default_rng(1)
    for counts in (
        random.geometric(0.04, 5000),
        random.integers(0, 256, 100_000),
        np.array([7] * 10),
        np.array([3] * 10**6 + list(range(200))),
    ):
        counts = np.bincount(counts.clip(0, 255), minlength=256)
        frequencies = normalise(counts).astype(np.int64)
        assert frequencies.sum() == 16384
        assert ((frequencies > 0) == (counts > 0)).all()
        is_present = counts > 0
        bits = -(counts[is_present] * np.log2(frequencies[is_present] / 16384)).sum()
        # 200 symbols that occur once in a million take 200 / 16384 of the range: that much dearer is all the others
        rounding_bits = counts.sum() * is_present.sum() / 16384
        assert entropy_bits(counts) <= bits + 1e-6
        assert bits <= entropy_bits(counts) + 1.5 * rounding_bits


def test_streams_that_are_alike_share_a_table():
    random = np.random.default_rng(2)
    flat = [np.bincount(random.integers(100, 140, 3000), minlength=256) for _ in range(5)]
    steep = [np.bincount(random.geometric(0.3, 3000).clip(0, 255), minlength=256) for _ in range(5)]
    noise = np.bincount(random.integers(0, 256, 20_000), minlength=256)
    tables, numbers = share_tables([*flat, *steep, noise])
    assert len(tables) == 2
    assert len(set(numbers[:5])) == len(set(numbers[5:10])) == 1
    assert numbers[0] != numbers[5]
    assert numbers[10] == -1


def test_a_table_that_costs_more_than_it_saves_is_not_written():
    counts = np.bincount([5] * (TABLE_BYTES - 1), minlength=256)
    assert share_tables([counts])[1].tolist() == [-1]
    assert share_tables([2 * counts])[1].tolist() == [0]
    assert share_tables([])[0].shape == (0, 256)


def test_there_are_never_more_tables_than_a_file_holds():
    random = np.random.default_rng(3)
    counts = [np.bincount(random.integers(2 * n, 2 * n + 3, 9000), minlength=256) for n in range(MAX_TABLES + 20)]
    tables, numbers = share_tables(counts)
    assert len(tables) == MAX_TABLES
    assert set(numbers) == set(range(MAX_TABLES))
