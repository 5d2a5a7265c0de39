"""The engine's parser: files made by hand are read to the last weight, wrong ones refused in words.

Wrong files here are whole - their sizes and checksums are right - so that the checks behind those are reached.
"""

import contextlib
import struct

import numpy as np
import pytest

from tests.runtime.engine.probe import ParseError, load_probe
from tests.runtime.engine.reference_ticket import BLOCKS, INT8, RAW, rans_encode, read_ticket
from tests.runtime.engine.ticket_builder import (
    BLOCK_VALUES,
    TABLES,
    TicketBuilder,
    matrix_bytes,
    seal,
    vector_bytes,
    weights,
)

FORMATS = range(8)


@pytest.fixture(scope="module")
def probe():
    return load_probe()


def refusal(probe, data):
    """Return the parser's words on a file; one line."""
    with pytest.raises(ParseError) as caught:
        probe.read(data)
    text = str(caught.value)
    assert text
    assert text.isprintable()
    return text


@pytest.mark.parametrize("tables", [(RAW, RAW), (0, RAW), (RAW, 1), (0, 1)], ids=["raw", "gaps", "values", "both"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_to_the_last_weight(probe, format, tables):
    if format not in INT8:
        tables = (tables[0], RAW)
    if format not in BLOCKS:
        tables = (RAW, tables[1])
    builder = TicketBuilder(default=format)
    expected = {}
    for seed, (name, shape) in enumerate(builder.shapes.items()):
        if len(shape) == 2 and "depthwise" not in name:
            expected[name] = weights(shape, format=format, seed=seed)
            builder.tensors[name] = matrix_bytes(format, expected[name], tables=tables)
    num_matrices, found = probe.read(builder.bytes())
    assert num_matrices == 3 + 6 + 4
    matrices = {name: (number, array) for name, number, array in found if name in expected}
    assert list(matrices) == list(expected)
    for name, (number, array) in matrices.items():
        assert number == format
        np.testing.assert_array_equal(array, expected[name])
    # The plain reader agrees that this is the file that was meant.
    for name, dense in expected.items():
        np.testing.assert_array_equal(read_ticket(builder.bytes()).tensors[name].values, dense)


@pytest.mark.parametrize("table", [RAW, 0])
def test_gaps_of_any_length(probe, table):
    """255 goes on: the lengths around it, and around twice that, are where a reader slips."""
    builder = TicketBuilder(config={"num_mels": 400})
    dense = np.zeros((3, 1200), np.int8)
    places = np.cumsum([0, *(gap + 1 for gap in (0, 1, 253, 254, 255, 256, 509, 510, 511, 600))])
    dense.flat[places] = np.arange(1, len(places) + 1)
    builder.tensors["conv1"] = matrix_bytes(3, dense, tables=(table, RAW))
    _, found = probe.read(builder.bytes())
    np.testing.assert_array_equal(next(array for name, _, array in found if name == "conv1"), dense)


def test_vectors_in_both_encodings(probe):
    values = np.array([1, -2, 0.1, 65504, 6e-8, -6.1e-5])
    for encoding, dtype in enumerate((np.float32, np.float16)):
        builder = TicketBuilder()
        builder.tensors["mean"] = vector_bytes(values, encoding=encoding)
        name, _, array = probe.read(builder.bytes())[1][0]
        assert name == "mean"
        np.testing.assert_array_equal(array[:, 0], values.astype(dtype).astype(np.float32))


def test_a_matrix_without_entries(probe):
    builder = TicketBuilder()
    for format in BLOCKS:
        zeros = np.zeros((5, 9), np.int8 if format in INT8 else np.float32)
        builder.tensors["conv2"] = matrix_bytes(format, zeros)
        _, found = probe.read(builder.bytes())
        assert not next(array for name, _, array in found if name == "conv2").any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"magic": b"TICKETL\0"}, "not a ticket file"),
        ({"version": 2}, "ticket file of version 2, this engine reads 1"),
        ({"num_bytes": 10**15}, "its own header says 1000000000000000: not copied whole"),
        ({"check": 1}, "altered: the checksum differs"),
        ({"num_tables": 65}, "num_tables is 65, expected 0 to 64"),
        ({"num_tables": 3}, "tables[2]: the frequencies do not sum to 16384"),
    ],
)
def test_a_wrong_prologue(probe, changes, words):
    assert words in refusal(probe, seal(TicketBuilder().content(), **changes))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("num_mels", 0, "num_mels is 0, expected 1 to 5461"),
        ("stem_width", 5462, "stem_width is 5462, expected 1 to 5461"),
        ("model_width", 16385, "model_width is 16385, expected 1 to 16384"),
        ("head_width", 0, "head_width is 0, expected 1 to 16384"),
        ("num_blocks", 0, "num_blocks is 0, expected 1 to 256"),
        ("num_blocks", 257, "num_blocks is 257, expected 1 to 256"),
        ("num_blocks", 256, "config: the file ends inside"),
        ("conv_kernel", 4, "conv_kernel is 4, expected odd"),
        ("conv_kernel", 1025, "conv_kernel is 1025, expected 1 to 1023"),
        ("left_context", 0, "left_context is 0, expected 1 to 16384"),
        ("left_context", 16385, "left_context is 16385, expected 1 to 16384"),
        ("chunk_frames", 0, "chunk_frames is 0, expected 1 to 1024"),
        ("chunk_frames", 1025, "chunk_frames is 1025, expected 1 to 1024"),
        ("vocab_size", 1, "vocab_size is 1, expected 2 to 65536"),
        ("vocab_size", 65537, "vocab_size is 65537, expected 2 to 65536"),
        ("max_chunk", 0, "max_chunk is 0, expected 1 to 16384"),
        ("max_chunk", 0xFFFFFFFF, "max_chunk is 4294967295, expected 1 to 16384"),
        ("head_width", 4, "blocks[0].attention.query_key_value: 6 rows, expected 12"),
        ("vocab_size", 4, "head: 3 rows, expected 4"),
        ("model_width", 6, "conv2: 5 rows, expected 6"),
        ("stem_width", 4, "conv1: 3 rows, expected 4"),
        ("conv_kernel", 5, "blocks[0].convolution.depthwise: 3 columns, expected 5"),
    ],
)
def test_a_wrong_config(probe, field, value, words):
    builder = TicketBuilder()
    builder.config[field] = value
    if words.endswith("ends inside"):
        builder.tables, builder.tensors = [], {}
    assert words in refusal(probe, builder.bytes())


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ff1", 16385, "blocks[1].ff1 is 16385, expected 0 to 16384"),
        ("heads", 2731, "blocks[1].heads is 2731, expected 0 to 2730"),
        ("conv", 8193, "blocks[1].conv is 8193, expected 0 to 8192"),
        ("ff2", 0xFFFFFFFF, "blocks[1].ff2 is 4294967295, expected 0 to 16384"),
        ("conv_norm", 1 << 27, "blocks[1].conv_norm is 134217728, expected 0 to"),
        ("conv", 5, "blocks[1].conv_norm is 4, expected 5 to"),
        ("ff2", 8, "blocks[1].ff2.up: 7 rows, expected 8"),
        ("heads", 0, "blocks[1].ff2.up: 12 rows, expected 7"),
    ],
)
def test_wrong_widths(probe, field, value, words):
    builder = TicketBuilder()
    builder.blocks[1][field] = value
    assert words in refusal(probe, builder.bytes())


