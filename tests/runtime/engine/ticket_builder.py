"""Ticket files made by hand, byte for byte: right ones, and wrong ones that are whole otherwise."""

import struct

import numpy as np

from tests.runtime.engine.reference_ticket import (
    BLOCKS,
    CONFIG,
    INT8,
    RAW,
    WIDTHS,
    checksum,
    rans_encode,
    tensor_shapes,
)

CONFIG_VALUES = {
    "num_mels": 6,
    "stem_width": 3,
    "model_width": 5,
    "head_width": 2,
    "num_blocks": 2,
    "conv_kernel": 3,
    "left_context": 4,
    "chunk_frames": 2,
    "vocab_size": 3,
    "max_chunk": 2,
}
BLOCK_VALUES = (
    {"ff1": 6, "heads": 1, "conv": 3, "ff2": 0, "conv_norm": 4},
    {"ff1": 0, "heads": 2, "conv": 0, "ff2": 7, "conv_norm": 4},
)
# Two tables: small gaps are likely in the first, everything is alike in the second.
TABLES = (np.array([8192, *[32] * 254, 64]), np.full(256, 64))
_HEADER = ("format", "rows", "cols", "num_entries", "gap_table", "value_table", "gap_bytes", "value_bytes")


class TicketBuilder:
    """A file whose tensors can be replaced before its bytes are taken.

    Args:
        config, blocks: changes to the numbers of the header.
        default: format of the matrices that are not replaced.
    """

    def __init__(self, *, config=None, blocks=BLOCK_VALUES, default=0):
        self.config, self.blocks = CONFIG_VALUES | (config or {}), [dict(block) for block in blocks]
        self.tables = [np.asarray(table, np.uint16).tobytes() for table in TABLES]
        self.shapes = dict(tensor_shapes(self.config, self.blocks))
        self.tensors = {}
        for seed, (name, shape) in enumerate(self.shapes.items()):
            if len(shape) == 1:
                self.tensors[name] = vector_bytes(np.linspace(-1, 1, *shape))
            else:
                form = default if "depthwise" not in name else int(default in INT8)
                self.tensors[name] = matrix_bytes(form, weights(shape, format=form, seed=seed))

    def content(self):
        """Return everything after the prologue."""
        header = struct.pack("<10I", *(self.config[name] for name in CONFIG))
        header += b"".join(struct.pack("<5I", *(block[name] for name in WIDTHS)) for block in self.blocks)
        return header + b"".join(self.tables) + b"".join(self.tensors.values())

    def bytes(self, **changes):
        """Return the file; `changes` replace fields of the prologue."""
        return seal(self.content(), num_tables=len(self.tables), **changes)


def seal(content, *, magic=b"LTICKET\0", version=1, num_tables=2, num_bytes=None, check=None):
    """Return the prologue of a content, which is right where nothing else is given, and the content."""
    num_bytes = 32 + len(content) if num_bytes is None else num_bytes
    check = checksum(content) if check is None else check
    return struct.pack("<8sIIQQ", magic, version, num_tables, num_bytes, check) + content


def weights(shape, *, format, seed=0, density=0.3):
    """Return (rows, cols): int8 or float32, blocks of zeros and of numbers, both extremes among them."""
    random = np.random.default_rng(seed)
    height, width = BLOCKS.get(format, (1, 1))
    keep = random.random((-(-shape[0] // height), -(-shape[1] // width))) < density
    keep[random.integers(keep.shape[0]), random.integers(keep.shape[1])] = True
    keep = keep.repeat(height, 0).repeat(width, 1)[: shape[0], : shape[1]]
    if format not in INT8:
        return np.where(keep, random.standard_normal(shape), 0).astype(np.float32)
    values = np.where(keep, random.integers(-127, 128, shape), 0)
    values[np.unravel_index(keep.argmax(), shape)] = -127
    return values.astype(np.int8)


def vector_bytes(values, *, encoding=0):
    """Return a vector with its encoding: 0 for float32, 1 for float16."""
    return struct.pack("<I", encoding) + np.asarray(values, ["<f4", "<f2"][encoding]).tobytes()


def gap_symbols(places):
    """Return the bytes of the gaps before each place."""
    symbols, before = bytearray(), -1
    for place in places:
        gap, before = place - before - 1, place
        while gap >= 255:
            symbols.append(255)
            gap -= 255
        symbols.append(gap)
    return bytes(symbols)


def matrix_bytes(form, dense, *, tables=(RAW, RAW), bias=None, scale=None, gaps=None, values=None, **header):
    """Return a matrix in its form.

    Args:
        form: number of the format.
        dense: (rows, cols), float32 or int8.
        tables: for gaps and values; RAW for none.
        bias, scale: bytes in the place of the right ones.
        gaps, values: streams in the place of the right ones.
        header: fields in the place of the right ones.
    """
    rows, cols = dense.shape
    if form in BLOCKS:
        height, width = BLOCKS[form]
        padded = np.pad(dense, ((0, -rows % height), (0, -cols % width)))
        blocks = [
            padded[top : top + height, left : left + width]
            for top in range(0, rows, height)
            for left in range(0, cols, width)
        ]
        places = [number for number, block in enumerate(blocks) if block.any()]
        numbers = np.array([blocks[place] for place in places], dense.dtype).ravel()
    else:
        places, numbers = [], dense.ravel()
    streams = [gap_symbols(places), numbers.tobytes()]
    for part, shift in ((0, 0), (1, 128)):
        if tables[part] != RAW and (part == 1 or form in BLOCKS):
            symbols = bytes((number + shift) % 256 for number in streams[part])
            streams[part] = rans_encode(TABLES[tables[part]], symbols)
    streams = [found if given is None else given for found, given in zip(streams, (gaps, values), strict=True)]
    fields = dict(zip(_HEADER, (form, rows, cols, len(places), *tables, *map(len, streams)), strict=True)) | header
    bias = vector_bytes(np.arange(rows)) if bias is None else bias
    scale = (vector_bytes(np.full(rows, 0.5)) if form in INT8 else b"") if scale is None else scale
    return struct.pack("<8I", *(fields[name] for name in _HEADER)) + bias + scale + b"".join(streams)
