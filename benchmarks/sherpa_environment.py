"""Environments that are thrown away, one a version of sherpa-onnx from PyPI."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.results import CHECKOUT, relative
from runtime.errors import LotteryError

INSTALLED, NEWEST = "installed", "newest"


class Environment:
    """A Python with one version of sherpa-onnx.

    Args:
        version: one on PyPI, "newest", or "installed" for the Python that runs this.
        folder: where the environment is made; an empty directory.
    """

    def __init__(self, version, *, folder):
        self.is_installed = version == INSTALLED
        self.python = Path(sys.executable) if self.is_installed else folder / "bin" / "python"
        if self.is_installed:
            return
        print(f"installing sherpa-onnx {version}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(folder)])
        self.install("sherpa-onnx" if version == NEWEST else f"sherpa-onnx=={version}")

    def install(self, *requirements):
        """Install packages from PyPI, as wheels."""
        options = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        _run([str(self.python), "-m", "pip", "install", *options, *requirements])

    def install_onnxruntime(self, version):
        """Install the newest onnxruntime of the same minor version, and what our runtime needs; not all are on PyPI."""
        series = ".".join(version.split(".")[:2])
        self.install(f"onnxruntime=={series}.*", "numpy", "soundfile", "soxr", "tqdm", "kaldi-native-fbank")

    def theirs(self, *, model, tokens, clips):
        """Return sherpa_worker's answer: `model` and `tokens` are files, `clips` files of raw samples."""
        request = {"model": model, "tokens": tokens, "clips": clips}
        return self._ask([str(CHECKOUT / "benchmarks" / "sherpa_worker.py")], request)

    def ours(self, request):
        """Return sherpa_ours' answer, from this environment's onnxruntime."""
        return self._ask(["-m", "benchmarks.sherpa_ours"], request)

    def _ask(self, program, request):
        return json.loads(_run([str(self.python), *program], stdin=json.dumps(request), cwd=CHECKOUT))


def _run(command, *, stdin=None, cwd=None):
    # Without PYTHONPATH: an environment must stand on what was installed into it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    child = subprocess.run(command, input=stdin, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    if child.returncode != 0:
        raise LotteryError(f"{relative(command[0])} ended with status {child.returncode}", hint="see its message above")
    return child.stdout
