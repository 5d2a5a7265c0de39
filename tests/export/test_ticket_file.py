"""Ticket files hold the model: against a reader and an interpreter that share no code with the writer."""

import copy

import numpy as np
import pytest
import torch

from export.ticket_file import entropy_bound_bytes, write_ticket
from lottery_train.models import BlockWidths, Conformer, ConformerConfig
from runtime.engine.library import is_available
from tests.export.models import random_model, small_config
from tests.export.test_streaming import UNEVEN
from tests.runtime.engine.reference_ticket import RAW, read_ticket, run_ticket

pytestmark = pytest.mark.skipif(not is_available(), reason="the ticket engine's library is not built here")
CHUNK = 8
# A ticket of ten million weights, of which this share is left.
LARGE_DENSITY = 0.044


def features(num_chunks=5):
    return (torch.randn(4 * num_chunks * CHUNK + 3, 80, generator=torch.Generator().manual_seed(2)) * 3 - 8).numpy()


def reference(model, x_TF):
    """Return float64 (T, V): the model's own log-probabilities."""
    with torch.no_grad():
        return copy.deepcopy(model).double()(torch.from_numpy(x_TF).double()[None], chunk=CHUNK)[0].numpy()


def magnitude_pruned(model, density):
    """Zero the smallest weights of all matrices together, in place; return the model.

    Weights count by what they are beside those that torch draws for as many inputs: every matrix keeps some.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    scores = [matrix.detach().abs() * matrix.shape[1] ** 0.5 for matrix in matrices]
    everything = torch.cat([score.flatten() for score in scores])
    threshold = everything.kthvalue(max(1, round((1 - density) * len(everything)))).values
    with torch.no_grad():
        for matrix, score in zip(matrices, scores, strict=True):
            matrix *= score > threshold
    return model


@pytest.mark.parametrize("formats", [None, "dense", "csr", "block1x4"])
@pytest.mark.parametrize("blocks", [None, UNEVEN], ids=["even", "uneven"])
def test_a_float_file_computes_what_the_model_does(blocks, formats):
    config = small_config() if blocks is None else small_config().with_blocks(blocks)
    model = magnitude_pruned(random_model(config, sharpness=3), 0.5)
    data, records = write_ticket(model, chunk_frames=CHUNK, precision="fp32", formats=formats)
    found = run_ticket(read_ticket(data), features())
    # every number is rounded to float32 once, nothing else differs
    np.testing.assert_allclose(found, reference(model, features()), rtol=0, atol=5e-6)
    if formats is not None:
        names = {record["format"] for name, record in records.items() if "depthwise" not in name}
        assert names == {f"{formats}_f32"}


def test_the_format_of_an_int8_file_changes_nothing_but_its_size():
    model = magnitude_pruned(random_model(small_config().with_blocks(UNEVEN)), 0.2)
    tickets = {}
    for kind in (None, "dense", "csr", "bitmask", "block1x4", "block4x4"):
        data, _ = write_ticket(model, chunk_frames=CHUNK, formats=kind)
        tickets[kind] = read_ticket(data)
    for name, expected in tickets["dense"].tensors.items():
        for ticket in tickets.values():
            found = ticket.tensors[name]
            if isinstance(expected, np.ndarray):
                np.testing.assert_array_equal(found, expected)
            else:
                np.testing.assert_array_equal(found.values, expected.values)
                np.testing.assert_array_equal(found.scale, expected.scale)
                np.testing.assert_array_equal(found.bias, expected.bias)


@pytest.mark.parametrize("num_bits", [8, 4])
def test_int8_weights_are_within_half_a_step_of_the_float_ones(num_bits):
    model = magnitude_pruned(random_model(small_config()), 0.3)
    exact = read_ticket(write_ticket(model, chunk_frames=CHUNK, precision="fp32")[0]).tensors
    found = read_ticket(write_ticket(model, chunk_frames=CHUNK, num_bits=num_bits)[0]).tensors
    limit = {8: 127, 4: 7}[num_bits]
    assert list(found) == list(exact)
    for name, tensor in found.items():
        if isinstance(tensor, np.ndarray):
            np.testing.assert_allclose(tensor, exact[name], rtol=2**-11, atol=1e-7)
            continue
        np.testing.assert_allclose(tensor.bias, exact[name].bias, rtol=2**-11, atol=1e-7)
        if name == "conv1":
            # float16: half of the distance between neighbours, which is fixed below 2^-14
            np.testing.assert_allclose(tensor.values, exact[name].values, rtol=2**-11, atol=2**-25)
            continue
        assert np.abs(tensor.values).max() == limit
        assert not tensor.values[exact[name].values == 0].any()
        step = tensor.scale.astype(np.float64)[:, None]
        # float16 scales: the largest weight of a row may be up to 2^-11 of itself off
        assert (np.abs(tensor.weight - exact[name].weight) <= step * (0.5 + limit * 2**-11)).all()
    assert found["mean"].dtype == np.float32


def test_an_int8_file_computes_nearly_what_the_model_does():
    model = magnitude_pruned(random_model(small_config()), 0.5)
    found = run_ticket(read_ticket(write_ticket(model, chunk_frames=CHUNK)[0]), features())
    # rounding of weights alone: activations stay exact in the interpreter
    np.testing.assert_allclose(found, reference(model, features()), rtol=0, atol=0.05)


def test_the_header_tells_the_config():
    config = small_config(left_context_frames=20, max_chunk_frames=9).with_blocks(
        [BlockWidths(ff1=24, heads=3, conv=20, ff2=0, conv_norm=128)]
    )
    ticket = read_ticket(write_ticket(random_model(config), chunk_frames=5)[0])
    assert ticket.blocks == [{"ff1": 24, "heads": 3, "conv": 20, "ff2": 0, "conv_norm": 128}]
    assert ticket.config == {
        "num_mels": 80,
        "stem_width": 48,
        "model_width": 64,
        "head_width": 16,
        "num_blocks": 1,
        "conv_kernel": 7,
        "left_context": 20,
        "chunk_frames": 5,
        "vocab_size": 10,
        "max_chunk": 9,
    }


def test_records_tell_what_is_in_the_file():
    model = magnitude_pruned(random_model(small_config()), 0.1)
    data, records = write_ticket(model, chunk_frames=CHUNK)
    ticket = read_ticket(data)
    matrices = {name: tensor for name, tensor in ticket.tensors.items() if not isinstance(tensor, np.ndarray)}
    assert list(records) == list(matrices)
    for name, matrix in matrices.items():
        record = records[name]
        assert (record["rows"], record["cols"]) == matrix.values.shape
        assert record["density"] == np.count_nonzero(matrix.values) / matrix.values.size
        assert record["weight_bytes"] == sum(map(len, matrix.streams))
        scale_bytes = 0 if matrix.scale is None else 4 + matrix.scale.nbytes
        assert record["bytes"] == 32 + 4 + matrix.bias.nbytes + scale_bytes + record["weight_bytes"]
    vectors = [tensor for tensor in ticket.tensors.values() if isinstance(tensor, np.ndarray)]
    header_bytes = 32 + 40 + 20 * len(ticket.blocks) + ticket.tables.nbytes
    assert header_bytes + sum(r["bytes"] for r in records.values()) + sum(4 + v.nbytes for v in vectors) == len(data)


def test_large_dense_matrices_of_four_bits_are_coded():
    model = random_model(small_config(num_blocks=1, ff=1056))
    with torch.no_grad():
        model.blocks[0].ff1.up.weight.normal_(generator=torch.Generator().manual_seed(0))
    sizes = {bits: write_ticket(model, chunk_frames=CHUNK, num_bits=bits)[1]["blocks[0].ff1.up"] for bits in (8, 4)}
    assert sizes[8]["weight_bytes"] == sizes[8]["rows"] * sizes[8]["cols"]
    assert sizes[4]["weight_bytes"] < 0.6 * sizes[8]["weight_bytes"]


def test_large_dense_matrices_are_stored_as_they_are_and_load_fast():
    model = random_model(small_config(num_blocks=1, ff=1056))
    with torch.no_grad():
        for layer in (model.blocks[0].ff1.up, model.blocks[0].convolution.pointwise_in):
            layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    tensors = read_ticket(write_ticket(model, chunk_frames=CHUNK)[0]).tensors
    assert tensors["blocks[0].ff1.up"].header["value_table"] == RAW
    assert tensors["blocks[0].convolution.pointwise_in"].header["value_table"] != RAW


def test_equal_models_make_equal_files():
    model = magnitude_pruned(random_model(small_config()), 0.1)
    assert write_ticket(model, chunk_frames=CHUNK) == write_ticket(copy.deepcopy(model), chunk_frames=CHUNK)


def test_numbers_beyond_float16_are_kept():
    model = random_model(small_config(num_blocks=1))
    with torch.no_grad():
        model.blocks[0].ff1.up.bias[3] = 1e5
        model.blocks[0].ff1.up.weight[5] *= 1e8
    up = read_ticket(write_ticket(model, chunk_frames=CHUNK)[0]).tensors["blocks[0].ff1.up"]
    assert up.bias[3] == pytest.approx(1e5, rel=1e-4)
    assert np.isfinite(up.scale).all()


def test_a_kind_that_a_precision_lacks_is_refused():
    with pytest.raises(ValueError, match="no format 'block4x4' with fp32 weights"):
        write_ticket(random_model(small_config()), chunk_frames=CHUNK, precision="fp32", formats="block4x4")


@pytest.fixture(scope="module")
def large():
    """Ten million normal weights in twenty blocks, the smallest zeroed."""
    config = ConformerConfig.uniform(
        num_blocks=20, ff=576, heads=4, conv=144, head_width=36, model_width=144, vocab_size=40
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = Conformer(config).eval()
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    return magnitude_pruned(model, LARGE_DENSITY)


@pytest.mark.parametrize("num_bits", [8, 4])
def test_a_large_ticket_is_close_to_its_entropy(large, num_bits):
    """Within 15 % is what was asked for: tables, escapes and the two steps of the coder cost far less."""
    data, records = write_ticket(large, chunk_frames=16, num_bits=num_bits)
    weights_bound, file_bound = entropy_bound_bytes(large, num_bits=num_bits)
    num_tables = int.from_bytes(data[12:16], "little")
    weight_bytes = sum(record["weight_bytes"] for record in records.values()) + 512 * num_tables
    num_weights = sum(record["rows"] * record["cols"] for record in records.values())
    assert 9.5e6 < num_weights < 10.5e6
    assert weights_bound <= weight_bytes <= 1.02 * weights_bound
    assert file_bound <= len(data) <= 1.03 * file_bound


def test_the_bound_is_shannon_s():
    """Recomputed from the integers that the plain reader finds."""
    model = magnitude_pruned(random_model(small_config()), 0.1)
    data, _ = write_ticket(model, chunk_frames=CHUNK, formats="csr")
    bits = other_bytes = 0
    for tensor in read_ticket(data).tensors.values():
        if isinstance(tensor, np.ndarray):
            other_bytes += tensor.nbytes
            continue
        other_bytes += tensor.bias.nbytes
        if tensor.scale is None:
            bits += 16 * tensor.values.size
            continue
        other_bytes += tensor.scale.nbytes
        kept = tensor.values if tensor.format == 1 else tensor.values[tensor.values != 0]
        if tensor.format != 1:
            bits += shannon_bits([kept.size, tensor.values.size - kept.size])
        bits += shannon_bits(np.unique(kept, return_counts=True)[1])
    weights_bound, file_bound = entropy_bound_bytes(model, formats="csr")
    assert weights_bound == pytest.approx(bits / 8, rel=1e-9)
    assert file_bound - weights_bound == pytest.approx(other_bytes)


def shannon_bits(counts):
    counts = np.array(counts, np.float64)
    counts = counts[counts > 0]
    return -(counts * np.log2(counts / counts.sum())).sum()
