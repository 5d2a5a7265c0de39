"""The collected figures are those of the result files; what is missing is named with the command that makes it."""

import json

import pytest

from benchmarks import everywhere

RESULTS = {
    "sherpa": {"sherpa_clips": 252, "sherpa_token_mismatches": 0, "sherpa_int8_clips_that_differ": 10, "versions": []},
    "browser": {"browser_clips": 40, "browser_token_differences": 1},
    "aarch64": {"aarch64_fp32_max_abs": 1e-5, "aarch64_instructions_per_chunk": 123},
}


def write(folder, name, value):
    (folder / f"{name}.json").write_text(json.dumps(value))


def test_figures_are_copied_with_their_source(tmp_path, capsys):
    for name, summary in RESULTS.items():
        write(tmp_path, name, {"summary": summary, "command": f"make {name}", "machine": {"commit": "abc"}})
    assert everywhere.main(["--results", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "everywhere.json").read_text())
    assert written["summary"] == {
        figure: RESULTS[name][figure] for name, figures in everywhere.FIGURES.items() for figure in figures
    }
    assert written["missing"] == {}
    assert written["sources"]["browser"] == {"command": "make browser", "commit": "abc"}
    assert "sherpa_token_mismatches" in capsys.readouterr().out


def test_what_is_missing_is_absent_and_named(tmp_path, capsys):
    write(tmp_path, "sherpa", {"summary": {"sherpa_clips": 3}})
    assert everywhere.main(["--results", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "everywhere.json").read_text())
    assert written["summary"] == {"sherpa_clips": 3}
    assert written["missing"]["browser"] == list(everywhere.FIGURES["browser"])
    told = capsys.readouterr().err
    assert "sherpa.json lacks sherpa_token_mismatches" in told
    assert "run python -m benchmarks.browser" in told
    assert "run python -m benchmarks.aarch64" in told


@pytest.mark.parametrize("value", [[], {}, {"summary": 3}])
def test_another_file_is_refused(tmp_path, value, capsys):
    write(tmp_path, "aarch64", value)
    assert everywhere.main(["--results", str(tmp_path)]) == 2
    assert "aarch64.json: holds no summary" in capsys.readouterr().err
    assert not (tmp_path / "everywhere.json").exists()
