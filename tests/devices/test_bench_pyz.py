"""bench.pyz: equal bytes, no module too few, and it runs where nothing is installed but numpy and onnxruntime."""

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_pyz
from runtime.device_report import read_report
from runtime.engine.build import Build
from runtime.engine.library import instruction_sets
from runtime.errors import LotteryError
from tests.runtime.engine.tiny_ticket import write_engine_bundle
from tests.tiny_bundle import speak


@pytest.fixture
def bundle(tmp_path):
    return write_engine_bundle(tmp_path / "tiny")


@pytest.fixture
def with_engine(engine_library, monkeypatch):
    """Put this machine's library into archives: compiling another takes half a minute, and engine tests do."""
    monkeypatch.setattr(bench_pyz, "build", lambda *_, **__: Build(path=engine_library, instruction_sets=(), notes=()))


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """Return the Python of an environment with numpy and onnxruntime, and nothing that they could need."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in bench_pyz.NEEDED:
        files = importlib.metadata.distribution(package).files
        for top in {file.parts[0] for file in files} - {".."}:
            (site / top).symlink_to(Path(files[0].locate()).parents[len(files[0].parts) - 1] / top)
    return folder / "bin" / "python"


def run(python, archive, *arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOTTERY"))}
    command = [python, "-W", "error", archive, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.usefixtures("with_engine")
def test_one_file_measures_the_bundle_inside(bundle, bare_python, tmp_path):
    archive = tmp_path / "bench.pyz"
    archive.write_bytes(bench_pyz.pack(bundles=[bundle], engines=[os.uname().machine]))
    done = run(bare_python, archive, "--repeats", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # The machine that tests may be busy.
    told = [text for text in done.stderr.splitlines() if not text.startswith("warning: the machine was busy")]
    assert told == ["wrote device.json"]
    report = read_report(tmp_path / "device.json")
    assert [(row["backend"], row["precision"]) for row in report["rows"]] == [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("engine", "int8"),
    ]
    assert report["rows"][2]["instruction_set"] == instruction_sets()[0]
    assert list(report["bundles"]) == ["tiny"]
    assert report["device"]["versions"] == {name: importlib.metadata.version(name) for name in bench_pyz.NEEDED}
    assert "tiny" in done.stdout


def test_bundles_and_clips_can_be_given(bundle, bare_python, tmp_path):
    import wave

    archive = tmp_path / "bench.pyz"
    archive.write_bytes(bench_pyz.pack())
    for rate in (16000, 8000):
        with wave.open(str(tmp_path / f"{rate}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((np.tile(speak("bad cab"), 2) * 32767).astype("<i2").tobytes())
    options = ["--repeats", "1", "--precision", "fp32", "--device-report", "mine.json", "--audio"]
    done = run(bare_python, archive, bundle, *options, "16000.wav", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_report(tmp_path / "mine.json")["settings"]["audio"] == "16000.wav"
    assert not (tmp_path / "device.json").exists()
    for clip, complaint in (("8000.wav", "does not resample 8000 Hz"), ("bench.pyz", "reads WAV of 16 bits alone")):
        done = run(bare_python, archive, bundle, *options, clip, cwd=tmp_path)
        assert done.returncode == 2
        assert complaint in done.stderr
    done = run(bare_python, archive, cwd=tmp_path)
    assert done.returncode == 2
    assert "came without its recogniser" in done.stderr


def test_bundles_that_are_given_are_measured_beside_those_inside(bundle, bare_python, tmp_path):
    archive = tmp_path / "bench.pyz"
    archive.write_bytes(bench_pyz.pack(bundles=[bundle]))
    other = write_engine_bundle(tmp_path / "other")
    done = run(bare_python, archive, "--repeats", "1", other, "--precision", "fp32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = read_report(tmp_path / "device.json")
    assert set(report["bundles"]) == {"tiny", "other"}


@pytest.mark.usefixtures("with_engine")
def test_equal_inputs_give_equal_bytes(bundle, tmp_path, monkeypatch):
    first = bench_pyz.pack(bundles=[bundle], engines=["aarch64"])
    os.utime(bundle / "model.onnx", (0, 0))
    monkeypatch.chdir(tmp_path)
    assert bench_pyz.pack(bundles=["tiny"], engines=["aarch64"]) == first
    assert main_writes(tmp_path / "out.pyz", "--bundle", str(bundle), "--engine", "aarch64") == first
    with zipfile.ZipFile(tmp_path / "out.pyz") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names == sorted(names)
    assert {"__main__.py", "bundles/tiny/manifest.json", "engine/aarch64/libticket_engine.so"} <= set(names)
    assert "bundles/tiny/model.ticket" in names


def main_writes(path, *arguments):
    assert bench_pyz.main(["--out", str(path), *arguments]) == 0
    return path.read_bytes()


def test_what_cannot_be_packed_is_refused(bundle, tmp_path):
    other = write_engine_bundle(tmp_path / "other" / "tiny")
    with pytest.raises(LotteryError, match="two bundles are named tiny"):
        bench_pyz.pack(bundles=[bundle, other])
    (bundle / "model.onnx").write_bytes(b"altered")
    with pytest.raises(LotteryError, match=r"model\.onnx"):
        bench_pyz.pack(bundles=[bundle])


def test_modules_are_found_through_every_import(tmp_path):
    (tmp_path / "runtime" / "inner").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "import os\ndef f():\n    from runtime.b import x\n",
        "b.py": "from runtime.inner import c\n",
        "unused.py": "",
        "inner/__init__.py": "",
        "inner/c.py": "import runtime.a\n",
    }
    for name, text in files.items():
        (tmp_path / "runtime" / name).write_text(text)
    found = {path.as_posix() for path in bench_pyz.module_files(["runtime.a"], checkout=tmp_path)}
    assert found == {f"runtime/{name}" for name in files if name != "unused.py"}
