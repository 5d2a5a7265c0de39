"""bench.pyz: lottery-bench in one file, for a device that has Python, numpy and onnxruntime and nothing else.

    python -m benchmarks.bench_pyz --out bench.pyz --bundle bundles/an4 --engine aarch64
    python3 bench.pyz                                            # on the device: the table, and device.json

A zip archive of the modules that lottery-bench imports, stand-ins for soundfile, soxr and tqdm, and, where asked for,
bundles and the ticket engine. Equal inputs give equal bytes.
"""

import ast
import io
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks.results import CHECKOUT
from runtime.command import run_command
from runtime.engine.build import build
from runtime.errors import LotteryError
from runtime.files import write_atomic
from runtime.manifest import MANIFEST_NAME, Manifest
from runtime.options import create_parser

# lottery-bench, and the program that it starts.
ENTRIES = ("runtime.bench", "runtime.measurement")
# The only packages that it needs; matplotlib is asked for when a figure is drawn.
NEEDED = ("numpy", "onnxruntime")
_PARTS = Path(__file__).with_name("bench_pyz_parts")
_SHEBANG = b"#!/usr/bin/env python3\n"
# The first date that a zip archive can hold.
_DATE = (1980, 1, 1, 0, 0, 0)


def module_files(entries=ENTRIES, *, checkout=CHECKOUT):
    """Return the sorted paths, relative to the checkout, of the modules of `runtime` that some modules import."""
    waiting, found = list(entries), {}
    while waiting:
        name = waiting.pop()
        path = next(filter(Path.is_file, _places(name, checkout=checkout)), None)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imports(path)]
    return sorted(path.relative_to(checkout) for path in found.values())


def _places(name, *, checkout):
    folder = Path(checkout, *name.split("."))
    return (folder.with_suffix(".py"), folder / "__init__.py") if name.split(".")[0] == "runtime" else ()


def _imports(path):
    """Return the absolute names that a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def pack(*, bundles=(), engines=()):
    """Return the bytes of the archive.

    Args:
        bundles: directories that lottery-export wrote; what is verified is what goes in.
        engines: architectures to compile the ticket engine for, such as "aarch64".
    Raises:
        BundleError: a bundle is damaged.
        BuildError: no compiler for an architecture.
        LotteryError: two bundles have one name.
    """
    files = {str(path): (CHECKOUT / path).read_bytes() for path in module_files()}
    files |= {path.name: path.read_bytes() for path in sorted(_PARTS.glob("*.py"))}
    for bundle in map(Path, bundles):
        manifest = Manifest.load(bundle)
        folder = f"bundles/{bundle.resolve().name}"
        if f"{folder}/{MANIFEST_NAME}" in files:
            raise LotteryError(f"two bundles are named {bundle.name}", hint="rename the directory of one")
        for name in (MANIFEST_NAME, *(entry.path for entry in manifest.files.values())):
            files[f"{folder}/{name}"] = (bundle / name).read_bytes()
    for architecture in engines:
        with tempfile.TemporaryDirectory() as folder:
            library = build(folder, target=architecture).path
            files[f"engine/{architecture}/{library.name}"] = library.read_bytes()
    return _zip(files)


def _zip(files):
    data = io.BytesIO()
    data.write(_SHEBANG)
    with zipfile.ZipFile(data, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name], compresslevel=9)
    return data.getvalue()


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.bench_pyz",
        description="Write bench.pyz: lottery-bench in one file that needs Python 3.11, numpy and onnxruntime.",
        examples="  python -m benchmarks.bench_pyz --out bench.pyz\n"
        "  python -m benchmarks.bench_pyz --out bench.pyz --bundle bundles/an4 --engine aarch64 --engine x86_64",
    )
    parser.add_argument("--out", default="bench.pyz", metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--bundle", action="append", default=[], metavar="DIR", help="put a bundle inside; repeatable")
    parser.add_argument("--engine", action="append", default=[], metavar="ARCH",
                        help="put the ticket engine for aarch64 or x86_64 inside; repeatable")  # fmt: skip
    arguments = parser.parse_args(argv)
    data = pack(bundles=arguments.bundle, engines=dict.fromkeys(arguments.engine))
    write_atomic(arguments.out, data)
    print(f"wrote {arguments.out}, {len(data) / 1e6:.2f} MB", file=sys.stderr)
    return 0


def main(argv=None):
    """Write the file; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
