"""The files of the engine's benchmark: a masked graph is what converting the masked model gives."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.engine_files import Cache, describe_model, model_key, write_graphs, write_masked_graphs, write_tickets
from benchmarks.engine_models import Variant, config_of, draw_model
from export.graph import export_onnx

CHUNK_FRAMES = 4


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def graphs(cache):
    """Return the paths of the graphs of the tiny model without zeros."""
    return write_graphs(draw_model(config_of("tiny")), chunk_frames=CHUNK_FRAMES, cache=cache)


def weights_of(graph):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


@pytest.mark.parametrize("block", [(1, 1), (4, 4)])
def test_masking_a_graph_is_converting_the_masked_model(graphs, tmp_path, block):
    masked = draw_model(config_of("tiny"), density=0.2, block=block)
    paths = write_masked_graphs(masked, graphs=graphs, chunk_frames=CHUNK_FRAMES, folder=tmp_path)
    found = weights_of(onnx.load(paths["fp32"]))
    expected = weights_of(export_onnx(masked, chunk_frames=CHUNK_FRAMES))
    assert set(found) == set(expected)
    for name, weight in expected.items():
        # The same numbers, not merely close ones.
        assert np.array_equal(found[name], weight), name
    before, after = (weights_of(onnx.load(path)) for path in (graphs["int8"], paths["int8"]))
    quantised = [name for name in after if name.endswith("_quantized")]
    assert quantised
    for name in quantised:
        weight = found.get(name.removesuffix("_quantized"), expected[name.removesuffix("_quantized")])
        assert not after[name][weight == 0].any()
        assert np.array_equal(after[name][weight != 0], before[name][weight != 0])


def test_a_graph_of_another_model_is_refused(graphs, tmp_path):
    masked = draw_model(config_of("tiny"), density=0.2)
    odd = onnx.load(graphs["fp32"])
    next(each for each in odd.graph.initializer if each.name == "head.weight").name = "tail.weight"
    path = tmp_path / "odd.onnx"
    path.write_bytes(odd.SerializeToString())
    with pytest.raises(ValueError, match="no weights named head.weight"):
        write_masked_graphs(masked, graphs={"fp32": path}, chunk_frames=CHUNK_FRAMES, folder=tmp_path)


@pytest.mark.usefixtures("engine_library")
def test_tickets_are_written_once(cache):
    model = draw_model(config_of("tiny"), density=0.1)
    first, formats = write_tickets(model, chunk_frames=CHUNK_FRAMES, precisions=["fp32", "int8"], cache=cache)
    before = {precision: path.stat().st_mtime_ns for precision, path in first.items()}
    again, formats_again = write_tickets(model, chunk_frames=CHUNK_FRAMES, precisions=["fp32", "int8"], cache=cache)
    assert again == first
    assert {precision: path.stat().st_mtime_ns for precision, path in again.items()} == before
    assert formats_again == formats
    facts = describe_model(Variant(name="x", label="x", density=0.1), model, chunk_frames=CHUNK_FRAMES, formats=formats)
    assert sum(facts["formats"].values()) == 2 + 2 * 9 + 1
    assert facts["num_nonzeros"] < facts["num_weights"]
    assert facts["useful_multiply_adds"] < facts["dense_multiply_adds"]


def test_other_weights_are_another_key():
    config = config_of("tiny")
    assert model_key(draw_model(config)) == model_key(draw_model(config))
    assert model_key(draw_model(config)) != model_key(draw_model(config, density=0.5))
