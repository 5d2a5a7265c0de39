"""What the structure of a sound file says: its parts, and which of its lengths can be believed.

A decoder takes a header's word for it: it stops at the end of the first of several streams, and at whatever length was
written before the recording ended. The parsers here look at the bytes instead, without decoding them.
"""

from dataclasses import dataclass, replace

from runtime.containers.boxes import parse_matroska, parse_mp4
from runtime.containers.chunks import parse_chunks
from runtime.containers.flac import parse_flac
from runtime.containers.mpeg import parse_mpeg
from runtime.containers.ogg import parse_ogg
from runtime.containers.part import Part, read_at
from runtime.containers.plain import parse_au, parse_nist

__all__ = ["Layout", "Part", "find_parts"]

# MPEG has no signature but its frames, so it is looked for last.
_PARSERS = (parse_chunks, parse_flac, parse_ogg, parse_mp4, parse_matroska, parse_au, parse_nist, parse_mpeg)
# Below this, what follows the sound is padding.
_MAX_PADDING_BYTES = 4096
# A day of web radio has some hundred; a file made to keep a reader busy has more.
_MAX_PARTS = 10000
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a sound file consists of.

    Args:
        parts: tuple of Part, one or more, in order.
        notes: tuple of lines for people, about how the file is read.
    """

    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def find_parts(file, *, num_bytes):
    """Return the Layout of a sound file of `num_bytes` bytes, open for reading in binary.

    A file of a kind that no parser knows is one part, whose length only decoding tells.
    """
    parts, position = [], 0
    while position < num_bytes:
        part = _parse(file, position, num_bytes)
        if part is None:
            break
        if len(parts) == _MAX_PARTS:
            parts[-1] = replace(parts[-1], fault=f"more than {_MAX_PARTS} streams in one file")
            break
        parts.append(part)
        position = part.end
    if not parts:
        return Layout(parts=(Part(start=0, end=num_bytes, is_measured=False),), notes=())
    notes = [part.note for part in parts if part.note]
    left = num_bytes - position
    if left > _MAX_PADDING_BYTES and not read_at(file, position, 16).startswith(_TAGS):
        notes.append(f"{left} bytes after the end that its header tells are not read")
    return Layout(parts=tuple(parts), notes=tuple(notes))


def _parse(file, start, num_bytes):
    parts = (parse(file, start, num_bytes) for parse in _PARSERS)
    return next((part for part in parts if part is not None), None)
