"""Bundles side by side: what is a speed-up, what is not, and what a bundle says of itself."""

import pytest

from runtime.bench import find_rows
from runtime.comparison import (
    add_ratios,
    add_times,
    busy_note,
    latency_series,
    latency_table,
    notes,
    sort_rows,
    wer_note,
)
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


def test_what_the_error_rates_were_measured_on_is_said(tmp_path):
    assert wer_note([timed(model_ms=1.0)]) is None
    rows = [
        timed(bundle="a", told_test_wer=0.1, told_corpus="an4", model_ms=1.0),
        timed(bundle="b", told_test_wer=0.2, told_corpus="an4", model_ms=1.0),
    ]
    assert wer_note(rows).endswith("test split of its corpus: a, b on an4")
    rows.append(timed(bundle="c", told_test_wer=0.3, told_corpus=None, model_ms=1.0))
    assert "; c on an untold corpus, so that they do not compare" in wer_note(rows)
    add_ratios(rows)
    assert wer_note(rows) in notes(rows)


@pytest.mark.parametrize(
    ("corpus", "told"), [("an4*2+fsdd", "an4*2+fsdd"), ("\x1b[2J", None), ("x" * 300, None), (3, None)]
)
def test_the_name_of_a_corpus_is_foreign_text(corpus, told, tmp_path):
    (row, _) = find_rows([write_bundle(tmp_path / "b", corpus=corpus)])
    assert row["told_corpus"] == told


def clip(wall_s, *, cpu_s=1.0):
    return {"chunk_ms": [1.0], "model_ms": [1.0], "wall_s": wall_s, "cpu_s": cpu_s, "audio_s": 10.0}


@pytest.mark.parametrize(
    ("walls", "load_average", "threads", "reason"),
    [
        ([1.0, 1.01, 1.02], 0.1, 1, None),
        ([1.0, 1.01, 1.02], None, 1, None),
        ([1.0, 1.01, 1.02], 1.2, 1, None),
        ([1.0, 1.01, 1.02], 1.3, 1, "the load average was 1.3 on 2 cores"),
        ([1.0, 1.01, 1.02], 0.5, 2, "the load average was 0.5 on 2 cores"),
        ([1.2, 1.2, 1.2], 0.0, 1, "slow waited for a processor 17% of its time"),
        ([1.0, 1.4, 1.5], 0.0, 1, "the median pass of slow took 1.4 times as long as its fastest"),
    ],
)
def test_a_busy_machine_is_noticed(walls, load_average, threads, reason):
    rows = [timed(bundle="quick", model_ms=1.0), timed(bundle="slow", model_ms=1.0)]
    add_times(rows[0], rounds=[clip(1.0)])
    add_times(rows[1], rounds=[clip(wall_s) for wall_s in walls])
    note = busy_note(rows, load_average=load_average, cores=2, threads=threads)
    assert note is None if reason is None else reason in note


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
