"""The list of operators for small onnxruntime builds: exactly those of the graph, as the build script reads them."""

import json
import subprocess
import sys

import onnx
import onnxruntime
import pytest

from export.ort_format import required_operators, to_ort_format


@pytest.fixture(scope="module")
def config(exported):
    return exported.folder / "model.required_operators.config"


def parsed(path):
    """Return {(domain, opset, operator)} of a file, by the parser of onnxruntime's build script."""
    program = (
        "import json, sys; from onnxruntime.tools.reduced_build_config_parser import parse_config\n"
        "print(json.dumps(parse_config(sys.argv[1])[0], default=sorted))"
    )
    # In a process of its own: it changes the module path and the logging of whoever imports it.
    done = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True)
    return {
        (domain, int(opset), operator)
        for domain, opsets in json.loads(done.stdout).items()
        for opset, operators in opsets.items()
        for operator in operators
    }


def optimised(graph, folder):
    """Return the graph that onnxruntime makes of one at the level of `.ort` files, as ONNX."""
    source, target = folder / "source.onnx", folder / "optimised.onnx"
    onnx.save(graph, source)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return onnx.load(target)


def test_the_config_lists_exactly_the_operators_of_the_graph(exported, config, tmp_path):
    listed = parsed(config)
    graph = optimised(exported.int8, tmp_path)
    nodes = {(node.domain or "ai.onnx", node.op_type) for node in graph.graph.node}
    assert {(domain, operator) for domain, _, operator in listed} == nodes
    # each under the opset that defined it; what ONNX does not define is onnxruntime's own
    opset = next(each.version for each in exported.int8.opset_import if each.domain in ("", "ai.onnx"))
    known = 0
    for domain, since, operator in listed:
        if domain == "ai.onnx" and onnx.defs.has(operator):
            assert since == onnx.defs.get_schema(operator, max_inclusive_version=opset).since_version, operator
            known += 1
        else:
            assert since == 1, operator
    assert known > 10
    assert ("com.microsoft", 1, "DynamicQuantizeMatMul") in listed


def test_float32_needs_other_operators(exported, config, tmp_path):
    text = required_operators(to_ort_format(exported.fp32))
    (tmp_path / "fp32.config").write_text(text)
    listed = parsed(tmp_path / "fp32.config")
    graph = optimised(exported.fp32, tmp_path)
    assert {each[0::2] for each in listed} == {(node.domain or "ai.onnx", node.op_type) for node in graph.graph.node}
    assert listed != parsed(config)
    assert not any("Quantize" in operator for _, _, operator in listed)


def test_equal_files_give_equal_lists_without_a_path(exported, config):
    text = required_operators(exported.ort)
    assert text == config.read_text() == required_operators(exported.ort)
    lines = text.splitlines()
    assert lines[1:] == sorted(lines[1:], key=lambda line: (line.split(";")[0], int(line.split(";")[1])))
    assert "/" not in text


def test_onnxruntime_s_own_tool_lists_the_same(exported, config, tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from onnxruntime.tools.ort_format_model import create_config_from_models\n"
        "create_config_from_models([Path(sys.argv[1])], Path(sys.argv[2]), enable_type_reduction=False)"
    )
    command = [sys.executable, "-c", program, exported.folder / "model.ort", tmp_path / "theirs.config"]
    subprocess.run(command, check=True, capture_output=True)
    ours, theirs = (
        [line for line in path.read_text().splitlines() if not line.startswith("#")]
        for path in (config, tmp_path / "theirs.config")
    )
    assert ours == theirs
