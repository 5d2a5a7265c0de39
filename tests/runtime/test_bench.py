"""lottery-bench: the command line end to end, and what it says when it cannot measure."""

import json
import sys

import numpy as np
import pytest
import soundfile

from runtime import bench
from runtime.bench import find_rows, main
from runtime.device_report import read_report
from runtime.engine.library import instruction_sets
from runtime.errors import LotteryError
from runtime.measurement import MIN_CHUNKS
from runtime.shipped import shipped_bundle
from tests.runtime.bench_bundles import write_bundle
from tests.runtime.engine.tiny_ticket import add_ticket
from tests.tiny_bundle import speak


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    return [
        write_bundle(root / "small", density=1.0, level=6, num_weights=310, num_nonzeros=310, structured=False),
        write_bundle(root / "shrunk", density=0.26, level=6, num_weights=320, num_nonzeros=315, structured=True),
        write_bundle(root / "dense", density=1.0, level=0, num_weights=1000, num_nonzeros=1000, structured=False),
        write_bundle(root / "masked", density=0.26, level=6, num_weights=1000, num_nonzeros=320, structured=False),
    ]


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.tile(speak("bad cab"), 2), 16000)
    return str(path)


def test_the_command_line_end_to_end(bundles, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "load_average_1min", lambda: 1000.0)
    output = tmp_path / "out.json"
    assert main([*bundles, "--repeats", "2", "--audio", clip, "--json", str(output)]) == 0
    printed = capsys.readouterr()
    result = json.loads(output.read_text())
    rows = result["rows"]
    assert [(row["bundle"], row["precision"]) for row in rows] == [
        (name, precision) for precision in ("fp32", "int8") for name in ("dense", "masked", "shrunk", "small")
    ]
    assert [row["kind"] for row in rows[:4]] == ["dense", "masked", "shrunk", "dense-small"]
    for row in rows:
        assert 0 < row["model_ms"]["p50"] < row["chunk_ms"]["p50"] <= row["chunk_ms"]["p95"] <= row["chunk_ms"]["p99"]
        assert row["model_ms"]["count"] > row["chunk_ms"]["count"] > 0
        assert min(row["rtf"], row["cpu_s_per_audio_s"], row["load_s"]) > 0
        assert row["peak_rss_bytes"] > row["imports_rss_bytes"] > 1e7
        assert row["baseline"] == "dense"
    assert rows[0]["speedup"] == 1
    assert rows[1]["speedup"] is None
    assert rows[1]["model_time_ratio"] > 0
    assert result["machine"]["threads"] == 1
    assert result["command"].startswith("lottery-bench ")
    assert "machine: " in printed.out
    assert "zeros inside full-size matrices" in printed.out
    assert printed.err.endswith(f"wrote {output}\n")
    assert (result["is_busy"], result["load_average_before"]) == (True, 1000.0)
    assert "note: the machine was busy: the load average was 1000.0" in printed.out
    assert "warning: the machine was busy: the load average was 1000.0" in printed.err


def test_a_device_report_is_written(bundles, clip, tmp_path, capsys):
    output = tmp_path / "device.json"
    options = ["--repeats", "2", "--precision", "fp32", "--audio", clip, "--device-report", str(output)]
    assert main([*bundles[:2], *options]) == 0
    report = read_report(output)
    assert [(row["bundle"], row["backend"], row["precision"]) for row in report["rows"]] == [
        ("shrunk", "onnxruntime", "fp32"),
        ("small", "onnxruntime", "fp32"),
    ]
    assert set(report["bundles"]) == {"small", "shrunk"}
    assert report["settings"] == {"threads": 1, "repeats": 2, "audio": "clip.wav"}
    for row in report["rows"]:
        assert 0 < row["model_ms"]["p50"] < row["chunk_ms"]["p50"]
        assert min(row["rtf"], row["load_ms"], row["num_chunks"]) > 0
        assert row["peak_rss_bytes"] > 1e7
    assert capsys.readouterr().err.endswith(f"wrote {output}\n")


@pytest.fixture
def engine_bundles(tmp_path):
    """Return a dense and a masked bundle, each with ONNX models in fp32 and int8 and a ticket in int8."""
    dense = tmp_path / "dense"
    write_bundle(dense, density=1.0, level=0, num_weights=1000, num_nonzeros=1000, structured=False)
    masked = tmp_path / "masked"
    write_bundle(masked, density=0.26, level=6, num_weights=1000, num_nonzeros=320, structured=False)
    return [str(add_ticket(dense)), str(add_ticket(masked, kind="csr"))]


