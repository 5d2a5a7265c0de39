"""The latency benchmark over a run: which tickets, which bundles, and how it goes on after a stop."""

import dataclasses
import json

import pytest

from benchmarks import latency
from benchmarks.latency import export_tickets, find_tickets, measure, summarise
from runtime.bench import find_rows
from runtime.errors import LotteryError
from runtime.files import sha256_file
from runtime.manifest import Manifest
from runtime.measurement import Conditions
from tests.tiny_bundle import write_tiny_bundle


def write_run(path, **tickets):
    """Write a run directory of bare ticket records: folder name -> (granularity, density)."""
    for name, (granularity, density) in tickets.items():
        folder = path / "controls" / name if name.startswith("dense") else path / name
        folder.mkdir(parents=True)
        (folder / "ticket.json").write_text(json.dumps({"granularity": granularity, "density": density}))
    return path


@pytest.fixture
def exports(monkeypatch):
    """Replace the export by one that writes tiny bundles, and return the list of what was asked of it."""
    calls = []

    def fake(argv):
        ticket, *options, _, folder, overwrite = argv
        assert overwrite == "--overwrite"
        calls.append((ticket.rpartition("/")[2], *options))
        write_tiny_bundle(folder)
        told = {"ticket_sha256": sha256_file(f"{ticket}/ticket.json"), "density": 1.0, "num_weights": len(calls)}
        dataclasses.replace(Manifest.load(folder), provenance=told).write(folder)
        return 0

    monkeypatch.setattr("export.cli.main", fake)
    return calls


def test_tickets_are_levels_and_their_dense_small_controls(tmp_path):
    run = write_run(
        tmp_path / "run",
        level_00=("unit", 1.0),
        level_03=("unit", 0.5),
        level_06=("unit", 0.3),
        **{"dense-small_06": ("unit", 1.0)},
    )
    (run / "level_07").mkdir()
    names = [folder.name for folder in find_tickets(run)]
    assert names == ["level_00", "level_03", "level_06", "dense-small_06"]
    assert [folder.name for folder in find_tickets(run, levels=[0, 6])] == ["level_00", "level_06", "dense-small_06"]
    with pytest.raises(LotteryError, match="no finished tickets"):
        find_tickets(run, levels=[7])


def test_a_unit_ticket_is_measured_masked_and_shrunk(tmp_path, exports):
    run = write_run(tmp_path / "run", level_00=("unit", 1.0), level_01=("unit", 0.5))
    other = write_run(tmp_path / "other", level_01=("weight", 0.5))
    tickets = [*find_tickets(run), *find_tickets(other)]
    folders = export_tickets(tickets, bundles=tmp_path / "bundles")
    assert [folder.name for folder in folders] == [
        "run_level_00", "run_level_01_masked", "run_level_01_shrunk", "other_level_01",
    ]  # fmt: skip
    assert exports == [("level_00",), ("level_01",), ("level_01", "--structured"), ("level_01",)]
    # a second time nothing is left to do, until a ticket changes
    export_tickets(tickets, bundles=tmp_path / "bundles")
    assert len(exports) == 4
    (other / "level_01" / "ticket.json").write_text(json.dumps({"granularity": "weight", "density": 0.4}))
    export_tickets(tickets, bundles=tmp_path / "bundles")
    assert exports[4:] == [("level_01",)]


def test_a_failed_export_ends_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr("export.cli.main", lambda argv: 2)
    run = write_run(tmp_path / "run", level_00=("unit", 1.0))
    with pytest.raises(LotteryError, match="level_00: the export failed"):
        export_tickets(find_tickets(run), bundles=tmp_path / "bundles")


class FakeClips:
    """Stands in for the measuring process; dies before the round `dies_at`."""

    def __init__(self, dies_at=None):
        self.rounds, self.dies_at = [], dies_at

    def __call__(self, candidates, *, conditions, repeats, first_round):
        if self.dies_at is not None and first_round >= self.dies_at:
            raise KeyboardInterrupt
        numbers = list(range(first_round, first_round + repeats))
        self.rounds += numbers
        clip = {"wall_s": 1.0, "cpu_s": 1.0, "audio_s": 10.0}
        return [[{**clip, "chunk_ms": [n + 1], "model_ms": [n + 1]} for n in numbers] for _ in candidates]


def test_a_stopped_measurement_goes_on(tmp_path, monkeypatch):
    bundle = write_tiny_bundle(tmp_path / "tiny", has_int8=False)
    footprints = []
    monkeypatch.setattr(
        latency, "measure_footprint", lambda candidate, conditions: footprints.append(1) or {"load_s": 1.0}
    )

    def run(clips, *, threads=1):
        rows = find_rows([bundle])
        monkeypatch.setattr(latency, "measure_clips", clips)
        conditions = Conditions(threads=threads)
        measure(rows, conditions=conditions, rounds=12, is_paced=False, state_path=tmp_path / "state.json")
        return rows

    with pytest.raises(KeyboardInterrupt):
        run(FakeClips(dies_at=5))
    clips = FakeClips()
    (row,) = run(clips)
    assert clips.rounds == list(range(5, 12))
    assert footprints == [1]
    # the first block, measured before the stop, counts
    assert row["model_ms"] == {"p50": 6.5, "p95": 11.45, "p99": 11.89, "mean": 6.5, "count": 12}
    # other conditions: nothing of it does
    clips = FakeClips()
    run(clips, threads=2)
    assert clips.rounds == list(range(12))


def test_summary_is_plain_numbers():
    def row(kind, precision, ms, speedup):
        return {"kind": kind, "precision": precision, "model_ms": {"p50": ms}, "speedup": speedup}

    rows = [row("dense", "int8", 3.0, 1.0), row("masked", "int8", 2.9, None), row("shrunk", "int8", 1.5, 2.0)]
    assert summarise([*rows, row("shrunk", "int8", 2.0, 1.5)]) == {
        "dense_int8_fastest_model_ms": 3.0,
        "masked_int8_fastest_model_ms": 2.9,
        "shrunk_int8_fastest_model_ms": 1.5,
        "shrunk_int8_largest_speedup": 2.0,
    }
