"""Containers of nested boxes (MP4 and its kin, Matroska and WebM): whether all of the outermost ones are there.

Sources: ISO/IEC 14496-12 section 4.2 (boxes); RFC 8794 sections 4 to 6 (EBML), RFC 9559 (Matroska).
"""

from runtime.containers.part import Part, read_at

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def parse_mp4(file, start, num_bytes):
    """Return the Part of an MP4, M4A, 3GP or QuickTime file that begins at `start`, or None."""
    if read_at(file, start, 8)[4:] != b"ftyp":
        return None
    position = start
    while position < num_bytes:
        header = read_at(file, position, 16)
        if len(header) < 8 or (position > start and header[4:8] == b"ftyp") or not header[4:8].isascii():
            break
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:], "big")
        elif size == 0:
            # Up to the end of the file, whatever that is.
            size = num_bytes - position
        if size < 8:
            break
        position += size
    return _part(start, end=position, num_bytes=num_bytes)


def parse_matroska(file, start, num_bytes):
    """Return the Part of a Matroska or WebM file that begins at `start`, or None."""
    if read_at(file, start, 4) != _EBML:
        return None
    head_end = _element_end(file, start)
    if head_end is None or read_at(file, head_end, 4) != _SEGMENT:
        return Part(start=start, end=num_bytes, is_measured=False)
    # A recorder that writes as it goes, such as a browser, tells no length.
    end = _element_end(file, head_end)
    return _part(start, end=num_bytes if end is None else end, num_bytes=num_bytes)


def _element_end(file, start):
    """Return where an EBML element with an identifier of 4 bytes ends, or None where it does not tell."""
    size = read_at(file, start + 4, 8)
    num_bytes = 9 - size[0].bit_length() if size and size[0] else len(size) + 1
    if num_bytes > len(size):
        return None
    bits = 7 * num_bytes
    value = int.from_bytes(size[:num_bytes], "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else start + 4 + num_bytes + value


def _part(start, *, end, num_bytes):
    fault = None
    if end > num_bytes:
        fault = f"truncated: {num_bytes - start} of the {end - start} bytes that it tells of are there"
    return Part(start=start, end=min(end, num_bytes), fault=fault, is_measured=False)