def test_a_state_that_no_memory_holds(probe):
    """Each width is within its bounds; together they are not."""
    builder = TicketBuilder(config={"left_context": 16384, "head_width": 5461}, blocks=())
    builder.blocks = [BLOCK_VALUES[0]] * builder.config["num_blocks"]
    assert "numbers in the state of a stream is" in refusal(probe, builder.bytes())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.full(256, 63), "tables[1]: the frequencies do not sum to 16384"),
        (np.full(256, 65535), "tables[1]: the frequencies do not sum to 16384"),
        ([16384, 1, *[0] * 254], "tables[1]: the frequencies do not sum to 16384"),
        (np.zeros(256), "tables[1]: the frequencies do not sum to 16384"),
    ],
)
def test_wrong_tables(probe, table, words):
    builder = TicketBuilder()
    builder.tables[1] = np.array(table, np.uint16).tobytes()
    assert refusal(probe, builder.bytes()) == words


SPARSE, DENSE = weights((5, 9), format=3), weights((5, 9), format=1)
BLOCKED = weights((5, 9), format=7)
NUM = np.count_nonzero(SPARSE)
FLOATS = weights((5, 9), format=0, density=1)


def with_value(dense, number, value):
    changed = dense.copy()
    changed.flat[number] = value
    return changed


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        pytest.param(matrix_bytes(3, SPARSE, format=8), "unknown format 8", id="format"),
        pytest.param(matrix_bytes(3, SPARSE, rows=6), "6 rows, expected 5", id="rows"),
        pytest.param(matrix_bytes(3, SPARSE, cols=10), "10 columns, expected 9", id="columns"),
        pytest.param(matrix_bytes(3, SPARSE, gap_table=2), "table 2 of 2", id="gap table"),
        pytest.param(matrix_bytes(3, SPARSE, value_table=RAW - 1), "table 4294967294 of 2", id="value table"),
        pytest.param(matrix_bytes(3, SPARSE, num_entries=46), "46 entries, at most 45 fit", id="entries"),
        pytest.param(matrix_bytes(7, BLOCKED, num_entries=7), "7 entries, at most 6 fit", id="blocks"),
        pytest.param(matrix_bytes(3, SPARSE, gaps=b""), f"0 bytes of gaps for {NUM} entries", id="no gaps"),
        pytest.param(matrix_bytes(3, SPARSE, values=b"1"), f"1 bytes of values, expected {NUM}", id="few values"),
        pytest.param(matrix_bytes(0, FLOATS, values=bytes(45)), "45 bytes of values, expected 180", id="few floats"),
        pytest.param(matrix_bytes(0, FLOATS, value_table=0), "float values are never coded", id="coded floats"),
        pytest.param(matrix_bytes(1, DENSE, num_entries=1), "dense, yet with entries", id="dense entries"),
        pytest.param(matrix_bytes(1, DENSE, gaps=b"\0"), "dense, yet with entries", id="dense gaps"),
        pytest.param(matrix_bytes(1, DENSE, gap_table=0), "dense, yet with entries", id="dense gap table"),
        pytest.param(matrix_bytes(1, with_value(DENSE, 7, -128)), "a weight is out of range", id="-128"),
        pytest.param(matrix_bytes(1, with_value(DENSE, 7, -128), tables=(RAW, 1)), "is out of range", id="-128 coded"),
        pytest.param(matrix_bytes(3, with_value(SPARSE, 7, -128)), "a weight is out of range", id="sparse -128"),
        pytest.param(matrix_bytes(0, with_value(FLOATS, 44, np.nan)), "a weight is out of range", id="NaN"),
        pytest.param(matrix_bytes(2, with_value(FLOATS, 0, -np.inf)), "a weight is out of range", id="infinity"),
        pytest.param(
            matrix_bytes(3, SPARSE, gaps=bytes([0] * (NUM - 1) + [46 - NUM])),
            f"entry {NUM - 1} lies outside the matrix",
            id="beyond the end",
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, gaps=b"\xff" * NUM), "entry 0 lies outside the matrix", id="a gap without end"
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, gaps=bytes(NUM + 1)), "the gaps do not end with the entries", id="a gap too many"
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, gaps=rans_encode(TABLES[0], bytes(NUM))[:-1], gap_table=0),
            "the gaps do not end with the entries",
            id="gaps cut short",
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, gaps=b"\1\2\3", gap_table=0), "the gaps do not end", id="less than a coder's state"
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, values=rans_encode(TABLES[1], bytes([9] * (NUM + 1))), value_table=1),
            "the values do not end with the entries",
            id="a value too many",
        ),
        pytest.param(
            matrix_bytes(1, DENSE, values=rans_encode(TABLES[1], bytes([9] * 46)), value_table=1),
            "the values do not end with the matrix",
            id="a dense value too many",
        ),
        pytest.param(
            matrix_bytes(7, BLOCKED, num_entries=6, gaps=bytes(6), values=bytes([1] * 96)),
            "entry 2 holds weights outside the matrix",
            id="padding that is not zero",
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, bias=b"\2\0\0\0"), "conv2.bias: encoding 2, expected 0 or 1", id="encoding"
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, bias=vector_bytes([0, 1, np.inf, 3, 4], encoding=1)),
            "conv2.bias: number 2 is not finite",
            id="bias",
        ),
        pytest.param(
            matrix_bytes(3, SPARSE, scale=vector_bytes([0, 1, 2, np.nan, 4])),
            "conv2.scale: number 3 is not finite",
            id="scale",
        ),
    ],
)
def test_a_wrong_matrix(probe, matrix, words):
    builder = TicketBuilder()
    builder.tensors["conv2"] = matrix
    text = refusal(probe, builder.bytes())
    assert text.startswith("conv2")
    assert words in text


