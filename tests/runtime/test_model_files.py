"""Model files as untrusted input: what onnxruntime must not see is refused before, on every onnxruntime."""

import io
import json
import struct

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtime import onnx_file, ort_file
from runtime.errors import BundleError
from runtime.manifest import MANIFEST_NAME, FileEntry, Manifest
from runtime.onnx_file import ModelFileError, onnx_operators
from runtime.operators import check_model
from runtime.ort_file import ort_operators
from runtime.recognizer import Recognizer
from runtime.session import OrtSession
from tests.tiny_bundle import build_model, speak, write_tiny_bundle


def external(tensor, location="secret.bin"):
    """Make a tensor's data lie in another file."""
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def a_tensor(name="w"):
    return numpy_helper.from_array(np.zeros((2, 2), np.float32), name)


def _nested(model):
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [external(a_tensor())])
    inner = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
    outer = helper.make_graph([inner], "outer", [], [])
    model.graph.node.append(helper.make_node("Loop", ["m", "c"], ["z"], body=outer))


def _sparse(model):
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(a_tensor())
    sparse.indices.CopyFrom(external(numpy_helper.from_array(np.zeros(4, np.int64), "i")))


def _function(model):
    constant = helper.make_node("Constant", [], ["v"], value=external(a_tensor()))
    model.functions.append(helper.make_function("own", "F", [], ["v"], [constant], [helper.make_opsetid("", 18)]))


def _attribute(model):
    attribute = onnx.AttributeProto(name="a", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(external(a_tensor()))
    model.graph.node[0].attribute.append(attribute)


def _sparse_attribute(model):
    attribute = onnx.AttributeProto(name="a", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(external(a_tensor()))
    model.graph.node[0].attribute.append(attribute)


def _training(model):
    model.training_info.add().algorithm.initializer.append(external(a_tensor()))


def _default(model):
    function = helper.make_function("own", "F", [], [], [], [helper.make_opsetid("", 18)])
    function.attribute_proto.append(helper.make_attribute("a", external(a_tensor())))
    model.functions.append(function)


PLACES = {
    "an initialiser": lambda model: external(model.graph.initializer[0]),
    "a graph inside a graph": _nested,
    "a sparse initialiser": _sparse,
    "a function": _function,
    "a default of a function": _default,
    "an attribute": _attribute,
    "a sparse attribute": _sparse_attribute,
    "training": _training,
    "entries alone": lambda model: model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd"),
    "a location alone": lambda model: setattr(model.graph.initializer[0], "data_location", TensorProto.EXTERNAL),
}


@pytest.mark.parametrize("place", PLACES)
def test_data_outside_the_file_is_refused_wherever_it_is_named(place):
    model = build_model()
    PLACES[place](model)
    for allow in (False, True):
        with pytest.raises(BundleError, match=r"model\.onnx: refused .*data lies outside the file") as caught:
            check_model(model.SerializeToString(), source="model.onnx", allow_any_operators=allow)
        assert caught.value.hint


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "unlisted.bin", "link.bin"])
def test_a_bundle_with_external_data_does_not_run(tmp_path, location):
    """Whole: hashes and all agree, and onnxruntime of this version might read the file."""
    bundle = write_tiny_bundle(tmp_path / "bundle", has_int8=False)
    model = build_model()
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    for path in (tmp_path / "secret.bin", bundle / "unlisted.bin"):
        path.write_bytes(weights.raw_data)
    (bundle / "link.bin").symlink_to(tmp_path / "secret.bin")
    external(weights, location)
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    relist(bundle, "model")
    with pytest.raises(BundleError, match="data lies outside the file"):
        Recognizer(bundle, allow_any_operators=True)


def relist(bundle, role):
    """Make the manifest agree with a file that was changed."""
    value = json.loads((bundle / MANIFEST_NAME).read_text())
    value["files"][role] = vars(FileEntry.of(value["files"][role]["path"], bundle=bundle))
    (bundle / MANIFEST_NAME).write_text(json.dumps(value))


def endless_model():
    """Return the tiny model with a loop of 2^62 turns before its result."""
    model = build_model()
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["x_next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_next", TensorProto.FLOAT, None),
        ],
    )
    softmax = next(node for node in model.graph.node if node.op_type == "LogSoftmax")
    softmax.input[0] = "looped"
    position = list(model.graph.node).index(softmax)
    model.graph.node.insert(position, helper.make_node("Loop", ["turns", "go_on", "logits"], ["looped"], body=body))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1 << 62), "turns"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go_on"))
    return model


