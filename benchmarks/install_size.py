"""What a plain `pip install .` pulls into a clean virtual environment, its size, and whether it transcribes there.

    python -m benchmarks.install_size --bundle bundles/an4 --audio clip.wav
    python -m benchmarks.install_size --without-onnxruntime --bundle bundles/an4 --audio clip.wav

The second is for boards on which onnxruntime is too large or not to be had: the bundle's model.ticket runs in the
ticket engine, which the installation compiles.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from benchmarks.results import CHECKOUT, write_result
from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.options import create_parser
from runtime.table import Table, number

# What every virtual environment has before anything is installed.
NOT_OURS = {"pip", "setuptools"}
LIST_FILES = """
import importlib.metadata, json, os
sizes = {}
for distribution in importlib.metadata.distributions():
    paths = {os.path.realpath(file.locate()) for file in distribution.files or ()}
    total = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    sizes[distribution.name] = {"version": distribution.version, "bytes": total}
print(json.dumps(sizes))
"""
_HAS_ENGINE = "from runtime.engine import library; print(library.is_available())"


def install_plain(folder, *, constraints=True, has_onnxruntime=True):
    """Make a virtual environment and install the checkout into it, without extras.

    Args:
        folder: an empty directory.
        constraints: pin what was tested.
        has_onnxruntime: install it, as its being among the dependencies says; without it, the others are installed one
            by one and the checkout with --no-deps.
    Returns:
        path of the environment's Python.
    Raises:
        LotteryError: pip failed; its output is shown.
    """
    source, environment = copy_sources(folder / "source"), folder / "venv"
    _run([sys.executable, "-m", "venv", str(environment)])
    python = environment / "bin" / "python"
    pinned = ["-c", str(source / "constraints.txt")] if constraints else []
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pinned]
    if has_onnxruntime:
        print("pip install .", file=sys.stderr)
        _run([*pip, str(source)])
        return python
    others = dependencies_without_onnxruntime()
    print(f"pip install {' '.join(others)} && pip install --no-deps .", file=sys.stderr)
    _run([*pip, *others])
    _run([*pip, "--no-deps", str(source)])
    return python


def copy_sources(folder):
    """Copy what is packaged, so that build products never lie in the checkout; return the new folder."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.dylib", "*.dll")
    for name in ("runtime", "lottery_train", "export"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=ignored)
    for name in ("setup.py", "MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(CHECKOUT / name, folder / name)
    return folder


def dependencies_without_onnxruntime():
    """Return the requirements of a plain install but onnxruntime's."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return [each for each in project["dependencies"] if not each.startswith("onnxruntime")]


def installed_sizes(python):
    """Return {distribution: {"version", "bytes"}} of an environment, from the files each has installed."""
    return json.loads(_run([str(python), "-c", LIST_FILES]))


def site_packages_bytes(python):
    """Return (apparent bytes of all files, bytes of the disk blocks they take) of an environment's site-packages."""
    folder = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    found = [os.lstat(Path(parent) / name) for parent, _, names in os.walk(folder) for name in names]
    return sum(item.st_size for item in found), sum(512 * getattr(item, "st_blocks", 0) for item in found)


def transcribe(python, *, bundle, audio):
    """Run the environment's lottery-transcribe outside the checkout and return its text."""
    command = [str(python.parent / "lottery-transcribe"), str(Path(bundle).resolve()), str(Path(audio).resolve())]
    return _run(command, cwd=python.parent).strip()


def _run(command, *, cwd=None):
    # Without PYTHONPATH: the environment must stand on what was installed into it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    child = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    if child.returncode != 0:
        program = Path(command[0]).name
        raise LotteryError(f"{program} ended with status {child.returncode}", hint="its message stands above")
    return child.stdout


def measure(folder, *, bundle, audio, has_onnxruntime=True):
    """Install into `folder` and return (summary, details) of the result file."""
    python = install_plain(folder, has_onnxruntime=has_onnxruntime)
    text = transcribe(python, bundle=bundle, audio=audio) if bundle else None
    sizes = installed_sizes(python)
    is_ours = {name: name.lower() not in NOT_OURS for name in sizes}
    all_bytes, all_block_bytes = site_packages_bytes(python)
    runtime_bytes = sum(entry["bytes"] for name, entry in sizes.items() if is_ours[name])
    rows = [
        {"name": name, **entry, "is_pulled": is_ours[name]}
        for name, entry in sorted(sizes.items(), key=lambda item: -item[1]["bytes"])
    ]
    summary = {
        "runtime_mb": round(runtime_bytes / 1e6, 1),
        "site_packages_mb": round(all_bytes / 1e6, 1),
        "num_packages": sum(is_ours.values()),
        "has_torch": "torch" in sizes,
        "has_onnxruntime": "onnxruntime" in sizes,
        "has_engine": _run([str(python), "-c", _HAS_ENGINE], cwd=folder).strip() == "True",
        "transcribes": None if text is None else bool(text),
    }
    details = {
        "packages": rows,
        "site_packages": {"bytes": all_bytes, "disk_bytes": all_block_bytes},
        "transcript": text,
        "note": "MB are 10^6 bytes of the files that pip installed, byte-compiled ones included; runtime_mb leaves out "
        "pip and setuptools, which the environment has before anything is installed.",
    }
    return summary, details


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.install_size",
        description="Install without extras into a clean environment; write benchmarks/results/install.json, or "
        "install_without_onnxruntime.json.",
        examples="  python -m benchmarks.install_size --bundle bundles/an4 --audio clip.wav",
    )
    parser.add_argument("--bundle", help="bundle to transcribe with in the clean environment")
    parser.add_argument("--audio", help="sound file to transcribe")
    parser.add_argument(
        "--without-onnxruntime",
        action="store_true",
        help="leave onnxruntime out: the bundle runs in the ticket engine, and needs a model.ticket",
    )
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    arguments = parser.parse_args(argv)
    if bool(arguments.bundle) != bool(arguments.audio):
        parser.error("--bundle and --audio go together")
    with tempfile.TemporaryDirectory() as folder:
        summary, details = measure(
            Path(folder),
            bundle=arguments.bundle,
            audio=arguments.audio,
            has_onnxruntime=not arguments.without_onnxruntime,
        )
    cells = ((row["name"], row["version"], number(row["bytes"], scale=1e-6, digits=1)) for row in details["packages"])
    print(Table(header=("package", "version", "MB"), rows=tuple(cells), num_left=2).text())
    print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    if not arguments.no_write:
        name = "install_without_onnxruntime" if arguments.without_onnxruntime else "install"
        print(f"wrote {write_result(name, summary=summary, details=details)}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the measurement; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
