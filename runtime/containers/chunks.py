"""Containers made of chunks (WAV, RF64, Wave64, AIFF, CAF): how much sound there is, whatever the header promises.

Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF); EBU Tech 3306 (RF64); Sony Wave64;
Audio Interchange File Format 1.3; Apple Core Audio Format 1.0.
"""

import struct
from dataclasses import dataclass, replace

from runtime.containers.part import Part, find_bytes, read_at

# What writers to a pipe put for a length of 32 bits that they cannot know: close to 2^31 or 2^32.
_UNKNOWN_32 = (range(0x7FFFF000, 0x80001000), range(0xFFFFF000, 0x100000000))
# What would pass for a chunk, and is the beginning of another file.
_OTHERS = (b"fLaC", b"OggS", b"caff", b".snd", b"NIST")
# Some writers count their header as sound.
_MAX_MISCOUNT_BYTES = 128
_WIDE_RIFF = (b"RF64", b"BW64")
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A family of chunks: where the first one starts, how a header is written, which one holds the sound.

    `empty` is the size of a sound chunk without any sound.
    """

    first: int
    id_bytes: int
    size: str
    pad_bytes: int
    sound: bytes
    empty: int = 0
    is_size_with_header: bool = False

    @property
    def header_bytes(self):
        return self.id_bytes + struct.calcsize(self.size)


_RIFF = _Kind(first=12, id_bytes=4, size="<I", pad_bytes=2, sound=b"data")
_RIFX = _Kind(first=12, id_bytes=4, size=">I", pad_bytes=2, sound=b"data")
_AIFF = _Kind(first=12, id_bytes=4, size=">I", pad_bytes=2, sound=b"SSND", empty=8)
_CAF = _Kind(first=8, id_bytes=4, size=">Q", pad_bytes=1, sound=b"data", empty=4)
_W64 = _Kind(first=40, id_bytes=16, size="<Q", pad_bytes=8, sound=b"data", is_size_with_header=True)


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """One chunk: its four letters, where its header and body start, and the bytes that its body is said to have."""

    id: bytes
    start: int
    body: int
    size: int


def parse_chunks(file, start, num_bytes):
    """Return the Part that begins at `start`, or None where no container of chunks does."""
    head = read_at(file, start, 16)
    kind = _kind(head)
    if kind is None:
        return None
    chunks, sound = {}, None
    position = start + kind.first
    while (chunk := _read_chunk(file, position, kind)) is not None:
        if chunk.id == kind.sound:
            sound = chunk
            break
        chunks[chunk.id] = chunk
        position = _next(chunk, kind)
    if sound is None:
        # Nothing to check: the decoder says what it misses.
        return Part(start=start, end=num_bytes, is_measured=False)
    sound, is_wide = _promised(file, sound, chunks=chunks, head=head)
    available = num_bytes - sound.body
    if _is_unknown(file, sound, kind=kind, is_wide=is_wide, num_bytes=num_bytes):
        end = _next_riff(file, sound.body, num_bytes=num_bytes) if kind is _RIFF else num_bytes
        patches = _true_sizes(file, start, sound, kind=kind, head=head, chunks=chunks, end=end)
        note = f"its header tells of no sound, but {end - sound.body} bytes follow: they are read as sound"
        return Part(start=start, end=end, patches=patches, note=note if sound.size <= kind.empty else None)
    if sound.size > available + _MAX_MISCOUNT_BYTES:
        fault = f"truncated: {available} of the {sound.size} bytes of sound that its header tells are there"
        return Part(start=start, end=num_bytes, fault=fault)
    return Part(start=start, end=_end(file, _next(sound, kind), kind=kind, num_bytes=num_bytes))


def _kind(head):
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", *_WIDE_RIFF) and form == b"WAVE":
        return _RIFF
    if magic == b"RIFX" and form == b"WAVE":
        return _RIFX
    if magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _AIFF
    if magic == b"caff":
        return _CAF
    return _W64 if head == _W64_RIFF else None


def _read_chunk(file, position, kind):
    """Return the chunk at a position, or None where what stands there is no header of a chunk."""
    header = read_at(file, position, kind.header_bytes)
    if len(header) < kind.header_bytes or not all(32 <= byte < 127 for byte in header[:4]):
        return None
    (size,) = struct.unpack(kind.size, header[kind.id_bytes :])
    size -= kind.header_bytes if kind.is_size_with_header else 0
    return _Chunk(id=header[:4], start=position, body=position + kind.header_bytes, size=max(0, size))


def _body(file, chunk, count):
    """Return the first `count` bytes of a chunk's content, zeros where the file ends before."""
    return read_at(file, chunk.body, count).ljust(count, b"\0")


