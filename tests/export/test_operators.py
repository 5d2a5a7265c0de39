"""The list of operators that a bundle may have is what the exporter writes: no more, and no less."""

import onnx

from export.graph import count_ops
from export.ort_format import required_operators, to_ort_format
from runtime.operators import EXPORTED_OPERATORS, FUSED_OPERATORS, check_model


def written(*graphs):
    """Return the (domain, operator) pairs of graphs."""
    return {(node.domain, node.op_type) for graph in graphs for node in graph.graph.node}


def test_the_allowed_operators_are_those_that_are_written(exported, with_zeros):
    folder, _ = with_zeros
    graphs = [exported.fp32, exported.int8, *(onnx.load(folder / name) for name in ("model.onnx", "model.int8.onnx"))]
    assert written(*graphs) == EXPORTED_OPERATORS
    assert not {"If", "Loop", "Scan", "SequenceMap"} & {name for _, name in EXPORTED_OPERATORS | FUSED_OPERATORS}
    for graph in graphs:
        assert count_ops(graph)
        assert check_model(graph.SerializeToString(), source="model.onnx") == "ONNX"


def test_what_onnxruntime_fuses_is_allowed_in_its_own_format(exported):
    found = set()
    for data in (exported.ort, to_ort_format(exported.fp32)):
        assert check_model(data, source="model.ort") == "ORT"
        for line in required_operators(data).splitlines()[1:]:
            domain, _, names = line.split(";")
            found |= {("" if domain == "ai.onnx" else domain, name) for name in names.split(",")}
    assert FUSED_OPERATORS <= found <= EXPORTED_OPERATORS | FUSED_OPERATORS