@pytest.mark.usefixtures("engine_library")
def test_a_bundle_with_a_ticket_is_measured_in_both_backends(engine_bundles, clip, tmp_path, capsys):
    output = tmp_path / "out.json"
    assert main([*engine_bundles, "--repeats", "1", "--threads", "2", "--audio", clip, "--json", str(output)]) == 0
    result, printed = json.loads(output.read_text()), capsys.readouterr().out
    rows = {(row["bundle"], row["precision"], row["backend"]): row for row in result["rows"]}
    assert list(rows) == [
        *((name, "fp32", "onnxruntime") for name in ("dense", "masked")),
        *((name, "int8", backend) for name in ("dense", "masked") for backend in ("onnxruntime", "engine")),
    ]
    for (_, _, backend), row in rows.items():
        assert (row["instruction_set"] in instruction_sets()) == (backend == "engine")
        assert min(row["load_s"], row["rtf"], row["model_ms"]["p50"]) > 0
        assert row["baseline_backend"] == "onnxruntime"
    # zeros that are multiplied are masked; those that are left out are not, and count
    assert rows["masked", "int8", "onnxruntime"]["kind"] == "masked"
    assert rows["masked", "int8", "onnxruntime"]["speedup"] is None
    assert rows["masked", "int8", "engine"]["kind"] == "sparse"
    assert rows["masked", "int8", "engine"]["speedup"] > 0
    engine, onnx = (rows["dense", "int8", backend] for backend in ("engine", "onnxruntime"))
    assert engine["model_bytes"] == (tmp_path / "dense" / "model.ticket").stat().st_size != onnx["model_bytes"]
    assert engine["speedup"] == pytest.approx(onnx["model_ms"]["p50"] / engine["model_ms"]["p50"])
    assert f"engine {instruction_sets()[0]}" in printed
    assert "note: sparse: " in printed
    assert "note: the ticket engine runs a chunk on one thread" in printed


@pytest.mark.usefixtures("engine_library")
def test_the_backend_and_the_precisions_choose_the_rows(engine_bundles, tmp_path):
    def found(**options):
        return [(row["precision"], row["backend"]) for row in find_rows(engine_bundles[:1], **options)]

    # what other measurements of onnxruntime stand on
    assert found() == found(backend="onnxruntime") == [("fp32", "onnxruntime"), ("int8", "onnxruntime")]
    assert found(backend="engine") == [("int8", "engine")]
    assert found(backend="auto") == [("fp32", "onnxruntime"), ("int8", "onnxruntime"), ("int8", "engine")]
    assert found(backend="auto", precisions=("fp32",)) == [("fp32", "onnxruntime")]
    with pytest.raises(LotteryError, match="is int8, not fp32"):
        find_rows(engine_bundles, precisions=("fp32",), backend="engine")
    plain = write_bundle(tmp_path / "plain", has_int8=False)
    with pytest.raises(LotteryError, match=r"plain has no model\.ticket"):
        find_rows([engine_bundles[0], plain], backend="engine")
    with pytest.raises(LotteryError, match="plain has no int8 model"):
        find_rows([plain], precisions=("int8",), backend="auto")


