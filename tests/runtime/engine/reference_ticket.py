"""Another reader, entropy coder and interpreter of ticket files, written from docs/formats.md: slow and plain.

Shares no code with the engine or the exporter, so that a mistake in either shows.
"""

import struct
from dataclasses import dataclass, field

import numpy as np

BLOCKS = {2: (1, 1), 3: (1, 1), 4: (1, 1), 5: (1, 4), 6: (1, 4), 7: (4, 4)}
INT8 = (1, 3, 4, 6, 7)
RAW = 0xFFFFFFFF
RAW_FLOAT16 = 0xFFFFFFFE
CONFIG = (
    "num_mels",
    "stem_width",
    "model_width",
    "head_width",
    "num_blocks",
    "conv_kernel",
    "left_context",
    "chunk_frames",
    "vocab_size",
    "max_chunk",
)
WIDTHS = ("ff1", "heads", "conv", "ff2", "conv_norm")


def checksum(data):
    """Return the checksum of the bytes after the prologue."""
    state = 14695981039346656037
    for at in range(0, len(data), 8):
        state = (state ^ int.from_bytes(data[at : at + 8], "little")) * 1099511628211 % (1 << 64)
        state ^= state >> 32
    return state


def rans_encode(frequencies, symbols):
    """Return the stream of symbols."""
    starts = [0, *np.cumsum(frequencies, dtype=np.int64).tolist()]
    frequencies = [int(count) for count in frequencies]
    state, words = 1 << 16, []
    for symbol in reversed(bytes(symbols)):
        count = frequencies[symbol]
        if state >= count << 18:
            words.append(state & 0xFFFF)
            state >>= 16
        state = (state // count << 14) + state % count + starts[symbol]
    return struct.pack("<I", state) + b"".join(struct.pack("<H", word) for word in reversed(words))


def rans_symbols(frequencies, stream):
    """Yield symbols for ever; the last word and the last state must come out where the caller stops.

    Sends: nothing. Yields (symbol, whether the stream would be used up after it).
    """
    starts = [0, *np.cumsum(frequencies, dtype=np.int64).tolist()]
    of_slot = np.repeat(np.arange(256), frequencies).tolist()
    frequencies = [int(count) for count in frequencies]
    (state,), at = struct.unpack_from("<I", stream), 4
    while True:
        slot = state & 16383
        symbol = of_slot[slot]
        state = frequencies[symbol] * (state >> 14) + slot - starts[symbol]
        if state < 1 << 16:
            state = state << 16 | int.from_bytes(stream[at : at + 2], "little")
            at += 2
        yield symbol, state == 1 << 16 and at == len(stream)


def raw_symbols(stream):
    """Yield the bytes of a stream as `rans_symbols` does."""
    for number, symbol in enumerate(stream):
        yield symbol, number + 1 == len(stream)


@dataclass(kw_only=True)
class Matrix:
    """One matrix as read: `values` are integers for int8 formats; `weight` is what the engine multiplies by."""

    format: int
    values: np.ndarray
    bias: np.ndarray
    scale: np.ndarray | None
    num_entries: int
    header: dict
    streams: tuple[bytes, bytes]

    @property
    def weight(self):
        return self.values.astype(np.float64) * (1 if self.scale is None else self.scale[:, None].astype(np.float64))


@dataclass(kw_only=True)
class Ticket:
    """A file as read. tensors: name -> Matrix or array, in the order of the file; blocks: widths by name."""

    config: dict
    blocks: list
    tables: np.ndarray
    tensors: dict = field(default_factory=dict)


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, format):
        values = struct.unpack_from("<" + format, self.data, self.at)
        self.at += struct.calcsize("<" + format)
        return values

    def numbers(self, dtype, count):
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values

    def vector(self, count):
        (encoding,) = self.take("I")
        return self.numbers(["<f4", "<f2"][encoding], count)

    def matrix(self, rows, cols, tables):
        names = ("format", "rows", "cols", "num_entries", "gap_table", "value_table", "gap_bytes", "value_bytes")
        header = dict(zip(names, self.take("8I"), strict=True))
        assert (header["rows"], header["cols"]) == (rows, cols)
        bias = self.vector(rows)
        scale = self.vector(rows) if header["format"] in INT8 else None
        gaps, values = (bytes(self.numbers("u1", header[f"{kind}_bytes"])) for kind in ("gap", "value"))
        return Matrix(
            format=header["format"],
            values=_weights(header, gaps, values, tables),
            bias=bias,
            scale=scale,
            num_entries=header["num_entries"],
            header=header,
            streams=(gaps, values),
        )


