"""Result files: a summary of plain numbers, the full tables, the machine, and the command that made them."""

import os
import shlex
import sys
from pathlib import Path

from runtime.files import write_json
from runtime.machine import describe_machine

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = CHECKOUT / "benchmarks" / "results"


def write_result(name, *, summary, details, threads=None, packages=("numpy", "onnxruntime"), folder=RESULTS):
    """Write `<folder>/<name>.json` and return its path.

    Args:
        name: file name without suffix.
        summary: dict of plain numbers and booleans that can be checked at a glance.
        details: dict of the full tables and settings.
        threads: threads that were used, where that was fixed.
        packages: distributions whose versions matter.
    """
    path = Path(folder) / f"{name}.json"
    machine = describe_machine(threads=threads, packages=packages)
    write_json(path, {"summary": summary, **details, "machine": machine, "command": command_line()})
    return path


def command_line():
    """Return how this program was started, with paths relative to the checkout."""
    spec = sys.modules["__main__"].__spec__
    program = ["python", "-m", spec.name.removesuffix(".__main__")] if spec else ["python", relative(sys.argv[0])]
    return shlex.join([*program, *(relative(argument) for argument in sys.argv[1:])])


def relative(text):
    """Return an absolute path, or that of NAME=PATH, as one relative to the checkout; other text as it is."""
    name, separator, path = text.rpartition("=")
    return f"{name}{separator}{os.path.relpath(path, CHECKOUT)}" if os.path.isabs(path) else text
