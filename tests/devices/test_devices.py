"""The table of devices: every report a row, the busy ones named, text that stays text."""

import json

import pytest

from benchmarks import devices
from benchmarks.devices import __main__ as command
from runtime.device_report import describe_device, make_report, read_report
from runtime.errors import LotteryError
from tests.runtime.bench_bundles import write_bundle

TIMES = {"p50": 1.25, "p95": 2.5, "p99": 3.5, "mean": 2.0, "count": 40}


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the reports of a quiet and a busy device."""
    path = write_bundle(tmp_path / "tiny")
    row = {"bundle": "tiny", "path": path, "backend": "engine", "instruction_set": "neon", "precision": "int8"}
    row |= {"chunk_ms": TIMES, "model_ms": TIMES, "rtf": 0.01, "load_s": 0.25, "peak_rss_bytes": 44_000_000}
    rows = [row, row | {"backend": "onnxruntime", "instruction_set": None, "peak_rss_bytes": None}]
    (tmp_path / "reports").mkdir()
    for name, load in (("quiet", 0.1), ("busy", 9.0)):
        device = describe_device() | {"board": f"<b>{name}|", "load_average": load, "cores": 4, "max_mhz": 1800}
        report = make_report(rows, before=device, after=device, threads=1, repeats=3, audio=None)
        (tmp_path / "reports" / f"{name}.json").write_text(json.dumps(report))
    return tmp_path / "reports"


def test_every_report_is_in_the_table(folder, capsys):
    assert command.main([str(folder)]) == 0
    page = (folder / "README.md").read_text()
    assert capsys.readouterr().out == page + "\n"
    lines = page.splitlines()
    (quiet,) = (line for line in lines if line.startswith("| quiet | tiny | engine neon"))
    assert quiet == "| quiet | tiny | engine neon | int8 | 160 ms | 1.25 | 2.50 | 3.50 | 0.0100 | 250 | 44 |"
    assert any(
        line.startswith("| busy (busy) | tiny | onnxruntime | int8 |") and line.endswith("| - |") for line in lines
    )
    assert any("1800 MHz | 9.00, 9.00 |" in line for line in lines)
    assert (folder / "devices.png").read_bytes().startswith(b"\x89PNG")


def test_text_of_a_report_stays_text(folder):
    page = devices.markdown(devices.read_reports(folder))
    assert r"\<b\>quiet\|" in page
    assert "<b>" not in page


def test_a_folder_without_reports_or_with_a_broken_one_is_refused(folder, tmp_path):
    with pytest.raises(LotteryError, match="no reports"):
        devices.read_reports(tmp_path)
    (folder / "broken.json").write_text("{}")
    with pytest.raises(LotteryError, match=r"broken\.json: schema_version is missing"):
        devices.read_reports(folder)


def test_the_reports_of_the_checkout_are_read_and_the_page_is_theirs():
    reports = devices.read_reports()
    assert devices.markdown(reports) == (devices.FOLDER / devices.TABLE).read_text()
    for path in devices.FOLDER.glob("*.json"):
        assert read_report(path) == json.loads(path.read_text())
