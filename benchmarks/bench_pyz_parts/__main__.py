"""What `python bench.pyz` does: unpack the bundles and the engine that are inside, then lottery-bench.

Lies at the top of the archive; benchmarks/bench_pyz.py puts it there.
"""

import os
import platform
import sys
import tempfile
import zipfile
from pathlib import Path

_DEFAULT_REPORT = "device.json"


def main():
    """Measure the bundles inside and those that are given; return the exit status."""
    archive = Path(__file__).parent
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="bench.") as folder, zipfile.ZipFile(archive) as inside:
        engine = f"engine/{platform.machine().lower()}/"
        wanted = [name for name in inside.namelist() if name.startswith(("bundles/", engine))]
        inside.extractall(folder, wanted)
        for library in Path(folder, engine).glob("*"):
            os.environ.setdefault("LOTTERY_ENGINE_LIBRARY", str(library))
        arguments = [*map(str, sorted(Path(folder, "bundles").glob("*"))), *arguments]
        if not any(word.split("=")[0] in ("--device-report", "-h", "--help") for word in arguments):
            arguments += ["--device-report", _DEFAULT_REPORT]
        from runtime.bench import main as bench

        return bench(arguments)


if __name__ == "__main__":
    sys.exit(main())