def _weights(header, gaps, values, tables):
    is_int8 = header["format"] in INT8
    height, width = BLOCKS.get(header["format"], (1, 1))
    down, across = -(-header["rows"] // height), -(-header["cols"] // width)
    num_entries = header["num_entries"] if header["format"] in BLOCKS else down * across
    if not is_int8:
        flat = np.frombuffer(values, "<f2" if header["value_table"] == RAW_FLOAT16 else "<f4")
    elif header["value_table"] == RAW:
        flat = np.frombuffer(values, "i1")
    else:
        symbols = rans_symbols(tables[header["value_table"]], values)
        decoded = [next(symbols) for _ in range(num_entries * height * width)]
        assert not decoded or decoded[-1][1]
        flat = np.array([symbol for symbol, _ in decoded], np.int16) - 128
    flat = flat.reshape(num_entries, height, width)
    places = np.arange(num_entries)
    if header["format"] in BLOCKS:
        coded = header["gap_table"] != RAW
        symbols = rans_symbols(tables[header["gap_table"]], gaps) if coded else raw_symbols(gaps)
        place, places, is_last = -1, [], not coded and not gaps
        for _ in range(num_entries):
            place += 1
            while True:
                symbol, is_last = next(symbols)
                place += symbol
                if symbol != 255:
                    break
            places.append(place)
        assert is_last
    tiled = np.zeros((down * across, height, width), flat.dtype)
    tiled[places] = flat
    whole = tiled.reshape(down, across, height, width).swapaxes(1, 2).reshape(down * height, across * width)
    assert not whole[header["rows"] :].any()
    assert not whole[:, header["cols"] :].any()
    return whole[: header["rows"], : header["cols"]]


def read_ticket(data):
    """Return the Ticket in the bytes of a file."""
    reader = _Reader(data)
    magic, version, num_tables, num_bytes, found = reader.take("8sIIQQ")
    assert (magic, version, num_bytes, found) == (b"LTICKET\0", 1, len(data), checksum(data[32:]))
    config = dict(zip(CONFIG, reader.take("10I"), strict=True))
    blocks = [dict(zip(WIDTHS, reader.take("5I"), strict=True)) for _ in range(config["num_blocks"])]
    tables = reader.numbers("<u2", num_tables * 256).reshape(-1, 256)
    assert (tables.sum(1, dtype=np.int64) == 16384).all()
    ticket = Ticket(config=config, blocks=blocks, tables=tables)
    for name, shape in tensor_shapes(config, blocks):
        ticket.tensors[name] = reader.matrix(*shape, tables) if len(shape) == 2 else reader.vector(*shape)
    assert reader.at == len(data)
    return ticket


def tensor_shapes(config, blocks):
    """Yield (name, shape) of every tensor in the order of the file: two sizes for a matrix, one for a vector."""
    width, stem = config["model_width"], config["stem_width"]
    yield "mean", (config["num_mels"],)
    yield "inverse_std", (config["num_mels"],)
    yield "conv1", (stem, 3 * config["num_mels"])
    yield "conv2", (width, 3 * stem)
    for number, widths in enumerate(blocks):
        block = f"blocks[{number}]"
        if size := widths["ff1"]:
            yield f"{block}.ff1.up", (size, width)
            yield f"{block}.ff1.down", (width, size)
        if heads := widths["heads"]:
            size = heads * config["head_width"]
            yield f"{block}.attention.query_key_value", (3 * size, width)
            yield f"{block}.attention.position_bias", (heads * (config["left_context"] + 2 * config["max_chunk"] - 1),)
            yield f"{block}.attention.out", (width, size)
        if size := widths["conv"]:
            yield f"{block}.convolution.pointwise_in", (2 * size, width)
            yield f"{block}.convolution.depthwise", (size, config["conv_kernel"])
            yield f"{block}.convolution.gain", (size,)
            yield f"{block}.convolution.pointwise_out", (width, size)
        if size := widths["ff2"]:
            yield f"{block}.ff2.up", (size, width)
            yield f"{block}.ff2.down", (width, size)
        yield f"{block}.norm.gain", (width,)
        yield f"{block}.norm.bias", (width,)
    yield "head", (config["vocab_size"], width)


def run_ticket(ticket, features_TF):
    """Return float64 (T', V) log-probabilities of a whole utterance, chunk by chunk, activations not rounded.

    Args:
        features_TF: (4 * T' + 3, num_mels), T' a multiple of the chunk.
    """
    config, tensors = ticket.config, ticket.tensors

    def product(name, x):
        return x @ tensors[name].weight.T + tensors[name].bias.astype(np.float64)

    x = (features_TF.astype(np.float64) - tensors["mean"]) * tensors["inverse_std"]
    for name in ("conv1", "conv2"):
        x = product(name, np.stack([x[at : at + 3].ravel() for at in range(0, len(x) - 2, 2)]))
        x = _silu(x) if name == "conv1" else x
    for number, widths in enumerate(ticket.blocks):
        block = f"blocks[{number}]"
        if widths["ff1"]:
            x = x + product(f"{block}.ff1.down", _silu(product(f"{block}.ff1.up", _standardise(x))))
        if widths["heads"]:
            x = x + _attend(product, tensors, x, block=f"{block}.attention", heads=widths["heads"], config=config)
        if widths["conv"]:
            x = x + _convolve(product, tensors, x, block=f"{block}.convolution", widths=widths, config=config)
        if widths["ff2"]:
            x = x + product(f"{block}.ff2.down", _silu(product(f"{block}.ff2.up", _standardise(x))))
        x = _standardise(x) * tensors[f"{block}.norm.gain"] + tensors[f"{block}.norm.bias"]
    logits = product("head", x)
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


def _silu(x):
    return x / (1 + np.exp(-x))


def _standardise(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _attend(product, tensors, x, *, block, heads, config):
    left, chunk, reach = config["left_context"], config["chunk_frames"], config["max_chunk"] - 1
    table = tensors[f"{block}.position_bias"].astype(np.float64).reshape(heads, -1)
    split = product(f"{block}.query_key_value", _standardise(x)).reshape(len(x), 3, heads, config["head_width"])
    mixed = np.zeros(split[:, 0].shape)
    for frame in range(len(x)):
        begin = frame // chunk * chunk
        seen = np.arange(max(0, begin - left), begin + chunk)
        distance = np.clip(frame - seen + reach, 0, table.shape[1] - 1)
        for head in range(heads):
            logits = split[seen, 1, head] @ split[frame, 0, head] + table[head, distance]
            weights = np.exp(logits - logits.max())
            mixed[frame, head] = weights @ split[seen, 2, head] / weights.sum()
    return product(f"{block}.out", mixed.reshape(len(x), -1))


def _convolve(product, tensors, x, *, block, widths, config):
    chunk, reach = config["chunk_frames"], config["conv_kernel"] // 2
    signal, gate = np.split(product(f"{block}.pointwise_in", _standardise(x)), 2, 1)
    gated = signal / (1 + np.exp(-gate))
    depthwise = tensors[f"{block}.depthwise"]
    mixed = np.tile(depthwise.bias.astype(np.float64), (len(x), 1))
    for frame in range(len(x)):
        for tap in range(config["conv_kernel"]):
            source = frame + tap - reach
            if 0 <= source < (frame // chunk + 1) * chunk:
                mixed[frame] += depthwise.weight[:, tap] * gated[source]
    size = np.sqrt((mixed**2).sum(1, keepdims=True) / widths["conv_norm"] + 1e-5)
    return product(f"{block}.pointwise_out", _silu(mixed / size * tensors[f"{block}.gain"]))
