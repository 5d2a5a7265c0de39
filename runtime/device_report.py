"""What `lottery-bench --device-report` writes: one device, the bundles it ran, and how long they took there.

Reports come from other people's devices, so they are validated when they are read. docs/arm.md describes the fields.
"""

import platform
import re
from pathlib import Path

from runtime.fields import Fields
from runtime.files import read_json
from runtime.foreign import short
from runtime.machine import describe_machine
from runtime.manifest import Manifest

SCHEMA_VERSION = 1
MAX_BYTES = 1 << 20
BACKENDS = ("engine", "onnxruntime")
PRECISIONS = ("fp32", "int8")
PERCENTILES = ("p50", "p95", "p99")
# What changes while a measurement runs.
STATE = ("load_average", "temperature_c")
_HINT = "write it again with lottery-bench --device-report"
_MAX_ENTRIES = 256
_SYSTEM = Path("/")
_FREQUENCY = "sys/devices/system/cpu/cpu0/cpufreq"
# Part number of a processor by ARM Ltd -> its name. Source: lscpu-arm.c of util-linux 2.40.
_ARM_PARTS = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip


def describe_device(*, system=_SYSTEM):
    """Return the facts about this device: dict of JSON values, None for what it does not tell.

    Args:
        system: root of the file system that is asked.
    """
    machine = describe_machine()
    return {
        "board": _line(system / "proc/device-tree/model"),
        "cpu": _arm_cores(system / "proc/cpuinfo") or machine["cpu"],
        "architecture": machine["architecture"],
        "cores": machine["cores"],
        "memory_gb": machine["memory_gb"],
        "os": _os_name(system / "etc/os-release") or platform.system(),
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": _line(system / _FREQUENCY / "scaling_governor"),
        "max_mhz": _number_in(system / _FREQUENCY / "scaling_max_freq"),
        "load_average": machine["load_average"],
        "temperature_c": _number_in(system / "sys/class/thermal/thermal_zone0/temp"),
        "python": machine["python"],
        "versions": machine["versions"],
    }


def make_report(rows, *, before, after, threads, repeats, audio, require_signature=None):
    """Return the report of measured rows.

    Args:
        rows: what runtime.bench.measure_rows filled.
        before, after: what describe_device returned before and after the measurement.
        threads: of onnxruntime and numpy.
        repeats: passes over the clip.
        audio: path of the clip, or None for the built-in one.
        require_signature: see Manifest.load.
    """
    device = {name: value for name, value in before.items() if name not in STATE}
    device |= {name: {"before": before[name], "after": after[name]} for name in STATE}
    manifests = {row["path"]: Manifest.load(row["path"], require_signature=require_signature) for row in rows}
    names = _name_apart(manifests)
    return {
        "schema_version": SCHEMA_VERSION,
        "device": device,
        "settings": {
            "threads": threads,
            "repeats": repeats,
            "audio": Path(audio).name if audio else "built-in speech-like signal",
        },
        "bundles": {names[path]: _describe_bundle(manifest) for path, manifest in manifests.items()},
        "rows": [
            {
                "bundle": names[row["path"]],
                "backend": row["backend"],
                "instruction_set": row["instruction_set"],
                "precision": row["precision"],
                **{name: {key: row[name][key] for key in PERCENTILES} for name in ("chunk_ms", "model_ms")},
                "num_chunks": row["chunk_ms"]["count"],
                "rtf": row["rtf"],
                "load_ms": 1e3 * row["load_s"],
                "peak_rss_bytes": row["peak_rss_bytes"],
            }
            for row in rows
        ],
    }


def read_report(path):
    """Read and validate a report.

    Returns:
        dict with the fields that make_report writes, and no others.
    Raises:
        BundleError: not a report, of another schema version, or a field is missing or out of range; names the field.
        LotteryError: it cannot be read, or is not JSON.
    """
    path = Path(path)
    size = path.stat().st_size if path.is_file() else 0
    if size > MAX_BYTES:
        Fields({}, source=path, hint=_HINT).fail(f"is {size} bytes long, at most {MAX_BYTES} are read")
    fields = Fields(read_json(path), source=path, hint=_HINT)
    fields.integer("schema_version", low=SCHEMA_VERSION, high=SCHEMA_VERSION)
    (settings,) = _objects(fields, "settings")
    bundles = {name: _read_bundle(entry) for name, entry in fields.children("bundles", dict, limit=_MAX_ENTRIES)}
    for name in bundles:
        _check_name(fields, name)
    rows = [_read_row(entry, bundles=bundles) for _, entry in fields.children("rows", list, limit=_MAX_ENTRIES)]
    if not rows:
        fields.fail("is empty", name="rows")
    return {
        "schema_version": SCHEMA_VERSION,
        "device": _read_device(*_objects(fields, "device")),
        "settings": {
            "threads": settings.integer("threads", low=1, high=4096),
            "repeats": settings.integer("repeats", low=1, high=10**6),
            "audio": settings.text("audio"),
        },
        "bundles": bundles,
        "rows": rows,
    }