def test_a_backend_that_is_missing_is_said_once_and_left_out(engine_bundles, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOTTERY_ENGINE_LIBRARY", str(tmp_path / "gone.so"))
    monkeypatch.setattr("runtime.session._said", set())
    rows = find_rows(engine_bundles, backend="auto")
    assert {row["backend"] for row in rows} == {"onnxruntime"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: nothing is measured with engine: the ticket engine is not installed")
    with pytest.raises(LotteryError, match="is not installed"):
        find_rows(engine_bundles, backend="engine")


@pytest.mark.usefixtures("engine_library")
def test_a_masked_ticket_of_dense_matrices_gains_nothing_in_the_engine_either(tmp_path):
    path = tmp_path / "masked"
    write_bundle(path, density=0.6, level=1, num_weights=1000, num_nonzeros=640, structured=False)
    (row,) = find_rows([add_ticket(path)], backend="engine")
    assert row["kind"] == "masked"


def test_real_time_stream_is_measured(bundles, clip, tmp_path):
    output = tmp_path / "out.json"
    options = ["--paced", "--precision", "fp32", "--repeats", "1", "--audio", clip, "--json", str(output)]
    assert main([bundles[2], *options]) == 0
    (row,) = json.loads(output.read_text())["rows"]
    audio_s = 2 * len(speak("bad cab")) / 16000
    assert 0.2 <= row["paced"]["first_chunk_s"] <= row["paced"]["first_partial_s"] < audio_s
    assert row["paced"]["finalisation_s"] > 0


def test_without_a_bundle_the_one_that_comes_along_is_measured(monkeypatch):
    measured = []
    monkeypatch.setattr("runtime.bench.measure_rows", lambda rows, **_: measured.extend(rows) or sys.exit(0))
    with pytest.raises(SystemExit):
        main(["--backend", "onnxruntime"])
    assert [(row["path"], row["precision"]) for row in measured] == [(str(shipped_bundle()), "int8")]


def test_plot_and_page_are_written(bundles, clip, tmp_path):
    plot, page = tmp_path / "out.png", tmp_path / "out.html"
    options = ["--repeats", "1", "--precision", "fp32", "--audio", clip, "--plot", str(plot), "--html", str(page)]
    assert main([*bundles, *options]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<svg" in text
    assert "lottery-bench" in text


def test_bundles_of_one_name_are_told_apart(tmp_path):
    paths = [write_bundle(tmp_path / run / "level_06", has_int8=False) for run in "ab"]
    assert [row["bundle"] for row in find_rows(paths)] == paths
    # the same bundle given twice is measured once
    assert [row["bundle"] for row in find_rows([paths[0], paths[0] + "/"])] == ["level_06"]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--precision", "int8"], "has no int8 model", "--precision fp32"),
        (["--plot", "out.png"], "nothing to plot", "--plot"),
        (["--audio", "absent.wav"], "absent.wav: no such file", None),
        (["--json", "/dev/null/out.json"], "/dev/null/out.json: cannot write: Not a directory", "choose another"),
        (["--plot", "/tmp"], "/tmp: cannot write: Is a directory", "choose another name"),
    ],
)
def test_what_cannot_be_measured_is_said_before_measuring(options, message, hint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("runtime.bench.measure_rows", lambda *_, **__: pytest.fail("measured"))
    path = write_bundle(tmp_path / "plain", has_int8=False)
    assert main([path, *options]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert hint is None or f"hint: {hint}" in printed or hint in printed.split("hint: ")[1]


@pytest.mark.parametrize(("chunk_frames", "hint"), [(24, "--audio"), (400, "--chunk-ms")])
def test_a_clip_without_enough_chunks_is_refused_before_measuring(tmp_path, capsys, monkeypatch, chunk_frames, hint):
    monkeypatch.setattr("runtime.bench.measure_rows", lambda *_, **__: pytest.fail("measured"))
    soundfile.write(tmp_path / "clip.wav", np.resize(speak("bad cab"), 33600), 16000)
    short = write_bundle(tmp_path / "short", has_int8=False)
    long = write_bundle(tmp_path / "long", has_int8=False, chunk_frames=chunk_frames)
    assert main([short, long, "--audio", str(tmp_path / "clip.wav")]) == 2
    error, advice = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {long}: ")
    assert f"chunks of {chunk_frames * 0.04:g} s need {chunk_frames * 0.16:g} s or more" in error
    assert hint in advice


def test_the_shortest_clip_that_is_accepted_gives_a_full_row(tmp_path):
    output, chunk_frames = tmp_path / "out.json", 16
    soundfile.write(tmp_path / "clip.wav", np.resize(speak("bad cab"), 4 * chunk_frames * 640), 16000)
    path = write_bundle(tmp_path / "b", has_int8=False, chunk_frames=chunk_frames)
    assert main([path, "--audio", str(tmp_path / "clip.wav"), "--repeats", "1", "--json", str(output)]) == 0
    (row,) = json.loads(output.read_text())["rows"]
    assert row["chunk_ms"]["count"] == MIN_CHUNKS
    assert row["chunk_frames"] == chunk_frames


def test_a_plot_without_matplotlib_names_the_extra(bundles, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("runtime.bench.measure_rows", lambda *_, **__: pytest.fail("measured"))
    assert main([*bundles, "--html", "out.html"]) == 2
    assert 'hint: pip install "lottery-asr[train]"' in capsys.readouterr().err


def test_a_damaged_bundle_ends_with_its_name(bundles, tmp_path, capsys):
    path = write_bundle(tmp_path / "cut")
    with open(tmp_path / "cut" / "model.onnx", "r+b") as file:
        file.truncate(100)
    assert main([bundles[0], path]) == 2
    assert "cut/model.onnx: truncated" in capsys.readouterr().err
