"""Writes `model.ticket`, the file of the ticket engine (runtime/engine). Layout: docs/formats.md.

The tensors of a model, constants folded in -> quantised, zeros taken out (weight_coding.py) -> entropy-coded, in the
order of the file.
"""

import struct

import numpy as np

from export.folding import fold, fold_query_key_value
from export.frequency_tables import NUM_SYMBOLS, share_tables
from export.weight_coding import code_matrix
from export.weight_formats import choose_format, find_format
from runtime.engine.library import encode

VERSION = 1
_MAGIC = b"LTICKET\0"
_PROLOGUE = struct.Struct("<8s2I2Q")
_MATRIX = struct.Struct("<8I")
_RAW = 0xFFFFFFFF
_RAW_FLOAT16 = 0xFFFFFFFE
_FLOAT32, _FLOAT16 = 0, 1
_CONFIG_FIELDS = ("num_mels", "stem_width", "model_width", "head_width")
_WIDTH_FIELDS = ("ff1", "heads", "conv", "ff2", "conv_norm")


def write_ticket(model, *, chunk_frames, precision="int8", num_bits=8, target="server", formats=None):
    """Return a ticket file.

    Args:
        model: Conformer; what is pruned in it is 0, or removed.
        chunk_frames: encoder frames (40 ms) a chunk.
        precision: "int8", or "fp32" to store every number as float32.
        num_bits: of each weight in an int8 file: 8, or 4 for a smaller and less exact one.
        target: processors that the formats are chosen for, a key of weight_formats.TARGETS.
        formats: kind that every matrix gets (a `kind` of weight_formats.FORMATS); None chooses for each.
    Returns:
        (bytes, records). Records tell of each matrix, by name: `format`, `rows`, `cols`, `density` of what is stored,
        `bytes` of the file, and `weight_bytes`, those of them that are its entries.
    Raises:
        ValueError: no such format.
        EngineUnavailableError: the engine's library, which has the entropy coder, is missing.
    """
    tensors = _code(model, precision=precision, num_bits=num_bits, target=target, formats=formats)
    matrices = [tensor for tensor in tensors if not isinstance(tensor, np.ndarray)]
    streams = [stream for matrix in matrices for stream in matrix.streams if stream is not None]
    tables, numbers = share_tables([np.bincount(stream, minlength=NUM_SYMBOLS) for stream in streams])
    numbers = iter(numbers.tolist())
    body, records = [_pack_config(model.config, chunk_frames=chunk_frames), tables.tobytes()], {}
    for tensor in tensors:
        if isinstance(tensor, np.ndarray):
            body.append(_pack_vector(tensor))
            continue
        packed, record = _pack_matrix(tensor, tables=tables, numbers=numbers)
        body.append(packed)
        records[tensor.name] = record
    content = b"".join(body)
    prologue = _PROLOGUE.pack(_MAGIC, VERSION, len(tables), _PROLOGUE.size + len(content), checksum(content))
    return prologue + content, records


def entropy_bound_bytes(model, *, precision="int8", num_bits=8, target="server", formats=None):
    """Return (weights, file): the fewest bytes that the entries of all matrices, and the whole file, could take.

    The entries by their Shannon entropy (CodedMatrix.entropy_bits), everything else of the model as it is stored.
    Headers and tables are not part of a bound. Arguments: see write_ticket.
    """
    tensors = _code(model, precision=precision, num_bits=num_bits, target=target, formats=formats)
    entry_bytes = other_bytes = 0
    for tensor in tensors:
        if isinstance(tensor, np.ndarray):
            other_bytes += tensor.nbytes
        else:
            entry_bytes += tensor.entropy_bits / 8
            other_bytes += tensor.bias.nbytes + (0 if tensor.scale is None else tensor.scale.nbytes)
    return entry_bytes, entry_bytes + other_bytes


def checksum(content):
    """Return the checksum of everything after the prologue."""
    words = np.frombuffer(content + bytes(-len(content) % 8), "<u8").tolist()
    value = 14695981039346656037
    for word in words:
        value = (value ^ word) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 32
    return value


