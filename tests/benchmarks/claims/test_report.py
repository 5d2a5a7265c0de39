"""The result files and the page: what is not measured is null, and named."""

import json

import pytest

from benchmarks.claims.registry import PRIORITY
from benchmarks.claims.report import find, page, readme_table, summarise, write_report
from tests.benchmarks.claims.runs import SMALL


def test_without_runs_everything_is_null_and_named(reader, bench, tmp_path):
    found = find(reader, SMALL, tests=None)
    summary = summarise(found)
    assert list(summary) == [
        "conformer_extreme_density",
        "cnn_lstm_extreme_density",
        "rnnt_extreme_density",
        "conformer_best_minus_dense_wer",
        "block1x4_at_5pct_minus_dense_wer",
        "noise_5db_ticket_minus_dense_wer",
        "transfer_an4_ticket_minus_dense_wer",
        "ticket_minus_dense_small_wer_at_10pct",
        "search_cost_multiples_at_10pct",
    ]
    assert set(summary.values()) == {None}
    named = {name for findings in found.values() for name in findings["missing"]}
    assert named == set(PRIORITY)
    assert {findings["verdict"] for findings in found.values()} == {"not measured"}
    assert "conformer" in page(found, seeds=(0,))
    assert "The noise pack is not there" in page(found, seeds=(0,))


@pytest.mark.usefixtures("conformer")
def test_result_files_and_the_readme_table(reader, bench, tmp_path):
    found = find(reader, SMALL, tests=None)
    path = write_report(found, bench=bench, scale=SMALL, folder=tmp_path / "results")
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "c1.json", "c2.json", "c3.json", "c4.json", "c5.json", "cost.json", "report.html", "summary.json",
    ]  # fmt: skip
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["summary"]["conformer_extreme_density"] == 0.41
    assert summary["summary"]["conformer_best_minus_dense_wer"] == 0.25
    assert summary["summary"]["search_cost_multiples_at_10pct"] is None
    assert summary["claims"]["C1"]["experiments"]["conformer"] == [0]
    row = json.loads((path.parent / "c1.json").read_text())["backbones"]["conformer"]["rows"][2]
    assert (row["wer"], row["minus_dense_interval"], row["seeds"]) == (0.0, [-0.25, -0.25], [0])
    text = path.read_text()
    assert "a quick run" not in text
    assert "imp (0 of 3 trainings finished)" in text
    table = readme_table(found)
    assert table.startswith("<!-- claims -->\n| claim |")
    line = "| C1 | conformer: a ticket matches dense (41.0 %) | holds | 0.0 | 25.0 | -25.0 [-25.0, -25.0] | 2.00 | 0 |"
    assert line in table
    assert "not measured" not in table
