"""The suite itself, small: real trainings of tiny models, from a corpus to the page."""

import json

import pytest

from benchmarks.claims.__main__ import main
from benchmarks.claims.quick import PACKS
from benchmarks.results import RESULTS
from tests.lottery_train.tiny import write_tones


@pytest.fixture
def packs(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    for name in PACKS:
        write_tones(tmp_path / "packs" / name, num_train=16, num_dev=6, num_test=8)
    return tmp_path / "packs"


def test_an_experiment_from_corpus_to_page_and_again(packs, tmp_path, capfd):
    command = ["--quick", "--data-dir", str(packs), "--runs", str(tmp_path / "runs"), "--experiments", "gradual_10"]
    assert main([*command, "--list"]) == 0
    assert "0/1" in capfd.readouterr().out
    assert main([*command, "--commands"]) == 0
    assert capfd.readouterr().out.startswith("lottery-train --preset an4-unstructured")
    assert main([*command, "--workers", "2"]) == 0
    first = capfd.readouterr()
    assert "gradual_10: finished" in first.err
    assert main([*command, "--markdown"]) == 0
    again = capfd.readouterr()
    assert "started" not in again.err
    assert "<!-- claims -->" in again.out
    results = tmp_path / "runs" / "results"
    (row,) = json.loads((results / "cost.json").read_text())["rows"][:1]
    assert row["method"] == "gradual"
    assert row["cost"] == 1.0
    assert set(json.loads((results / "summary.json").read_text())["summary"].values()) == {None}
    assert "a quick run" in (results / "report.html").read_text().lower()


def test_wrong_names_are_told(packs, tmp_path, capfd):
    command = ["--quick", "--data-dir", str(packs), "--runs", str(tmp_path / "runs")]
    for wrong in (
        ["--only", "C9"],
        ["--experiments", "none"],
        ["--seeds", "0,0"],
        ["--adopt", "x=y"],
        ["--adopt", "conformer_controls=y"],
        ["--results", str(RESULTS / "claims")],
        ["--report-only"],  # nothing has finished: no empty page
    ):
        assert main([*command, *wrong]) == 2
        assert capfd.readouterr().err.startswith("error: ")
    assert not (tmp_path / "runs" / "results").exists()