def _next(chunk, kind):
    return chunk.body + -(-chunk.size // kind.pad_bytes) * kind.pad_bytes


def _promised(file, sound, *, chunks, head):
    """Return the sound chunk with the size that the header tells, and whether it tells in 64 bits."""
    if head[:4] in _WIDE_RIFF and sound.size == 0xFFFFFFFF and b"ds64" in chunks:
        _, size = struct.unpack("<QQ", _body(file, chunks[b"ds64"], 16))
        return replace(sound, size=size), True
    return sound, head[:4] in (b"caff", b"riff")


def _is_unknown(file, sound, *, kind, is_wide, num_bytes):
    """Tell whether the size is one that a writer put there before it knew, or instead of knowing."""
    if sound.size <= kind.empty:
        return not _are_chunks(file, _next(sound, kind), kind=kind, num_bytes=num_bytes)
    if sound.size <= num_bytes - sound.body:
        return False
    # Nobody records an exabyte: -1 and other placeholders are above it.
    return sound.size >= 1 << 60 if is_wide else any(sound.size in unknown for unknown in _UNKNOWN_32)


def _are_chunks(file, position, *, kind, num_bytes):
    """Tell whether [position, num_bytes) is chunks and nothing else, or nothing at all."""
    return _end(file, position, kind=kind, num_bytes=num_bytes) >= num_bytes


def _end(file, position, *, kind, num_bytes):
    """Return where the chunks from `position` on end: with the file, at junk, or at another container."""
    while position < num_bytes:
        head = read_at(file, position, 16)
        if _kind(head) is not None or head.startswith(_OTHERS):
            break
        chunk = _read_chunk(file, position, kind)
        if chunk is None or chunk.body + chunk.size > num_bytes:
            break
        position = _next(chunk, kind)
    return min(position, num_bytes)


def _next_riff(file, position, *, num_bytes):
    """Return where the next WAV file begins inside sound of unknown length, or the end of the file."""
    starts = (found - 8 for found in find_bytes(file, b"WAVEfmt ", start=position + 8, end=num_bytes))
    return next((start for start in starts if read_at(file, start, 4) == b"RIFF"), num_bytes)


def _true_sizes(file, start, sound, *, kind, head, chunks, end):
    """Return patches that put the true lengths into a header, as far as they fit."""
    size = end - sound.body
    if head[:4] in _WIDE_RIFF and b"ds64" in chunks:
        return ((chunks[b"ds64"].body, struct.pack("<QQ", end - start - 8, size)),)
    if kind in (_CAF, _W64):
        whole = size + (kind.header_bytes if kind.is_size_with_header else 0)
        return ((sound.start + kind.id_bytes, struct.pack(kind.size, whole)),)
    if end - start >= 1 << 32:
        return ()
    patches = [(start + 4, struct.pack(kind.size, end - start - 8)), (sound.start + 4, struct.pack(kind.size, size))]
    if kind is _AIFF and b"COMM" in chunks:
        num_channels, _, num_bits = struct.unpack(">HIH", _body(file, chunks[b"COMM"], 8))
        frame_bytes = max(1, num_channels * -(-num_bits // 8))
        patches.append((chunks[b"COMM"].body + 2, struct.pack(">I", (size - 8) // frame_bytes)))
    return tuple(patches)
