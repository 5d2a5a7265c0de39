"""The engine's benchmark as it is started: tiny models, all runtimes, and going on after a stop."""

import contextlib
import io
import json

import numpy as np
import pytest

from benchmarks import engine, engine_models, engine_parts
from benchmarks.engine_parts import choose_contestants
from benchmarks.engine_timing import Eviction, l2_bytes, measure, speech_windows
from runtime.engine.library import instruction_sets
from runtime.errors import LotteryError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return (out, cache)."""
    return tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def library(engine_library):
    return engine_library


def run(folders, *options):
    out, cache = folders
    return engine.main(["--quick", "--out", str(out), "--cache", str(cache), *options])


@pytest.fixture(scope="module")
def quick(folders):
    """Return the result of a quick run with a dense row and a sparse one: each of the others takes as long."""
    kept = [variant for variant in engine_models.VARIANTS if variant.name in ("dense", "unstructured_10")]
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(engine_models, "VARIANTS", tuple(kept))
        assert run(folders) == 0
    assert "tiny, 160 ms chunks" in output.getvalue()
    return json.loads((folders[0] / "engine.json").read_text())


def test_quick(folders, quick):
    assert next(iter(quick)) == "summary"
    assert list(quick["parts"]) == ["tiny_160"]
    part = quick["parts"]["tiny_160"]
    assert [row["name"] for row in part["rows"]] == ["dense", "unstructured_10"]
    for row in part["rows"]:
        subject, baseline = row["runtimes"]["engine_int8"], row["runtimes"]["onnxruntime_int8"]
        assert subject["instruction_set"] in instruction_sets()
        for record in (subject, baseline):
            assert 0 < record["cold_ms"]["p10"] <= record["cold_ms"]["p50"] <= record["cold_ms"]["p90"]
            assert record["footprint"]["peak_rss_bytes"] >= record["footprint"]["imports_rss_bytes"]
        assert row["ratio"]["cold"]["p50"] > 0
        # OpenVINO is measured where it is installed; where not, the record says so.
        other = row["runtimes"]["openvino_fp32"]
        assert "cold_ms" in other or "not installed" in other["error"]
    assert part["rows"][1]["ratio_to_dense"] != part["rows"][1]["ratio"]
    # float32 sums in another order, over all layers and 104 chunks
    assert 0 < part["fp32_error"]["max"] < 1e-4
    assert part["fp32_error"]["num_chunks"] == engine_parts.ERROR_CHUNKS >= 100
    assert quick["summary"]["disk_over_entropy_bound"] >= 1
    assert all(value is None for key, value in quick["summary"].items() if "8m" in key or "24m" in key)
    assert "<svg" in (folders[0] / "engine.html").read_text()
    assert str(folders[1]) not in json.dumps(quick["parts"])


def test_finished_parts_stand(folders, quick, monkeypatch, capsys):
    part, measured = {name: quick["parts"]["tiny_160"][name] for name in ("rows", "fp32_error")}, []
    monkeypatch.setattr(engine, "measure_peaks", lambda cache: quick["peaks"])
    monkeypatch.setattr(engine, "disk_figures", lambda config: quick["disk"])
    monkeypatch.setattr(engine, "prepare", lambda size, chunks, **rest: {chunk: ([], {}) for chunk in chunks})
    monkeypatch.setattr(engine, "measure_part", lambda *rows, chunk, **rest: measured.append(chunk) or part)
    assert run(folders, "--resume") == 0
    assert measured == []
    # Another chunk length, shorter: the first stands.
    assert run(folders, "--resume", "--chunks", "80,160") == 0
    assert measured == [2]
    after = json.loads((folders[0] / "engine.json").read_text())["parts"]
    assert list(after) == ["tiny_80", "tiny_160"]
    assert after["tiny_160"] == quick["parts"]["tiny_160"]
    # Other conditions: it does not.
    assert run(folders, "--resume", "--rounds", "2") == 0
    assert measured == [2, 4]
    assert "tiny_160: measured otherwise before" in capsys.readouterr().err


def test_every_runtime_takes_part_at_the_longest_chunk():
    longest = choose_contestants("block4x4_10", is_longest=True)
    assert list(longest) == ["engine_int8", "onnxruntime_int8", "onnxruntime_fp32", "openvino_fp32", "openvino_default"]
    assert list(choose_contestants("block4x4_10", is_longest=False)) == ["engine_int8", "onnxruntime_int8"]
    assert "openvino_int8" in choose_contestants("dense", is_longest=True)
    assert "engine_fp32" in choose_contestants("an4_level_06", is_longest=False, is_trained=True)


@pytest.mark.parametrize("options", [["--sizes", "9m"], ["--chunks", "100"], ["--chunks", "0"]])
def test_options_are_checked(options, capsys):
    with pytest.raises(SystemExit):
        engine.main(options)
    assert options[0] in capsys.readouterr().err


def test_a_runtime_that_refuses_is_told(tmp_path):
    path = tmp_path / "odd.ticket"
    path.write_bytes(b"nothing")
    models = [["a/engine_int8", "engine_int8", str(path)], ["a/onnxruntime_int8", "onnxruntime_int8", str(path)]]
    found = measure("rounds", models=models, chunk_frames=4, num_rounds=1)
    assert "cannot open it" in found["a/engine_int8"]["error"]
    assert found["a/onnxruntime_int8"]["error"]
    assert str(tmp_path) not in json.dumps(found)


def test_a_process_that_dies_is_told(tmp_path):
    with pytest.raises(LotteryError, match="ended with status"):
        measure("footprint", contestant="engine_int8", path=str(tmp_path / "absent"))


def test_windows_follow_each_other():
    windows = speech_windows(4, num_chunks=10)
    assert len(windows) == 10
    assert {window.shape for window in windows} == {(1, 19, 80)}
    # Three frames of the next chunk are looked at.
    assert np.array_equal(windows[0][0, 16:], windows[1][0, :3])


def test_the_cache_is_overrun():
    assert Eviction().num_bytes >= 4 * l2_bytes() > 0
