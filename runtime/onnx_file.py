"""What an ONNX file holds, found out before onnxruntime reads it: its operators, and whether data lies outside it.

A walk over the protobuf wire format, since the runtime has no package `onnx`. It is stricter than a protobuf reader:
what it cannot name it refuses, so that nothing passes here and means something to another reader.
"""

# Limits that no real model comes near: a graph of 8 M weights has 15 000 fields, six messages deep.
MAX_FIELDS = 1 << 20
MAX_DEPTH = 48

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
# A field number of at most 29 bits and the wire type.
_MAX_TAG_BYTES, _MAX_VARINT_BYTES = 5, 10

# Message -> number of a field -> message, for all fields below which a node or a tensor can lie; and the numbers of
# all fields. Source: onnx.proto3 of onnx 1.23; a test compares them with the package's descriptors.
MESSAGES = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
FIELDS = {
    "ModelProto": {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26},
    "GraphProto": {1, 2, 5, 10, 11, 12, 13, 14, 15, 16},
    "TrainingInfoProto": {1, 2, 3, 4},
    "FunctionProto": {1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
    "NodeProto": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
    "AttributeProto": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 20, 21, 22, 23},
    "SparseTensorProto": {1, 2, 3},
    "TensorProto": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16},
}
_CALLABLE = {"FunctionProto", "TrainingInfoProto"}
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14


class ModelFileError(ValueError):
    """A model file is damaged, or holds what no model of ours does; the message is for a BundleError."""


def onnx_operators(data):
    """Return the operators of an ONNX file, those of nested graphs and functions among them.

    Args:
        data: content of the file, as bytes.
    Returns:
        set of (domain, operator); ONNX's own domain is "". A function that the file defines, or a graph for training,
        is one of them too: ("", "FunctionProto"), for a function may be called like an operator and call others.
    Raises:
        ModelFileError: the file is no ONNX model, ends early, nests too deep, or a tensor's data lies outside it.
    """
    found, num_fields = set(), 0
    waiting = [("ModelProto", 0, len(data), 0)]
    while waiting:
        message, start, end, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ModelFileError(f"nested deeper than {MAX_DEPTH} messages")
        operator, domain = "", ""
        for number, wire, first, last in _read_fields(data, start, end):
            num_fields += 1
            if num_fields > MAX_FIELDS:
                raise ModelFileError(f"more than {MAX_FIELDS} fields")
            if number not in FIELDS[message]:
                raise ModelFileError(f"{message} has a field {number} that this version does not know")
            child = MESSAGES[message].get(number)
            if child is not None:
                _require_bytes(wire, message, number)
                waiting.append((child, first, last, depth + 1))
                if child in _CALLABLE:
                    found.add(("", child))
            elif message == "NodeProto" and number in (_NODE_OPERATOR, _NODE_DOMAIN):
                _require_bytes(wire, message, number)
                text = data[first:last].decode(errors="replace")
                operator, domain = (text, domain) if number == _NODE_OPERATOR else (operator, text)
            elif message == "TensorProto":
                _require_inside(data, number, first, last)
        if message == "NodeProto":
            found.add(("" if domain == "ai.onnx" else domain, operator))
    if not found:
        raise ModelFileError("no graph with nodes")
    return found


def _require_bytes(wire, message, number):
    if wire != _BYTES:
        raise ModelFileError(f"field {number} of {message} has wire type {wire}")


def _require_inside(data, number, first, last):
    """Refuse a tensor that names a place of its data; only location 0, inside the file, may be told."""
    is_elsewhere = number == _TENSOR_DATA_LOCATION and data[first:last] != b"\0"
    if number == _TENSOR_EXTERNAL_DATA or is_elsewhere:
        raise ModelFileError("a tensor's data lies outside the file (ONNX external data)")


def _read_fields(data, start, end):
    """Yield (field number, wire type, first byte, one past the last byte) of the fields of one message."""
    while start < end:
        tag, start = _read_varint(data, start, end, limit=_MAX_TAG_BYTES)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise ModelFileError("not an ONNX file")
        first = start
        if wire == _VARINT:
            _, start = _read_varint(data, start, end, limit=_MAX_VARINT_BYTES)
        elif wire == _BYTES:
            size, first = _read_varint(data, start, end, limit=_MAX_VARINT_BYTES)
            start = first + size
        elif wire in _FIXED_BYTES:
            start += _FIXED_BYTES[wire]
        else:
            raise ModelFileError("not an ONNX file")
        if start > end:
            raise ModelFileError("the file ends inside a field")
        yield number, wire, first, start


def _read_varint(data, start, end, *, limit):
    value = 0
    for place in range(min(limit, end - start)):
        byte = data[start + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, start + place + 1
    raise ModelFileError("not an ONNX file")
