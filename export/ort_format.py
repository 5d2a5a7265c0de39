"""The `.ort` file: onnxruntime's own format, optimised ahead of time, for its small builds on phones and boards.

The optimisations are those that hold on every processor; what depends on one (blocked convolution layouts) is left out.
onnxruntime writes its table of operator types in the order of a hash table that is seeded anew each time. The table is
rewritten here in sorted order, so that equal models give equal bytes.

`required_operators` lists what such a build has to bring: the configuration that onnxruntime's build script takes as
--include_ops_by_config.
"""

import struct
import tempfile
from pathlib import Path

import flatbuffers
import onnx
import onnxruntime
from flatbuffers.number_types import Int32Flags, Uint8Flags, Uint32Flags
from flatbuffers.table import Table

# Fields of the flatbuffer tables, by slot. Source: onnxruntime core/flatbuffers/schema/ort.fbs.
_SESSION_MODEL, _SESSION_RESOLVER = 1, 3
_RESOLVER_ENTRIES = 0
_NAME, _ITEMS = 0, 1
_ARGUMENT_KIND, _ARGUMENT_INDEX = 0, 1
_MODEL_GRAPH, _GRAPH_NODES = 7, 2
_NODE_DOMAIN, _NODE_SINCE_VERSION, _NODE_OPERATOR = 2, 3, 5
_ALIGNMENT = 8


def to_ort_format(graph):
    """Return the bytes of the `.ort` file of a graph (onnx.ModelProto)."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.onnx", Path(folder) / "model.ort"
        onnx.save(graph, source)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return _sort_operator_types(target.read_bytes())


def required_operators(data):
    """Return the operators of an `.ort` file, as onnxruntime's build script reads them.

    onnxruntime.tools has a program for this; importing it turns on the debug messages of every library.

    Args:
        data: bytes of the file; its graph holds no other graph.
    Returns:
        Text: one line `domain;opset;operator,operator` for each domain and opset, sorted.
    """
    root = Table(bytearray(data), struct.unpack_from("<I", data)[0])
    graph = _child(_child(root, _SESSION_MODEL), _MODEL_GRAPH)
    found = {}
    for node in _children(graph, _GRAPH_NODES):
        # No domain is ONNX's own.
        domain = _text(node, _NODE_DOMAIN) or "ai.onnx"
        since = _number(node, Int32Flags, _NODE_SINCE_VERSION)
        found.setdefault((domain, since), set()).add(_text(node, _NODE_OPERATOR))
    lines = [f"{domain};{since};{','.join(sorted(found[domain, since]))}\n" for domain, since in sorted(found)]
    return "# operators of model.ort: build.sh --minimal_build --include_ops_by_config THIS_FILE\n" + "".join(lines)


def _sort_operator_types(data):
    """Return the file with its table of operator types in sorted order.

    The table lies in one piece between the root and the model. The sorted one takes its place, or goes to the end of
    the file if it is longer; offsets in a flatbuffer are relative, so nothing else moves.
    """
    data = bytearray(data)
    root = Table(data, struct.unpack_from("<I", data)[0])
    field = root.Pos + _offset(root, _SESSION_RESOLVER)
    resolver, model = _child(root, _SESSION_RESOLVER), _child(root, _SESSION_MODEL)
    start, stop = resolver.Pos, _end(resolver)
    if not field < start < stop <= model.Pos:
        # Another release of onnxruntime lays the file out otherwise: it is as good unsorted.
        return bytes(data)
    table = _write_resolver(sorted(_read_resolver(resolver)))
    data[start:stop] = bytes(stop - start)
    place = -(-start // _ALIGNMENT) * _ALIGNMENT
    if place + len(table) > stop:
        place = -(-len(data) // _ALIGNMENT) * _ALIGNMENT
        data += bytes(place + len(table) - len(data))
    data[place : place + len(table)] = table
    struct.pack_into("<I", data, field, place + struct.unpack_from("<I", table)[0] - field)
    return bytes(data)


def _offset(table, slot):
    return table.Offset(4 + 2 * slot)


def _child(table, slot):
    return Table(table.Bytes, table.Indirect(table.Pos + _offset(table, slot)))


def _children(table, slot):
    offset = _offset(table, slot)
    if not offset:
        return []
    first = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(first + 4 * number)) for number in range(table.VectorLen(offset))]


def _text(table, slot=_NAME):
    offset = _offset(table, slot)
    return table.String(table.Pos + offset).decode() if offset else ""


def _number(table, flags, slot):
    offset = _offset(table, slot)
    return table.Get(flags, table.Pos + offset) if offset else 0


def _read_resolver(resolver):
    """Return [(operator, [(type name, [(argument kind, argument index)])])]."""
    return [
        (
            _text(entry),
            [
                (
                    _text(item),
                    [
                        (_number(argument, Uint8Flags, _ARGUMENT_KIND), _number(argument, Uint32Flags, _ARGUMENT_INDEX))
                        for argument in _children(item, _ITEMS)
                    ],
                )
                for item in _children(entry, _ITEMS)
            ],
        )
        for entry in _children(resolver, _RESOLVER_ENTRIES)
    ]


def _end(resolver):
    """Return where the last object of the table ends; its objects lie at higher addresses than the table itself."""
    ends = []
    for entry in _children(resolver, _RESOLVER_ENTRIES):
        for table in (entry, *_children(entry, _ITEMS)):
            text = table.Indirect(table.Pos + _offset(table, _NAME))
            # length, characters, closing zero
            ends.append(text + 4 + struct.unpack_from("<I", table.Bytes, text)[0] + 1)
            if offset := _offset(table, _ITEMS):
                ends.append(table.Vector(offset) + 4 * table.VectorLen(offset))
        items = _children(entry, _ITEMS)
        for table in (entry, *items, *(argument for item in items for argument in _children(item, _ITEMS))):
            layout = table.Pos - struct.unpack_from("<i", table.Bytes, table.Pos)[0]
            ends.append(table.Pos + struct.unpack_from("<H", table.Bytes, layout + 2)[0])
    return max(ends)


def _write_resolver(entries):
    """Return a finished flatbuffer of the table."""
    builder = flatbuffers.Builder(4096)

    def vector(offsets):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def argument(kind, index):
        builder.StartObject(2)
        builder.PrependUint32Slot(_ARGUMENT_INDEX, index, 0)
        builder.PrependUint8Slot(_ARGUMENT_KIND, kind, 0)
        return builder.EndObject()

    def named(name, items):
        text, children = builder.CreateSharedString(name), vector(items)
        builder.StartObject(2)
        builder.PrependUOffsetTRelativeSlot(_NAME, text, 0)
        builder.PrependUOffsetTRelativeSlot(_ITEMS, children, 0)
        return builder.EndObject()

    offsets = [
        named(operator, [named(name, [argument(*pair) for pair in pairs]) for name, pairs in items])
        for operator, items in entries
    ]
    children = vector(offsets)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(_RESOLVER_ENTRIES, children, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