def _code(model, *, precision, num_bits, target, formats):
    """Return the tensors of the file in its order: CodedMatrix, or a float vector as it is stored."""
    dtype = np.float32 if precision == "fp32" else np.float16
    forced = None if formats is None else find_format(formats, precision=precision)
    dense = find_format("dense", precision=precision)
    float_dense = find_format("dense", precision="fp32")

    def vector(tensor):
        return _round(tensor.detach().double().numpy(), dtype)

    def matrix(name, weight, bias, *, format=forced):
        weight = weight.numpy()
        chosen = choose_format(weight, precision=precision, target=target) if format is None else format
        float_dtype = _round(weight, dtype).dtype
        bias = _round(bias.numpy(), dtype)
        return code_matrix(name, weight, bias, format=chosen, num_bits=num_bits, float_dtype=float_dtype)

    def feed_forward(name, layer):
        return [
            matrix(f"{name}.up", *fold(layer.up, norm=layer.norm)),
            matrix(f"{name}.down", *fold(layer.down, scale=0.5)),
        ]

    stem = model.subsampling
    tensors = [
        # Log-mel energies are far from 0 and close together: in float32 at any precision.
        *(_round(each.double().numpy(), np.float32) for each in (stem.mean, stem.inverse_std)),
        # In float in int8 files too: 8 bits for the features and these weights make five sixths of the error of
        # an int8 ticket (KL divergence from float32 on AN4's dev clips), and a hundredth of its work.
        matrix("conv1", *fold(stem.conv1), format=forced if precision == "fp32" else float_dense),
        matrix("conv2", *fold(stem.conv2)),
    ]
    for number, block in enumerate(model.blocks):
        name = f"blocks[{number}]"
        if block.ff1 is not None:
            tensors += feed_forward(f"{name}.ff1", block.ff1)
        if (attention := block.attention) is not None:
            tensors += [
                matrix(f"{name}.attention.query_key_value", *fold_query_key_value(attention, norm=attention.norm)),
                vector(attention.position_bias),
                matrix(f"{name}.attention.out", *fold(attention.out)),
            ]
        if (convolution := block.convolution) is not None:
            tensors += [
                matrix(f"{name}.convolution.pointwise_in", *fold(convolution.pointwise_in, norm=convolution.norm)),
                matrix(f"{name}.convolution.depthwise", *fold(convolution.depthwise), format=dense),
                vector(convolution.channel_norm.gain),
                matrix(f"{name}.convolution.pointwise_out", *fold(convolution.pointwise_out)),
            ]
        if block.ff2 is not None:
            tensors += feed_forward(f"{name}.ff2", block.ff2)
        tensors += [vector(block.norm.weight), vector(block.norm.bias)]
    return [*tensors, matrix("head", *fold(model.head))]


def _round(values, dtype):
    """Return a vector in a float type, or in float32 where it holds numbers that are too large for float16."""
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    return rounded if np.isfinite(rounded).all() else values.astype(np.float32)


def _pack_config(config, *, chunk_frames):
    numbers = [getattr(config, name) for name in _CONFIG_FIELDS]
    numbers += [len(config.blocks), config.conv_kernel, config.left_context_frames, chunk_frames, config.vocab_size]
    numbers.append(config.max_chunk_frames)
    numbers += [getattr(block, name) for block in config.blocks for name in _WIDTH_FIELDS]
    return np.array(numbers, "<u4").tobytes()


def _pack_vector(values):
    return struct.pack("<I", _FLOAT16 if values.dtype == np.float16 else _FLOAT32) + values.tobytes()


def _pack_matrix(matrix, *, tables, numbers):
    """Return (bytes, record) of a matrix; its streams take the next `numbers` of their tables."""
    packed, used = [], []
    for stream, content in zip(matrix.streams, (matrix.gaps, matrix.values), strict=True):
        number, raw = -1 if stream is None else next(numbers), content.tobytes()
        coded = raw if number < 0 else encode(tables[number], stream)
        is_shorter = len(coded) < len(raw)
        packed.append(coded if is_shorter else raw)
        used.append(number if is_shorter else _RAW_FLOAT16 if content.dtype == np.float16 else _RAW)
    gaps, values = packed
    rows, cols = matrix.shape
    header = _MATRIX.pack(matrix.format.number, rows, cols, matrix.num_entries, *used, len(gaps), len(values))
    vectors = _pack_vector(matrix.bias) + (b"" if matrix.scale is None else _pack_vector(matrix.scale))
    content = header + vectors + gaps + values
    record = {
        "format": matrix.format.name,
        "rows": rows,
        "cols": cols,
        "density": matrix.density,
        "bytes": len(content),
        "weight_bytes": len(gaps) + len(values),
    }
    return content, record