def _name_apart(manifests):
    """Return path -> name of manifests by path; those of one name are numbered: a path would tell of folders."""
    names = {}
    for path, manifest in manifests.items():
        name, count = manifest.name, 1
        while name in names.values():
            count += 1
            name = f"{manifest.name[:240]} ({count})"
        names[path] = name
    return names


def _describe_bundle(manifest):
    files = {role: {"sha256": entry.sha256, "bytes": entry.bytes} for role, entry in manifest.files.items()}
    return {"chunk_frames": manifest.chunk_frames, "files": files}


def _read_device(fields):
    found = {name: fields.text(name) for name in ("cpu", "architecture", "os", "kernel", "python")}
    found |= {name: _optional(fields, name, Fields.text) for name in ("board", "governor")}
    found |= {name: _optional(fields, name, _number) for name in ("memory_gb", "max_mhz")}
    found["cores"] = fields.integer("cores", low=1, high=4096)
    for name in STATE:
        (state,) = _objects(fields, name)
        found[name] = {key: _optional(state, key, _signed) for key in ("before", "after")}
    (versions,) = _objects(fields, "versions")
    found["versions"] = {name: _optional(versions, name, Fields.text) for name in ("numpy", "onnxruntime")}
    return found


def _read_bundle(fields):
    files = {}
    for role, entry in fields.children("files", dict, limit=_MAX_ENTRIES):
        _check_name(fields, role)
        digest = entry.text("sha256")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            entry.fail("is not 64 hex digits", name="sha256")
        files[role] = {"sha256": digest, "bytes": entry.integer("bytes", low=0, high=1 << 40)}
    return {"chunk_frames": fields.integer("chunk_frames", low=1, high=1 << 16), "files": files}


def _read_row(fields, *, bundles):
    row = {"bundle": _one_of(fields, "bundle", bundles), "backend": _one_of(fields, "backend", BACKENDS)}
    row["instruction_set"] = _optional(fields, "instruction_set", Fields.text)
    row["precision"] = _one_of(fields, "precision", PRECISIONS)
    for name in ("chunk_ms", "model_ms"):
        (times,) = _objects(fields, name)
        row[name] = {key: _number(times, key) for key in PERCENTILES}
        if list(row[name].values()) != sorted(row[name].values()):
            fields.fail("has percentiles that fall", name=name)
    row["num_chunks"] = fields.integer("num_chunks", low=1, high=10**9)
    row |= {name: _number(fields, name) for name in ("rtf", "load_ms")}
    row["peak_rss_bytes"] = _optional(fields, "peak_rss_bytes", _number)
    return row


def _objects(fields, *names):
    """Return the members that are objects, as Fields."""
    return [
        Fields(fields.get(name, dict), source=fields.source, key=f"{fields.key}.{name}".strip("."), hint=_HINT)
        for name in names
    ]


def _check_name(fields, name):
    if not 0 < len(name) <= 256 or not name.isprintable():
        fields.fail("holds a name that is not 1 to 256 printable characters")


def _one_of(fields, name, known):
    text = fields.text(name)
    if text not in known:
        fields.fail(f"is {short(text)}, expected one of {', '.join(known)}", name=name)
    return text


def _optional(fields, name, read):
    return None if fields.get(name, type(None), str, int, float) is None else read(fields, name)


def _number(fields, name):
    """Return a finite number of 0 or more."""
    value = _signed(fields, name)
    if value < 0:
        fields.fail(f"is {value}, expected 0 or more", name=name)
    return value


def _signed(fields, name):
    value = fields.get(name, int, float)
    if not -1e15 < value < 1e15:
        fields.fail("is not a number of a size that can be", name=name)
    return value


def _line(path):
    """Return the first line of a file without control characters; None where there is none."""
    try:
        text = path.read_text(errors="replace").split("\n")[0]
    except OSError:
        return None
    return "".join(filter(str.isprintable, text)).strip()[:256] or None


def _number_in(path):
    """Return a number that Linux gives in thousandths: kHz as MHz, millidegrees as degrees."""
    text = _line(path)
    return int(text) / 1000 if text and re.fullmatch("-?[0-9]{1,9}", text) else None


def _os_name(path):
    try:
        found = re.search(r'^PRETTY_NAME="?([^"\n]+)', path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return found and found[1]


def _arm_cores(path):
    """Return the names of ARM cores, such as "Cortex-A72"; None on another processor."""
    try:
        parts = re.findall(r"^CPU part\s*:\s*(\w+)", path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return " + ".join(_ARM_PARTS.get(part, f"ARM part {part}") for part in dict.fromkeys(parts)) or None
