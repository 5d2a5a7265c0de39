"""From times to figures: ratios are paired, the summary has the promised keys, and nothing missing passes for met."""

import json

import pytest

from benchmarks.engine_models import COMPOSITE
from benchmarks.engine_report import result_html, result_text
from benchmarks.engine_rows import check_bars, is_wer_equal, make_rows, promised_ratio, summarise

PEAKS = {
    "read_bytes_per_s": 1e10,
    "fp32_multiply_adds_per_s": 1e11,
    "int8_multiply_adds_per_s": 4e11,
    "engine_int8_multiply_adds_per_s": 3e11,
    "evicted_bytes": 8 << 20,
}
DISK = {
    "num_weights": 1000, "density": 0.044, "file_bytes": 105, "bound_bytes": 100.0, "weight_bytes": 51,
    "weight_bound_bytes": 50.0, "file_over_bound": 1.05, "weights_over_bound": 1.02,
}  # fmt: skip


def make_part(tmp_path, *, size="8m", **engine_ms):
    """Return a part of rows with the given engine times, each round's; onnxruntime takes ten times round one's."""
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    described, files, timings = [], {}, {}
    for name, times in engine_ms.items():
        described.append(
            {
                "name": name,
                "label": name,
                "num_nonzeros": 1000,
                "num_weights": 2000,
                "useful_multiply_adds": 10**6,
                "dense_multiply_adds": 10**7,
                "formats": {"dense_i8": 3},
            }
        )
        files[name] = {"engine_int8": path, "onnxruntime_int8": path, "openvino_fp32": path}
        facts = {"weight_bytes": 4000, "state_bytes": 1000}
        timings[name] = own = {}
        own[f"{name}/engine_int8"] = {"load_s": 0.5, "cold_ms": times, "warm_ms": times, "facts": facts}
        slower = [10 * times[0] * factor for factor in (1, 2, 3)]
        own[f"{name}/onnxruntime_int8"] = {"load_s": 1.0, "cold_ms": slower, "warm_ms": slower, "facts": {}}
        own[f"{name}/openvino_fp32"] = {"error": "not installed: no module"}
        own["dense/onnxruntime_int8"] = timings["dense"]["dense/onnxruntime_int8"]
    rows = make_rows(described, files=files, timings=timings, peaks=PEAKS)
    return {
        "rows": rows, "fp32_error": {"max": 2e-5, "mean": 1e-6, "num_chunks": 104}, "size": size, "chunk_ms": 640,
        "is_trained": False, "key": {},
    }  # fmt: skip


def wer_record(wer, low):
    reference = {"wer": 0.1, "wer_interval": [0.08, 0.12], "minus_reference": 0, "minus_reference_interval": [0, 0]}
    return {"onnxruntime_fp32": reference, "engine_int8": {"wer": wer, "minus_reference_interval": [low, 0.02]}}


def test_word_error_rates_are_equal_within_their_intervals():
    assert is_wer_equal([wer_record(0.11, -0.001)])
    # One of two differs, but within its interval, and together they do not.
    assert is_wer_equal([wer_record(0.11, 0.001), wer_record(0.105, -0.001)])
    assert not is_wer_equal([wer_record(0.13, -0.001)])
    assert not is_wer_equal([wer_record(0.11, -0.001), wer_record(0.11, 0.001)])


def test_ratios_are_taken_round_by_round(tmp_path):
    part = make_part(tmp_path, dense=[1.0, 2.0, 3.0], half=[0.5, 0.25, 0.25])
    dense, half = part["rows"]
    # A machine that slows down slows both.
    assert dense["ratio"]["cold"] == pytest.approx({"p10": 10, "p50": 10, "p90": 10})
    assert half["ratio"]["cold"]["p50"] == pytest.approx(40)
    # 10, 20, 30 ms of the dense model over 0.5, 0.25, 0.25 ms
    assert half["ratio_to_dense"]["cold"]["p50"] == pytest.approx(80)
    assert dense["runtimes"]["openvino_fp32"] == {"file_bytes": 100, "error": "not installed: no module"}


