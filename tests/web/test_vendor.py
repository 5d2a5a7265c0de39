"""onnxruntime-web: pinned exactly, from no particular registry, installed once, and never in the repository."""

import json
import re
import shutil
import subprocess

import pytest

from demo.web import vendor
from demo.web.vendor import FILES, PACKAGE, WEB, installed_version, pinned_version, runtime_files
from runtime.errors import LotteryError

LOCK = json.loads((WEB / "package-lock.json").read_text())


def test_the_version_is_exact_and_locked():
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned_version())
    assert LOCK["packages"][f"node_modules/{PACKAGE}"]["version"] == pinned_version()
    assert LOCK["packages"][""]["dependencies"] == {PACKAGE: pinned_version()}


def test_the_lock_pins_contents_and_no_host():
    for name, entry in LOCK["packages"].items():
        assert name == "" or entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
    assert "http" not in (WEB / "package-lock.json").read_text().replace("https://opencollective.com", "")


def test_nothing_of_it_is_in_the_repository():
    git = shutil.which("git")
    if git is None or subprocess.run([git, "-C", WEB, "rev-parse"], capture_output=True).returncode:
        pytest.skip("not a git checkout")
    tracked = subprocess.run([git, "-C", WEB, "ls-files", "."], check=True, capture_output=True, text=True).stdout
    assert "package-lock.json" in tracked
    assert "node_modules" not in tracked
    assert subprocess.run([git, "-C", WEB, "check-ignore", "-q", "node_modules/x"]).returncode == 0


@pytest.fixture
def folder(tmp_path):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WEB / name, tmp_path)
    return tmp_path


def install(folder, version):
    package = folder / "node_modules" / PACKAGE
    (package / "dist").mkdir(parents=True, exist_ok=True)
    (package / "package.json").write_text(json.dumps({"version": version}))
    for name in FILES:
        (package / "dist" / name).write_text("")


def test_without_npm_the_hint_is_the_command(folder, monkeypatch):
    monkeypatch.setattr(vendor.shutil, "which", lambda name: None)
    with pytest.raises(LotteryError, match="npm is not installed") as error:
        runtime_files(folder=folder)
    assert f"cd {folder} && npm ci" in error.value.hint


def test_what_is_there_is_not_installed_again(folder, monkeypatch):
    install(folder, pinned_version())
    monkeypatch.setattr(vendor.subprocess, "run", None)
    assert sorted(runtime_files(folder=folder)) == sorted(FILES)


def test_another_version_is_replaced(folder, monkeypatch, capsys):
    install(folder, "0.0.1")
    monkeypatch.setattr(vendor.shutil, "which", lambda name: "/usr/bin/npm")

    def npm(command, *, cwd, **_):
        assert command[1] == "ci"
        install(cwd, pinned_version())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(vendor.subprocess, "run", npm)
    runtime_files(folder=folder)
    assert installed_version(folder=folder) == pinned_version()
    assert "installing" in capsys.readouterr().err


def test_an_npm_that_fails_is_quoted(folder, monkeypatch):
    monkeypatch.setattr(vendor.shutil, "which", lambda name: "/usr/bin/npm")
    failed = subprocess.CompletedProcess([], 1, "", "npm warn old\nnpm error code ENOTFOUND\n")
    monkeypatch.setattr(vendor.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(LotteryError, match="npm error code ENOTFOUND") as error:
        runtime_files(folder=folder)
    assert "npm ci" in error.value.hint


def test_a_damaged_installation_names_the_file(folder):
    install(folder, pinned_version())
    (folder / "node_modules" / PACKAGE / "dist" / FILES[0]).unlink()
    with pytest.raises(LotteryError, match=re.escape(FILES[0])):
        runtime_files(folder=folder)
