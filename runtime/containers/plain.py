"""Containers that are a header and samples (AU, NIST SPHERE): how much sound there is, whatever the header promises."""

import re
import struct

from runtime.containers.part import Part, read_at

_AU_UNKNOWN = 0xFFFFFFFF
_NIST_FIELD = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s*$", re.MULTILINE)


def parse_au(file, start, num_bytes):
    """Return the Part of a Sun/NeXT AU file that begins at `start`, or None."""
    header = read_at(file, start, 12)
    if len(header) < 12 or header[:4] not in (b".snd", b"dns."):
        return None
    offset, promised = struct.unpack(">II" if header[:4] == b".snd" else "<II", header[4:])
    body = start + offset
    if promised == _AU_UNKNOWN:
        return Part(start=start, end=num_bytes)
    if promised == 0 and num_bytes > body:
        note = f"its header tells of no sound, but {num_bytes - body} bytes follow: they are read as sound"
        return Part(start=start, end=num_bytes, patches=((start + 8, b"\xff" * 4),), note=note)
    return _part(start, body=body, promised=promised, num_bytes=num_bytes)


def parse_nist(file, start, num_bytes):
    """Return the Part of a NIST SPHERE file that begins at `start`, or None."""
    header = read_at(file, start, 1024)
    if not header.startswith(b"NIST_1A\n") or not (size := header[8:16].strip()).isdigit():
        return None
    fields = {name: int(value) for name, value in _NIST_FIELD.findall(header)}
    is_packed = b"shorten" in header or b"shortpack" in header
    if is_packed or len(fields) < 3:
        return Part(start=start, end=num_bytes, is_measured=False)
    promised = fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]
    return _part(start, body=start + int(size), promised=promised, num_bytes=num_bytes)


def _part(start, *, body, promised, num_bytes):
    available = max(0, num_bytes - body)
    if promised > available:
        fault = f"truncated: {available} of the {promised} bytes of sound that its header tells are there"
        return Part(start=start, end=num_bytes, fault=fault)
    return Part(start=start, end=body + promised)
