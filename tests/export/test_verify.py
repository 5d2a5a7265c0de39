"""The verification passes what is right and names what is wrong."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch

from export.errors import ExportError
from export.ort_format import to_ort_format
from export.ticket_file import write_ticket
from export.verify import STAGES, summary, verify
from runtime.engine.library import is_available
from runtime.errors import BundleError
from tests.export.models import CHUNK_FRAMES

needs_engine = pytest.mark.skipif(not is_available(), reason="the ticket engine's library is not built here")


def run(exported, **changes):
    arguments = {
        "masked": exported.masked,
        "model": exported.model,
        "chunk_frames": CHUNK_FRAMES,
        "graphs": {"fp32": exported.fp32.SerializeToString(), "int8": exported.int8.SerializeToString()},
        "ort": exported.ort,
    }
    return verify(**arguments | changes)


def tickets(model):
    """Return {"fp32": bytes of a ticket file, "int8": the same}."""
    return {
        precision: write_ticket(model, chunk_frames=CHUNK_FRAMES, precision=precision)[0]
        for precision in ("fp32", "int8")
    }


@pytest.fixture(scope="module")
def report(exported):
    return run(exported, tickets=tickets(exported.model) if is_available() else {})


def with_initializer(graph, suffix, change):
    """Return the bytes of a graph whose first initializer of that name is changed."""
    graph = copy.deepcopy(graph)
    tensor = next(tensor for tensor in graph.graph.initializer if tensor.name.endswith(suffix))
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor)), tensor.name))
    return graph.SerializeToString()


def test_a_right_export_passes_every_stage(report):
    assert list(report["stages"]) == [stage for stage in STAGES if is_available() or "engine" not in stage]
    for name, figures in report["stages"].items():
        assert figures["reason"] == STAGES[name].reason
        assert figures["log_probs"]["mean"] <= figures["log_probs"]["max"]
    assert report["stages"]["masked_vs_shrunk"]["log_probs"]["max"] <= 1e-5
    assert report["stages"]["model_vs_ort"]["log_probs"]["max"] == 0
    assert report["stages"]["onnx_vs_int8"]["states"]["max"] > 0
    assert report["signal"]["num_chunks"] >= 10
    assert {1, 2} <= set(report["signal"]["batches"])


def test_the_report_is_json_and_has_a_row_a_stage(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    rows = summary(report)
    assert [row[0] for row in rows] == list(report["stages"])
    assert all(largest <= bound for _, largest, _, bound, _ in rows)


def test_the_signal_exercises_the_output(exported, report):
    """A verification on which everything is blank would see nothing."""
    assert report["stages"]["onnx_vs_int8"]["decided_share"] < 1
    assert report["stages"]["torch_vs_onnx"]["log_probs"]["mean"] > 0


def test_one_plausible_symbol_in_a_thousand_may_be_anything(exported, report, monkeypatch):
    """The same figures, were every one counted: the largest is what the two differ in."""
    monkeypatch.setattr("export.verify._PLAUSIBLE_OUTLIERS", 1_000_000)
    strict = run(exported, tickets=tickets(exported.model) if is_available() else {})["stages"]
    for name in (stage for stage in strict if stage.endswith("int8")):
        assert strict[name]["plausible"] == strict[name]["plausible_max"] == report["stages"][name]["plausible_max"]
        assert report["stages"][name]["plausible"] <= strict[name]["plausible"]
    assert report["stages"]["onnx_vs_int8"]["plausible"] < strict["onnx_vs_int8"]["plausible"]


def test_without_shrinking_the_first_stage_is_left_out(exported):
    stages = run(exported, masked=exported.model)["stages"]
    assert "masked_vs_shrunk" not in stages
    assert "torch_vs_onnx" in stages


def test_a_model_that_is_not_the_masked_one_fails(exported):
    other = copy.deepcopy(exported.masked)
    with torch.no_grad():
        other.blocks[0].norm.bias[0] += 1e-3
    with pytest.raises(ExportError, match=r"masked_vs_shrunk .* largest difference .*, mean .*, bound"):
        run(exported, masked=other)


def test_a_wrong_graph_fails(exported):
    wrong = with_initializer(exported.fp32, "attention.position_bias", lambda value: np.flip(value, -1).copy())
    with pytest.raises(ExportError, match="torch_vs_onnx"):
        run(exported, graphs={"fp32": wrong, "int8": exported.int8.SerializeToString()})


def test_a_wrong_state_fails_even_if_the_outputs_look_right(exported):
    """Our runtime reads nothing from `cached_val1_0`; whoever does would get another number."""
    graph = copy.deepcopy(exported.fp32)
    carried = next(node for node in graph.graph.node if node.output[0] == "new_cached_val1_0")
    assert carried.op_type == "Identity"
    carried.op_type = "Cos"
    with pytest.raises(ExportError, match="torch_vs_onnx"):
        run(exported, graphs={"fp32": graph.SerializeToString(), "int8": exported.int8.SerializeToString()})


def test_a_wrong_int8_scale_fails(exported):
    wrong = with_initializer(exported.int8, "subsampling.conv1.weight_scale", lambda value: value * 8)
    with pytest.raises(ExportError, match=r"onnx_vs_int8 .* decided frames agree in") as caught:
        run(exported, graphs={"fp32": exported.fp32.SerializeToString(), "int8": wrong})
    assert "--precision fp32" in caught.value.hint


@needs_engine
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_wrong_ticket_file_fails(exported, precision):
    other = copy.deepcopy(exported.model)
    with torch.no_grad():
        other.blocks[1].convolution.channel_norm.gain *= 3
    wrong = {precision: tickets(other)[precision]}
    with pytest.raises(ExportError, match=f"onnx_vs_engine_{precision}") as caught:
        run(exported, tickets=wrong)
    assert (caught.value.hint is None) == (precision == "fp32")


@needs_engine
def test_a_state_that_the_engine_loses_late_fails(exported):
    """Right for as long as a bias that only long distances use is: rings go round within the chunks compared."""
    other = copy.deepcopy(exported.model)
    with torch.no_grad():
        for block in other.blocks:
            if block.attention is not None:
                block.attention.position_bias.view(block.attention.num_heads, -1)[:, -CHUNK_FRAMES * 2 :] += 3
    with pytest.raises(ExportError, match="onnx_vs_engine_fp32"):
        run(exported, tickets={"fp32": tickets(other)["fp32"]})


@needs_engine
def test_a_ticket_file_that_the_engine_refuses_fails(exported):
    with pytest.raises(BundleError, match="checksum"):
        run(exported, tickets={"fp32": tickets(exported.model)["fp32"][:-1] + b"\xff"})


def test_an_ort_file_of_another_model_fails(exported):
    with pytest.raises(ExportError, match="model_vs_ort"):
        run(exported, ort=to_ort_format(exported.fp32))


def test_numbers_that_are_none_fail(exported):
    broken = copy.deepcopy(exported.model)
    with torch.no_grad():
        broken.head.bias[2] = float("nan")
    with pytest.raises(ExportError):
        run(exported, model=broken)
