"""Bundles side by side: what is a speed-up, what is not, and what a bundle says of itself."""

import pytest

from runtime.bench import find_rows
from runtime.comparison import add_ratios, latency_series, latency_table, notes, sort_rows
from tests.runtime.bench_bundles import write_bundle


def timed(**fields):
    """Return a row with made-up times."""
    model_ms = fields.pop("model_ms")
    row = {"bundle": "b", "kind": "shrunk", "precision": "fp32", "backend": "onnxruntime", "density": None}
    row |= {"num_weights": 5, "num_nonzeros": 5}
    model = {"p50": model_ms, "p95": model_ms, "p99": model_ms, "mean": model_ms, "count": 1}
    row |= {"model_ms": model, "chunk_ms": model | {"p50": model_ms + 1}, "rtf": 0, "cpu_s_per_audio_s": 0}
    return row | {"told_test_wer": None} | fields


def test_the_baseline_is_dense_in_onnxruntime():
    rows = [
        timed(bundle="dense", kind="dense", precision="int8", backend="engine", model_ms=2.0),
        timed(bundle="dense", kind="dense", precision="int8", model_ms=6.0),
        timed(bundle="ticket", kind="sparse", precision="int8", backend="engine", model_ms=1.0),
        timed(bundle="ticket", kind="masked", precision="int8", model_ms=6.0),
    ]
    add_ratios(rows)
    assert [row["speedup"] for row in rows] == [3, 1, 6, None]
    assert any("model time of dense in onnxruntime at the same precision" in note for note in notes(rows))
    names = [line.name for line in latency_series(rows)]
    assert "sparse (zeros skipped), int8, engine" in names
    assert "masked (zeros stay), int8, onnxruntime" in names
    # without it, dense in the engine
    alone = [row for row in rows if row["backend"] == "engine"]
    add_ratios(alone)
    assert [row["speedup"] for row in alone] == [1, 2]
    assert {row["baseline_backend"] for row in alone} == {"engine"}


def test_speedup_is_against_dense_of_the_same_precision():
    rows = [
        timed(bundle="dense", kind="dense", model_ms=6.0),
        timed(bundle="shrunk", model_ms=2.0),
        timed(bundle="dense", kind="dense", precision="int8", model_ms=3.0),
        timed(bundle="shrunk", precision="int8", model_ms=2.0),
    ]
    add_ratios(rows)
    assert [row["speedup"] for row in rows] == pytest.approx([1, 3, 1, 1.5])
    assert [row["model_time_ratio"] for row in rows] == pytest.approx([1, 1 / 3, 1, 2 / 3])
    assert rows[3]["chunk_time_ratio"] == pytest.approx(3 / 4)


def test_zeros_are_never_called_a_speedup():
    rows = [timed(kind="dense", model_ms=6.0), timed(bundle="m", kind="masked", model_ms=3.0)]
    add_ratios(rows)
    assert rows[1]["speedup"] is None
    assert rows[1]["model_time_ratio"] == 0.5
    table = latency_table(rows)
    cells = dict(zip(table.header, table.rows[1], strict=True))
    assert cells["speed-up"] == "masked"
    assert cells["model p50 ms"] == "3.00"
    assert any("not a speed-up" in note for note in notes(rows))
    assert not any("not a speed-up" in note for note in notes(rows[:1]))


def test_without_a_dense_bundle_the_table_says_what_it_compares_with():
    rows = [timed(bundle="big", model_ms=6.0), timed(bundle="small", model_ms=2.0)]
    add_ratios(rows)
    assert rows[1]["speedup"] == pytest.approx(3)
    assert any("no dense bundle" in note for note in notes(rows))


def test_rows_without_provenance_stand_last():
    rows = [
        timed(bundle="?", num_nonzeros=None, num_weights=None, model_ms=1),
        timed(bundle="few", num_nonzeros=3, model_ms=1),
        timed(bundle="many", num_nonzeros=9, model_ms=1),
    ]
    assert [row["bundle"] for row in sort_rows(rows)] == ["many", "few", "?"]


def test_provenance_is_not_trusted(tmp_path):
    path = write_bundle(tmp_path / "odd", density="all of it", level=[1], num_weights=True, num_nonzeros=12345)
    told = tmp_path / "odd" / "manifest.json"
    told.write_text(told.read_text().replace("12345", "1e999"))
    (row, _) = find_rows([path])
    assert (row["kind"], row["density"], row["level"]) == ("unknown", None, None)
    assert (row["num_weights"], row["num_nonzeros"]) == (None, None)
    told.write_text(told.read_text().replace("1e999", "-5"))
    assert find_rows([path])[0]["num_nonzeros"] is None


@pytest.mark.parametrize(
    ("told", "wer"),
    [({"wer": {"test": {"wer": 0.12}}}, 0.12), ({"wer": {"test": 0.12}}, None), ({"wer": [{}]}, None), ({}, None)],
)
def test_the_ticket_s_error_rate_is_shown_where_it_is_told(told, wer, tmp_path):
    (row, _) = find_rows([write_bundle(tmp_path / "b", **told)])
    assert row["told_test_wer"] == wer


def test_series_hold_kept_share_and_begin_at_dense():
    rows = [
        timed(kind="dense", num_weights=100, num_nonzeros=100, model_ms=4.0),
        timed(kind="masked", num_weights=100, num_nonzeros=40, model_ms=4.0),
        timed(kind="shrunk", num_weights=50, num_nonzeros=50, model_ms=2.0),
        timed(kind="unknown", num_weights=None, num_nonzeros=None, model_ms=9.0),
    ]
    series = {line.name: (line.x, line.y) for line in latency_series(rows)}
    assert series == {
        "shrunk (structured), fp32": ((1.0, 0.5), (4.0, 2.0)),
        "masked (zeros stay), fp32": ((1.0, 0.4), (4.0, 4.0)),
    }
    assert [line.name for line in latency_series(rows[:1])] == ["dense, fp32"]
    assert latency_series(rows[3:]) == []