def test_the_depthwise_convolution_is_dense(probe):
    builder, name = TicketBuilder(), "blocks[0].convolution.depthwise"
    builder.tensors[name] = matrix_bytes(3, weights((3, 3), format=3))
    assert refusal(probe, builder.bytes()) == f"{name}: format 3, expected a dense one"


def test_nothing_follows_the_last_tensor(probe):
    builder = TicketBuilder()
    builder.tensors["more"] = b"\0"
    assert refusal(probe, builder.bytes()) == "1 bytes after the last tensor"


def test_a_file_that_names_more_weights_than_anyone_has(probe):
    """Coded zeros cost nothing: without a limit a short file would ask for any amount of memory."""
    builder = TicketBuilder(config={"model_width": 16384, "num_blocks": 1}, blocks=())
    builder.blocks = [{"ff1": 16384, "heads": 0, "conv": 0, "ff2": 0, "conv_norm": 0}]
    wide = np.zeros((16384, 1), np.float32)
    bias = vector_bytes(wide[:, 0])
    builder.tensors["conv2"] = matrix_bytes(2, wide[:, :1], cols=9)
    del builder.tensors["head"]
    builder.tensors["blocks[0].ff1.up"] = struct.pack("<8I", 2, 16384, 16384, 0, RAW, RAW, 0, 0) + bias
    assert refusal(probe, builder.bytes()) == "blocks[0].ff1.up: more weights than this engine supports"


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_cut_anywhere_is_refused(probe, format):
    content = TicketBuilder(default=format).content()
    for size in range(len(content)):
        assert refusal(probe, seal(content[:size]))
    whole = seal(content)
    for size in range(32):
        assert refusal(probe, whole[:size]) == "not a ticket file"


@pytest.mark.parametrize("format", FORMATS)
def test_no_byte_can_change_unnoticed_and_none_breaks_the_parser(probe, format):
    content = TicketBuilder(default=format).content()
    random = np.random.default_rng(format)
    num_read = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        if place % 16 == 0:
            assert refusal(probe, seal(content)[:32] + changed) == "altered: the checksum differs"
        with contextlib.suppress(ParseError):
            probe.read(seal(bytes(changed)))
            num_read += 1
    # Weights and biases may be anything; sizes, tables and streams may not.
    assert num_read < len(content) * 3 / 4
