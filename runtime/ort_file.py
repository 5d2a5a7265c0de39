"""What an `.ort` file holds, found out before onnxruntime reads it: see runtime.onnx_file.

A walk over the flatbuffer. Tables may share their children, so that a small file can stand for an endless tree: the
number of visits is limited, not only the depth.
"""

import struct

from runtime.onnx_file import ModelFileError

IDENTIFIER = b"ORTM"
MAX_VISITS = 1 << 20
MAX_DEPTH = 48

# Table -> slot -> (table, whether the slot holds a vector of them).
# Source: onnxruntime core/flatbuffers/schema/ort.fbs.
_TABLES = {
    "InferenceSession": {1: ("Model", False)},
    "Model": {7: ("Graph", False)},
    "Graph": {0: ("Tensor", True), 2: ("Node", True), 7: ("SparseTensor", True)},
    "Node": {10: ("Attribute", True)},
    "Attribute": {6: ("Tensor", False), 7: ("Graph", False), 11: ("Tensor", True), 12: ("Graph", True)},
    "SparseTensor": {0: ("Tensor", False), 1: ("Tensor", False)},
    "Tensor": {},
}
_NODE_DOMAIN, _NODE_OPERATOR = 2, 5
_TENSOR_EXTERNAL_OFFSET = 6


def is_ort(data):
    """Return whether onnxruntime takes a file for one of its own format, whatever its name."""
    return data[4:8] == IDENTIFIER


def ort_operators(data):
    """Return the operators of an `.ort` file; see runtime.onnx_file.onnx_operators.

    Raises:
        ModelFileError: the file is damaged or nests too deep, or a tensor's data lies outside it.
    """
    try:
        return _operators(data)
    except struct.error as error:
        raise ModelFileError("an offset leads out of the file") from error


def _operators(data):
    found, num_visits = set(), 0
    waiting = [("InferenceSession", _forward(data, 0), 0)]
    while waiting:
        table, place, depth = waiting.pop()
        num_visits += 1
        if num_visits > MAX_VISITS or depth > MAX_DEPTH:
            raise ModelFileError(f"more than {MAX_VISITS} tables, or nested deeper than {MAX_DEPTH}")
        if table == "Node":
            domain = _text(data, place, _NODE_DOMAIN)
            found.add(("" if domain == "ai.onnx" else domain, _text(data, place, _NODE_OPERATOR)))
        if table == "Tensor" and _external_offset(data, place) >= 0:
            raise ModelFileError("a tensor's data lies outside the file (external offset)")
        for slot, (child, is_vector) in _TABLES[table].items():
            if not (at := _slot(data, place, slot)):
                continue
            first = _forward(data, at)
            count = _count(data, first) if is_vector else 1
            num_visits += count
            if num_visits > MAX_VISITS:
                raise ModelFileError(f"more than {MAX_VISITS} tables")
            places = [_forward(data, first + 4 + 4 * number) for number in range(count)] if is_vector else [first]
            waiting += [(child, place, depth + 1) for place in places]
    if not found:
        raise ModelFileError("no graph with nodes")
    return found


def _external_offset(data, tensor):
    """Return where a tensor's data lies in a file beside this one; -1 where it is in the tensor."""
    at = _slot(data, tensor, _TENSOR_EXTERNAL_OFFSET)
    return struct.unpack_from("<q", data, at)[0] if at else -1


def _forward(data, at):
    """Return where the unsigned offset at `at` leads."""
    return at + struct.unpack_from("<I", data, at)[0]


def _slot(data, table, slot):
    """Return where the value of a slot stands, or 0 where the table leaves it out."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    if layout < 0:
        raise ModelFileError("an offset leads out of the file")
    num_bytes = struct.unpack_from("<H", data, layout)[0]
    at = 4 + 2 * slot
    if at + 2 > num_bytes:
        return 0
    offset = struct.unpack_from("<H", data, layout + at)[0]
    return table + offset if offset else 0


def _count(data, vector):
    count = struct.unpack_from("<I", data, vector)[0]
    if 4 * count > len(data):
        raise ModelFileError("a vector is longer than the file")
    return count


def _text(data, table, slot):
    if not (at := _slot(data, table, slot)):
        return ""
    first = _forward(data, at)
    size = struct.unpack_from("<I", data, first)[0]
    if first + 4 + size > len(data):
        raise ModelFileError("a text is longer than the file")
    return data[first + 4 : first + 4 + size].decode(errors="replace")
