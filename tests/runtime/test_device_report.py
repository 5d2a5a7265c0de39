"""Device reports: what is written is read again, what others wrote is checked field by field, a device is described."""

import copy
import json

import pytest

from runtime.device_report import MAX_BYTES, describe_device, make_report, read_report
from runtime.errors import LotteryError
from tests.runtime.bench_bundles import write_bundle

TIMES = {"p50": 1.5, "p95": 2.5, "p99": 3.5, "mean": 2.0, "count": 40}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = write_bundle(tmp_path_factory.mktemp("device") / "tiny")
    row = {
        "bundle": "tiny", "path": path, "backend": "engine", "instruction_set": "neon", "precision": "int8",
        "chunk_ms": TIMES, "model_ms": TIMES, "rtf": 0.01, "load_s": 0.25, "peak_rss_bytes": None,
    }  # fmt: skip
    before, after = describe_device(), describe_device()
    return make_report([row], before=before, after=after, threads=1, repeats=3, audio="/home/me/clip.wav")


def written(tmp_path, value):
    (tmp_path / "device.json").write_text(json.dumps(value))
    return tmp_path / "device.json"


def test_what_is_written_is_read_again(report, tmp_path):
    assert read_report(written(tmp_path, report)) == report
    assert report["rows"][0]["load_ms"] == 250
    assert report["settings"] == {"threads": 1, "repeats": 3, "audio": "clip.wav"}
    assert set(report["bundles"]["tiny"]["files"]) == {"model", "model_int8", "tokens"}
    # no name of a person, a host or a folder
    assert "/" not in json.dumps(report["rows"])


def test_bundles_of_one_name_are_numbered_and_no_folder_is_told(report, tmp_path):
    paths = [write_bundle(tmp_path / folder / "tiny") for folder in "ab"]
    facts = {"backend": "onnxruntime", "instruction_set": None, "precision": "fp32", "chunk_ms": TIMES}
    facts |= {"model_ms": TIMES, "rtf": 0.01, "load_s": 0.25, "peak_rss_bytes": None}
    rows = [facts | {"bundle": path, "path": path} for path in (*paths, paths[0])]
    device = describe_device()
    found = make_report(rows, before=device, after=device, threads=1, repeats=3, audio=None)
    assert [row["bundle"] for row in found["rows"]] == ["tiny", "tiny (2)", "tiny"]
    assert set(found["bundles"]) == {"tiny", "tiny (2)"}
    assert str(tmp_path) not in json.dumps(found)
    assert read_report(written(tmp_path, found)) == found


def test_a_name_of_any_length_fits_the_complaint(report, tmp_path):
    changed = report | {"bundles": {"n" * 100_000: 3}}
    with pytest.raises(LotteryError, match="is an integer, expected an object") as caught:
        read_report(written(tmp_path, changed))
    assert len(str(caught.value)) < 1000


def test_unknown_fields_are_dropped(report, tmp_path):
    changed = report | {"script": "<script>"}
    assert read_report(written(tmp_path, changed)) == report


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("schema_version",), 2, "schema_version is 2"),
        (("device", "cpu"), "a\x1b[31m", "device.cpu"),
        (("device", "cpu"), None, "device.cpu is null"),
        (("device", "cores"), 0, "device.cores is 0"),
        (("device", "memory_gb"), -1, "device.memory_gb is -1"),
        (("device", "load_average"), 3, "device.load_average is an integer"),
        (("device", "versions", "numpy"), "n" * 300, "device.versions.numpy"),
        (("settings", "repeats"), True, "settings.repeats is true or false"),
        (("device", "governor"), [], "device.governor is a list, expected null or text"),
        (("rows",), [], "rows is empty"),
        (("rows",), [{}] * 300, "rows has 300 entries"),
        (("rows", 0, "bundle"), "other", "is 'other', expected one of tiny"),
        (("rows", 0, "backend"), "gpu", "is 'gpu', expected one of engine, onnxruntime"),
        (("rows", 0, "chunk_ms", "p50"), 9, "chunk_ms has percentiles that fall"),
        (("rows", 0, "chunk_ms", "p50"), float("nan"), "p50 is not a number"),
        (("rows", 0, "rtf"), 1e300, "rtf is not a number"),
        (("rows", 0, "num_chunks"), 10**40, "num_chunks is a number of more than 30 digits"),
        (("bundles", "tiny", "files", "model", "sha256"), "../" * 20, "is not 64 hex digits"),
        (("bundles", "tiny", "chunk_frames"), "16", "chunk_frames is text"),
    ],
)
def test_a_wrong_field_is_named(report, tmp_path, path, value, complaint):
    changed = copy.deepcopy(report)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(LotteryError) as caught:
        read_report(written(tmp_path, changed))
    assert complaint in str(caught.value)
    assert str(tmp_path / "device.json") in str(caught.value)
    assert "lottery-bench --device-report" in caught.value.hint


def test_a_missing_field_is_named(report, tmp_path):
    for name in report:
        changed = {key: value for key, value in report.items() if key != name}
        with pytest.raises(LotteryError, match=f"{name} is missing"):
            read_report(written(tmp_path, changed))


def test_what_is_no_report_is_refused(tmp_path):
    path = tmp_path / "device.json"
    for content, complaint in (
        ("[]", "is a list"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON that can be read"),
        ("9" * 5000, "not JSON that can be read"),
        (" " * (MAX_BYTES + 1), f"is {MAX_BYTES + 1} bytes long"),
    ):
        path.write_text(content)
        with pytest.raises(LotteryError, match=complaint):
            read_report(path)
    with pytest.raises(LotteryError, match="cannot read"):
        read_report(tmp_path / "absent.json")


def test_a_raspberry_pi_is_described(tmp_path):
    frequency = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    thermal = tmp_path / "sys/class/thermal/thermal_zone0"
    for folder in (tmp_path / "proc/device-tree", tmp_path / "etc", frequency, thermal):
        folder.mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    (tmp_path / "proc/cpuinfo").write_text(4 * "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n")
    (tmp_path / "etc/os-release").write_text('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    (frequency / "scaling_governor").write_text("ondemand\n")
    (frequency / "scaling_max_freq").write_text("1800000\n")
    (thermal / "temp").write_text("48686\n")
    found = describe_device(system=tmp_path)
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == "Cortex-A72"
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert (found["governor"], found["max_mhz"], found["temperature_c"]) == ("ondemand", 1800, 48.686)


def test_a_system_that_tells_nothing_is_described_too(tmp_path):
    found = describe_device(system=tmp_path)
    assert found["board"] is found["governor"] is found["max_mhz"] is found["temperature_c"] is None
    assert found["cpu"]
    assert found["os"]
