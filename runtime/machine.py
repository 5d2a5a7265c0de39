"""The machine line that stands beside every measurement: what it ran on, and with which versions."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

RUNTIME_PACKAGES = ("numpy", "onnxruntime")
_CHECKOUT = Path(__file__).resolve().parents[1]


def describe_machine(*, threads=None, packages=RUNTIME_PACKAGES):
    """Return the facts a reader needs to judge a measurement.

    Args:
        threads: threads that were used, where that was fixed.
        packages: distributions whose versions matter.
    Returns:
        dict of JSON values: cpu, architecture, cores (that this process may use), threads, memory_gb, system, python,
        versions, load_average (1 minute, before the measurement ends), commit (None outside a checkout; "-dirty" with
        uncommitted changes to tracked files, results apart).
    """
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "threads": threads,
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in packages},
        "load_average": load_average_1min(),
        "commit": _commit(),
    }


def machine_line(machine):
    """Return `describe_machine()` output as one line for people."""
    threads = f", {machine['threads']} thread{'s' if machine['threads'] != 1 else ''}" if machine["threads"] else ""
    versions = ", ".join(f"{package} {version or 'absent'}" for package, version in machine["versions"].items())
    commit = f", commit {machine['commit']}" if machine["commit"] else ""
    return (
        f"{machine['cpu']} ({machine['architecture']}), {machine['cores']} cores{threads}, "
        f"Python {machine['python']}, {versions}{commit}"
    )


def load_average_1min():
    """Return how many processes ran or waited to, on average of a minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def usable_cores():
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_model():
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    board = _lines("/proc/device-tree/model")
    return board[0].strip("\0 ") if board else platform.processor() or "unknown"


def _memory_gb():
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 1024**2, 1)
    return None


def _lines(path):
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    if not (_CHECKOUT / ".git").exists():
        return None
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        is_dirty = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if is_dirty else head


def _git(*arguments):
    command = ["git", "-C", str(_CHECKOUT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