def test_roofline(tmp_path):
    (row,) = make_part(tmp_path, dense=[1.0, 2.0, 3.0])["rows"]
    assert row["ns_per_nonzero"] == pytest.approx(2e6 / 1000)
    assert row["multiply_adds_per_s"] == pytest.approx(1e6 / 2e-3)
    assert row["intensity"] == pytest.approx(200)
    # 200 multiply-adds a byte: arithmetic is what limits it
    assert row["attainable_per_s"] == PEAKS["int8_multiply_adds_per_s"]
    assert row["share_of_roofline"] == pytest.approx(5e8 / 4e11)


def test_summary_has_the_promised_keys(tmp_path):
    times = {"dense": [1.0] * 3, "unstructured_10": [0.5] * 3, "half": [0.5] * 3, COMPOSITE: [0.25] * 3}
    parts = {"8m_640": make_part(tmp_path, **times)}
    summary = summarise(parts, disk=DISK)
    names = ("dense_int8", "unstructured_10", "unstructured_5", "half_int8_vs_ort_half_int8", "composite")
    assert list(summary) == [
        *(f"{size}_{name}" for size in ("8m", "24m") for name in names),
        "max_abs_error_fp32",
        "disk_over_entropy_bound",
    ]
    assert summary["8m_dense_int8"] == pytest.approx(20)
    assert summary["8m_unstructured_5"] is None
    assert summary["24m_dense_int8"] is None
    assert summary["max_abs_error_fp32"] == 2e-5
    assert summary["disk_over_entropy_bound"] == 1.05
    checks = {check["key"]: check["is_met"] for check in check_bars(summary, parts=parts)}
    assert checks["8m_dense_int8"] is True
    assert checks["8m_unstructured_5"] is None
    assert checks["8m_composite_is_fastest"] is True
    assert checks["24m_composite_is_fastest"] is None
    assert checks["max_abs_error_fp32"] is True


def test_promises():
    assert promised_ratio("8m", "unstructured_5") == 6
    assert promised_ratio("24m", "half") == 2.5
    assert promised_ratio("24m", COMPOSITE) is None
    assert promised_ratio("1m", "dense") is None


def test_bars_that_are_missed(tmp_path):
    parts = {"8m_640": make_part(tmp_path, dense=[1.0] * 3, half=[0.1] * 3, **{COMPOSITE: [0.2] * 3})}
    summary = summarise(parts, disk={**DISK, "file_over_bound": 1.2}) | {"8m_dense_int8": 1.9}
    wer = [wer_record(0.1, 0.001)]
    checks = {check["key"]: check["is_met"] for check in check_bars(summary, parts=parts, wer=wer)}
    missed = ("8m_dense_int8", "8m_composite_is_fastest", "disk_over_entropy_bound", "wer_is_equal")
    assert {key for key, is_met in checks.items() if is_met is False} == set(missed)


def test_report(tmp_path):
    part = make_part(tmp_path, dense=[1.0] * 3, unstructured_10=[0.5] * 3, half=[0.5] * 3, **{COMPOSITE: [0.25] * 3})
    record = part["rows"][0]["runtimes"]["engine_int8"]
    record["footprint"] = {"load_s": 0.1, "peak_rss_bytes": 50_000_000, "imports_rss_bytes": 40_000_000}
    parts = {"8m_640": part, "24m_640": {**part, "size": "24m"}}
    wer = {"key": {}, "records": [{"ticket": "an4/level_06", "density": 0.2, **wer_record(0.1, -0.01)}]}
    summary = summarise(parts, disk=DISK)
    machine = {
        "cpu": "A CPU", "architecture": "x86_64", "cores": 2, "threads": 1, "python": "3.11", "versions": {},
        "commit": None,
    }  # fmt: skip
    result = json.loads(
        json.dumps(
            {
                "summary": summary,
                "checks": check_bars(summary, parts=parts, wer=wer["records"]),
                "peaks": PEAKS,
                "disk": DISK,
                "wer": wer,
                "parts": parts,
                "machine": machine,
                "command": "python -m benchmarks.engine",
            }
        )
    )
    text, page = result_text(result), result_html(result)
    for told in ("8m, 640 ms chunks", "24m_composite_is_fastest", "not installed: no module", "an4/level_06"):
        assert told in text
        assert told in page
    # Ratios by size, time over density for each size, rooflines.
    assert page.count("<svg") == 4
    assert "<script" not in page
