"""onnxruntime-web, as package-lock.json pins it: npm installs it once, and nothing of it is in the repository."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from runtime.errors import LotteryError

PACKAGE = "onnxruntime-web"
# What a page needs of it: the WASM backend, of which there is a SIMD build alone.
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEB = Path(__file__).resolve().parent


def pinned_version(*, folder=WEB):
    """Return the version of onnxruntime-web that package.json names."""
    return json.loads((Path(folder) / "package.json").read_text())["dependencies"][PACKAGE]


def runtime_files(*, folder=WEB):
    """Return {file name: Path} of onnxruntime-web, after `npm ci` where the pinned version is not there.

    Args:
        folder: where package.json is; npm makes node_modules/ beside it.
    Raises:
        LotteryError: npm is missing or fails; the hint is the command to run.
    """
    folder = Path(folder)
    if installed_version(folder=folder) != pinned_version(folder=folder):
        _install(folder)
    dist = folder / "node_modules" / PACKAGE / "dist"
    files = {name: dist / name for name in FILES}
    for path in files.values():
        if not path.is_file():
            raise LotteryError(f"{path}: missing", hint=_command(folder))
    return files


def installed_version(*, folder=WEB):
    """Return the version of onnxruntime-web in node_modules/, or None."""
    try:
        return json.loads((Path(folder) / "node_modules" / PACKAGE / "package.json").read_text())["version"]
    except (OSError, ValueError, KeyError):
        return None


def _install(folder):
    npm = shutil.which("npm")
    if npm is None:
        raise LotteryError(
            f"{PACKAGE} {pinned_version(folder=folder)} is not in {folder / 'node_modules'}, and npm is not installed",
            hint=f"install Node.js (its package brings npm), then: {_command(folder)}",
        )
    print(f"installing {PACKAGE} {pinned_version(folder=folder)} with npm, once", file=sys.stderr)
    # No package's own scripts are run: nothing here needs them.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        complaints = [line for line in result.stderr.splitlines() if "error" in line.lower()]
        reason = complaints[0] if complaints else f"status {result.returncode}"
        raise LotteryError(f"npm ci failed: {reason}", hint=f"see all it says with: {_command(folder)}")


def _command(folder):
    return f"cd {folder} && npm ci --ignore-scripts"