def test_a_graph_that_never_ends_is_refused(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle", has_int8=False)
    (bundle / "model.onnx").write_bytes(endless_model().SerializeToString())
    relist(bundle, "model")
    with pytest.raises(BundleError, match="operators that lottery-export does not write: Loop") as caught:
        Recognizer(bundle)
    assert "--allow-any-operators" in caught.value.hint
    # An option for those who know better: loading is not running.
    assert Recognizer(bundle, allow_any_operators=True).backend == "onnxruntime"


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_other_operators_are_named_by_their_domain(domain):
    model = build_model()
    model.graph.node.append(helper.make_node("Sign", ["x"], ["s"], domain=domain))
    model.graph.node.append(helper.make_node("Evil\x1b", ["x"], ["e"], domain="com.example"))
    with pytest.raises(BundleError, match=r"Sign, com\.example\.Evil\\x1b"):
        check_model(model.SerializeToString(), source="model.onnx")
    assert check_model(model.SerializeToString(), source="model.onnx", allow_any_operators=True) == "ONNX"


def test_an_own_operator_in_a_foreign_domain_is_another_one():
    model = build_model()
    model.graph.node[0].domain = "com.example"
    with pytest.raises(BundleError, match=r"com\.example\."):
        check_model(model.SerializeToString(), source="model.onnx")


def test_the_walk_knows_the_fields_that_onnx_has():
    """The oracle is the package's own description of the format."""
    descriptors = {name: getattr(onnx, name).DESCRIPTOR for name in onnx_file.MESSAGES}

    def reaches(descriptor, seen=()):
        return descriptor.name in ("NodeProto", "TensorProto") or any(
            field.message_type and field.message_type.name not in seen and
            reaches(field.message_type, (*seen, descriptor.name))
            for field in descriptor.fields
        )  # fmt: skip

    for name, descriptor in descriptors.items():
        fields = {field.number: field.message_type for field in descriptor.fields}
        found = {number: kind.name for number, kind in fields.items() if kind and reaches(kind)}
        assert found == onnx_file.MESSAGES[name], name
        # Fields that newer packages add must be looked at before they are let through.
        assert set(fields) == onnx_file.FIELDS[name], name


def test_the_walk_finds_the_operators_that_onnx_finds():
    model = endless_model()
    _function(model)
    model.functions[0].node[0].attribute[0].t.CopyFrom(a_tensor())
    found = {("", node.op_type) for node in model.graph.node} | {("", "Identity"), ("", "Constant")}
    assert onnx_operators(model.SerializeToString()) == found | {("", "FunctionProto")}


def test_a_function_is_refused_whatever_it_is_called():
    """One that bears the name of an operator we write may call others: a small file, endless work."""
    node = helper.make_node("Add", ["v", "v"], ["w"], name="n")
    graph = helper.make_graph([node], "g", [], [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    check_model(model.SerializeToString(), source="m")
    model.functions.append(helper.make_function("", "Add", ["a", "b"], ["c"], [], [helper.make_opsetid("", 18)]))
    with pytest.raises(BundleError, match="FunctionProto"):
        check_model(model.SerializeToString(), source="m")
    assert check_model(model.SerializeToString(), source="m", allow_any_operators=True) == "ONNX"


def field(number, wire, content=b""):
    """Return one field of a message; a number below 16."""
    size = bytes([len(content)]) if wire == 2 else b""
    return bytes([number << 3 | wire]) + size + content


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no graph"),
        (b"not a model", "not an ONNX file"),
        (field(7, 2, b"\x0a\x7f"), "ends inside"),
        (field(7, 0, b"\x01"), "field 7 of ModelProto has wire type 0"),
        (field(7, 2, field(1, 2, field(4, 0, b"\x01"))), "field 4 of NodeProto has wire type 0"),
        (field(7, 3), "not an ONNX file"),
        (field(0, 0, b"\x01"), "not an ONNX file"),
        (b"\xff" * 20, "not an ONNX file"),
        (field(9, 0, b"\x01"), "a field 9 that this version does not know"),
        (field(1, 0, b"\x80" * 11), "not an ONNX file"),
    ],
)
def test_damaged_protobuf_is_refused(data, complaint):
    with pytest.raises(ModelFileError, match=complaint):
        onnx_operators(data)


def test_depth_and_number_of_fields_are_bounded(monkeypatch):
    data = b""
    for _ in range(40):
        # GraphProto.node.attribute.g
        for number in (6, 5, 1):
            size, head = len(data), b""
            while size >= 0x80:
                head += bytes([size & 0x7F | 0x80])
                size >>= 7
            data = bytes([number << 3 | 2]) + head + bytes([size]) + data
    data = b"\x3a" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
    with pytest.raises(ModelFileError, match="nested deeper"):
        onnx_operators(data)
    monkeypatch.setattr(onnx_file, "MAX_FIELDS", 10)
    with pytest.raises(ModelFileError, match="more than 10 fields"):
        onnx_operators(build_model().SerializeToString())


@pytest.fixture(scope="module")
def ort_model(tmp_path_factory):
    """Return the tiny model in onnxruntime's own format."""
    folder = tmp_path_factory.mktemp("ort")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    onnxruntime.InferenceSession(build_model().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return (folder / "model.ort").read_bytes()


def test_an_ort_file_has_the_operators_it_was_made_from(ort_model):
    assert ort_operators(ort_model) == onnx_operators(build_model().SerializeToString())


def test_an_ort_file_is_known_by_its_content_and_runs(ort_model, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle", has_int8=False)
    (bundle / "model.onnx").write_bytes(ort_model)
    relist(bundle, "model")
    assert check_model(ort_model, source="model.onnx") == "ORT"
    samples = speak("cab bad")
    plain = write_tiny_bundle(tmp_path / "plain", has_int8=False)
    assert Recognizer(bundle).transcribe(samples).text == Recognizer(plain).transcribe(samples).text == "cab bad"


def tensors_of(data):
    """Return where the tables of the initialisers lie in an .ort file."""
    graph = ort_file._forward(data, 0)
    for slot in (1, 7):
        graph = ort_file._forward(data, ort_file._slot(data, graph, slot))
    vector = ort_file._forward(data, ort_file._slot(data, graph, 0))
    count = struct.unpack_from("<I", data, vector)[0]
    return [ort_file._forward(data, vector + 4 + 4 * number) for number in range(count)]


def test_an_ort_file_with_data_outside_is_refused(ort_model):
    # The slot of the external offset is not in the table of a tensor whose data is inside: the table's layout at the
    # end of the file has it, and it leads to a number of the tensor itself.
    data = bytearray(ort_model)
    tensor = tensors_of(data)[0]
    layout = tensor - struct.unpack_from("<i", data, tensor)[0]
    num_bytes = struct.unpack_from("<H", data, layout)[0]
    new = bytes(data[layout : layout + num_bytes]).ljust(4 + 2 * 7, b"\0")
    new = struct.pack("<H", len(new)) + new[2:-2] + struct.pack("<H", 4)
    data += bytes(-len(data) % 8)
    struct.pack_into("<i", data, tensor, tensor - len(data))
    data += new
    with pytest.raises(BundleError, match="external offset"):
        check_model(bytes(data), source="model.ort")


def test_damaged_flatbuffers_are_refused_or_read(ort_model):
    """Offsets anywhere: a ModelFileError or a result, within the limits of visits."""
    num_refused = 0
    for place in range(0, len(ort_model) - 4, 28):
        for number in (0, 0x7FFFFFFF, 0xFFFFFFF0, len(ort_model)):
            data = bytearray(ort_model)
            struct.pack_into("<I", data, place, number)
            try:
                ort_operators(bytes(data))
            except ModelFileError:
                num_refused += 1
    assert num_refused > 50


def test_the_bytes_that_were_hashed_are_what_is_loaded(tmp_path, monkeypatch):
    """A file that changes between its hash and its use: there is no second look at it."""
    bundle = write_tiny_bundle(tmp_path / "bundle", has_int8=False)
    read = FileEntry.read

    def read_and_replace(entry, folder):
        content = read(entry, folder)
        (bundle / entry.path).write_bytes(b"another file")
        return content

    monkeypatch.setattr(FileEntry, "read", read_and_replace)
    assert Recognizer(bundle).transcribe(speak("cab")).text == "cab"


def test_a_session_of_content_names_it_in_errors(tmp_path):
    manifest = Manifest.load(write_tiny_bundle(tmp_path / "bundle"))
    buffer = io.BytesIO()
    onnx.save(endless_model(), buffer)
    with pytest.raises(BundleError, match=r"over/there\.onnx: holds operators"):
        OrtSession(buffer.getvalue(), manifest=manifest, source="over/there.onnx")
