"""What the deployed package may import, and when."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import runtime

_CHECKOUT = Path(runtime.__file__).parents[1]
_TRAINING_ONLY = ["torch", "torchaudio", "torch_pruning", "onnx", "lottery_train", "export", "scipy", "matplotlib"]
# Not by pkgutil, which takes the engine's shared library for a module of Python.
_RUNTIME_MODULES = sorted(
    ".".join(path.relative_to(_CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
    for path in Path(runtime.__file__).parent.rglob("*.py")
)


def modules_after(statements, *, forbidden=()):
    """Run statements in a fresh interpreter that refuses to import `forbidden`; return what was imported."""
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {list(forbidden)!r}:
            raise AssertionError("runtime imports " + name)
sys.meta_path.insert(0, Refuse())
{statements}
import json
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_CHECKOUT, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_no_module_of_the_runtime_imports_training():
    assert {"runtime.recognizer", "runtime.engine.session"} <= set(_RUNTIME_MODULES)
    loaded = modules_after("\n".join(f"import {name}" for name in _RUNTIME_MODULES), forbidden=_TRAINING_ONLY)
    assert loaded.isdisjoint(_TRAINING_ONLY)
    assert set(_RUNTIME_MODULES) <= loaded


def test_the_guard_itself_works():
    with pytest.raises(AssertionError, match="runtime imports torch"):
        modules_after("import torch", forbidden=["torch"])


def test_recognition_runs_without_training(tmp_path):
    from tests.tiny_bundle import write_tiny_bundle

    bundle = write_tiny_bundle(tmp_path / "bundle")
    statements = f"""
import numpy
from runtime import Recognizer
stream = Recognizer({str(bundle)!r}).stream(44100)
stream.accept(numpy.zeros(44100, numpy.float32))
assert stream.finish().text == ""
"""
    assert "onnxruntime" in modules_after(statements, forbidden=[*_TRAINING_ONLY, "sounddevice"])


def test_importing_the_package_costs_nothing():
    heavy = {"numpy", "onnxruntime", "soundfile", "sounddevice", "soxr", "tqdm"}
    assert modules_after("import runtime, runtime.engine").isdisjoint(heavy)


def test_what_setup_imports_needs_nothing_but_python():
    """In an environment without site-packages, as pip's isolated builds nearly are."""
    command = [sys.executable, "-S", "-W", "error", "-c", "import runtime.engine.build"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_CHECKOUT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_needs_no_inference_engine():
    statements = "from runtime import listen, transcribe"
    assert modules_after(statements).isdisjoint({"onnxruntime", "sounddevice"})


def test_every_public_name_exists_and_no_other():
    assert list(runtime.__all__) == sorted(set(runtime.__all__))
    for name in runtime.__all__:
        assert getattr(runtime, name).__name__ == name
        assert name in dir(runtime)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = runtime.Nothing


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text())["project"]
    assert runtime.__version__ == project["version"]
