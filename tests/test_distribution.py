"""The sdist and the wheel: what they hold, the engine inside, and a clean environment that transcribes with them."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement

from benchmarks.aarch64_steps import read_clip
from benchmarks.install_size import copy_sources
from runtime.engine.build import BuildError, find_compiler, library_name
from runtime.recognizer import Recognizer
from tests.runtime.engine.tiny_ticket import write_engine_bundle
from tests.tiny_bundle import speak

CHECKOUT = Path(__file__).resolve().parents[1]
SHIPPED = CHECKOUT / "runtime" / "shipped" / "en"
PACKAGES = ("runtime", "lottery_train", "export")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = {Requirement(text).name for text in PROJECT["dependencies"]}


def sources(package):
    files = sorted((CHECKOUT / package).rglob("*.py"))
    assert files
    return files


@pytest.fixture(scope="module")
def checkout_copy(tmp_path_factory):
    """Copy the checkout, so that build products never lie in it; none of them is copied either."""
    copy = copy_sources(tmp_path_factory.mktemp("source") / "copy")
    for name in ("benchmarks", "demo", "tests", "docs"):
        shutil.copytree(
            CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "node_modules")
        )
    return copy


@pytest.fixture(scope="module")
def sdist(checkout_copy, tmp_path_factory):
    """Return the path of the source distribution."""
    out = tmp_path_factory.mktemp("sdist")
    program = "import setuptools.build_meta, sys; setuptools.build_meta.build_sdist(sys.argv[1])"
    command = [sys.executable, "-c", program, str(out)]
    subprocess.run(command, cwd=checkout_copy, check=True, capture_output=True, text=True)
    (path,) = out.glob("lottery_asr-*.tar.gz")
    return path


def build_wheel(source, *, out, **environment):
    """Return (path of the wheel that pip builds from a folder or sdist, what it said)."""
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation", "--no-index"]
    child = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    (path,) = out.glob("lottery_asr-*.whl")
    return path, child.stdout


@pytest.fixture(scope="module")
def wheel_path(sdist, tmp_path_factory):
    """Return the wheel, built from the sdist: a source that is missing there would be missed."""
    path, said = build_wheel(sdist, out=tmp_path_factory.mktemp("wheel"))
    # one line about the engine, and no warnings of the compiler
    about_engine = [line.strip() for line in said.splitlines() if "lottery-asr:" in line and "Created" not in line]
    assert len(about_engine) == (1 if has_compiler() else 2), about_engine
    return path


@pytest.fixture(scope="module")
def wheel(wheel_path):
    with zipfile.ZipFile(wheel_path) as archive:
        yield archive


def has_compiler():
    try:
        find_compiler()
    except BuildError:
        return False
    return True


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    names = wheel.namelist()
    info = next(name.split("/")[0] for name in names if name.endswith("/METADATA"))
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    expected = {str(path.relative_to(CHECKOUT)) for package in PACKAGES for path in sources(package)}
    assert {name for name in names if name.endswith(".py")} == expected
    others = {name for name in names if not name.endswith(".py") and not name.startswith(info)}
    library = {f"runtime/engine/{library_name()}"} if has_compiler() else set()
    shipped = {str(path.relative_to(CHECKOUT)) for path in SHIPPED.rglob("*") if path.is_file()}
    assert others == {"runtime/engine/include/ticket_engine.h"} | library | shipped
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in names)


def test_the_library_of_the_wheel_loads_where_it_was_installed(wheel, wheel_path, tmp_path):
    if not has_compiler():
        pytest.skip("no C++ compiler: the wheel has no library")
    python, abi, platform = wheel_path.stem.split("-")[-3:]
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    wheel.extractall(tmp_path)
    program = "from runtime.engine import library; print(library.library_path(), library.instruction_sets()[-1])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOTTERY_ENGINE")}
    child = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert child.stdout == f"{tmp_path / 'runtime' / 'engine' / library_name()} baseline\n", child.stderr


@pytest.mark.parametrize("fault", ["no compiler", "broken source"])
def test_without_the_library_installation_succeeds_and_says_so(checkout_copy, tmp_path, fault):
    copy, environment = tmp_path / "copy", {"CXX": "false"}
    shutil.copytree(checkout_copy, copy)
    if fault == "broken source":
        if not has_compiler():
            pytest.skip("no C++ compiler: nothing is compiled")
        environment = {}
        shutil.rmtree(copy / "runtime" / "engine" / "src")
        (copy / "runtime" / "engine" / "src").mkdir()
        (copy / "runtime" / "engine" / "src" / "api.cpp").write_text("this is no C++")
    path, said = build_wheel(copy, out=tmp_path / "out", **environment)
    assert path.name.endswith("-py3-none-any.whl")
    assert "lottery-asr: the ticket engine is not built: " in said
    assert "everything runs on onnxruntime" in said
    with zipfile.ZipFile(path) as archive:
        assert not any(library_name() in name for name in archive.namelist())
        (info,) = (name for name in archive.namelist() if name.endswith("/WHEEL"))
        assert "Root-Is-Purelib: true" in archive.read(info).decode()


def test_the_sdist_holds_every_source_of_the_engine(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    engine = CHECKOUT / "runtime" / "engine"
    needed = {path for folder in ("src", "include") for path in (engine / folder).iterdir()}
    needed |= {CHECKOUT / "setup.py", CHECKOUT / "pyproject.toml", *sources("runtime")}
    needed |= {path for path in SHIPPED.rglob("*") if path.is_file()}
    assert {str(path.relative_to(CHECKOUT)) for path in needed} <= names
    assert not any(name.endswith((".so", ".o")) for name in names)


def test_wheel_metadata(wheel):
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = Parser().parsestr(wheel.read(info).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    plain = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    assert {item.name for item in plain if item.marker is None} == DEPENDENCIES
    scripts = wheel.read(info.replace("METADATA", "entry_points.txt")).decode()
    for name, target in PROJECT["scripts"].items():
        assert f"{name} = {target}" in scripts


@pytest.fixture(scope="module")
def clean_environment(wheel_path, tmp_path_factory):
    """Return the folder of commands of a virtual environment into which pip put the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # From PyPI, or pip's own cache: without either there is nothing to install.
    download = [*pip, "download", "-q", "-c", str(CHECKOUT / "constraints.txt"), "-d", str(folder / "wheels")]
    done = subprocess.run([*download, *PROJECT["dependencies"]], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"the dependencies cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    options = ["--python", str(folder / "venv"), "install", "-q", "--no-index", "--find-links", str(folder / "wheels")]
    subprocess.run([*pip, *options, str(wheel_path)], check=True)
    yield folder / "venv" / "bin"
    shutil.rmtree(folder)


def run_isolated(*command, cwd):
    """Run a command of the clean environment, which stands on what was installed into it alone."""
    isolated = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOTTERY"))}
    return subprocess.run(command, cwd=cwd, env=isolated, capture_output=True, text=True)


def test_a_clean_environment_transcribes(clean_environment, tmp_path):
    bundle = write_engine_bundle(tmp_path / "bundle")
    soundfile.write(tmp_path / "clip.wav", speak("bad cab"), 16000)
    for backend in ("onnxruntime", "engine") if has_compiler() else ("onnxruntime",):
        command = [clean_environment / "lottery-transcribe", "--backend", backend, bundle, tmp_path / "clip.wav"]
        done = run_isolated(*command, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("bad cab\n", "")
    assert Recognizer(bundle, backend="onnxruntime").transcribe(speak("bad cab")).text == "bad cab"


def test_a_clean_environment_brings_its_recogniser(clean_environment, shared_data):
    clip = min((shared_data("an4") / "audio").rglob("*.opus"))
    done = run_isolated(clean_environment / "lottery-transcribe", clip, cwd="/")
    assert (done.stdout.strip(), done.stderr) == (Recognizer(SHIPPED).transcribe(read_clip(clip)).text, "")


def test_a_clean_environment_has_nothing_of_training(clean_environment):
    program = "import importlib.metadata; print(*sorted(each.name for each in importlib.metadata.distributions()))"
    done = subprocess.run(
        [clean_environment / "python", "-I", "-c", program], check=True, capture_output=True, text=True
    )
    found = {name.lower() for name in done.stdout.split()}
    assert DEPENDENCIES | {"lottery-asr"} <= found
    assert not found & {"torch", "onnx", "torchaudio", "matplotlib", "sounddevice"}
