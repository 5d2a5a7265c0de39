"""Ogg: where one chained stream ends and the next begins, whether its last page is there, and Opus positions put right.

Sources: RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), RFC 6716 section 3.1 (length of an Opus packet).
"""

import itertools
import struct
import zlib
from dataclasses import dataclass

from runtime.containers.part import Part, find_bytes, read_at

_MAGIC = b"OggS"
_HEADER = struct.Struct("<4sBBqIIIB")
_POSITION = slice(6, 14)
_CHECKSUM = slice(22, 26)
_CONTINUED, _FIRST, _LAST = 1, 2, 4
# A page on which no packet ends tells no position.
_NO_POSITION = -1
_OPUS = b"OpusHead"
_SOUND = (_OPUS, b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_NUM_HEADER_PACKETS = 2
# Letters that are no page are rare; each costs a checksum over up to 64 KiB.
_MAX_CANDIDATES = 1000
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class _Page:
    """One page: where it starts, its bytes, and what its header says. `is_whole` is False where the file ends in it."""

    start: int
    data: bytes
    flags: int
    position: int
    serial: int
    lacing: bytes
    is_whole: bool

    @property
    def end(self):
        return self.start + len(self.data)

    @property
    def body(self):
        return self.data[_HEADER.size + len(self.lacing) :]


class _OpusPositions:
    """The positions of Opus pages (samples at 48 kHz up to the end of each), as told and as counted from the packets.

    libsndfile drops packets, or stops, where the two differ; its own encoder writes such files. Players count packets
    and never notice.

    Attributes:
        is_odd: whether any page but the last differs from what its packets make of the page before.
        patches: (offset, bytes) pairs that make all pages agree with their packets.
    """

    def __init__(self):
        self.is_odd, self.patches = False, []
        self._counted, self._told = 0, None
        self._num_packets, self._packet = 0, b""

    def add(self, page):
        """Take the next page of the stream."""
        added = sum(map(_opus_samples, self._ended_packets(page)))
        self._counted += added
        if page.position == _NO_POSITION or not self._counted:
            return
        expected = page.position if self._told is None else self._told + added
        self._told = page.position
        position = self._counted
        if page.flags & _LAST:
            # The last page may tell less: what the encoder padded is cut.
            position -= min(max(0, expected - page.position), added)
        else:
            self.is_odd |= page.position != expected
        if position != page.position:
            self.patches.append((page.start, _with_position(page.data, position)))

    def _ended_packets(self, page):
        """Yield the first bytes of the packets of sound that end on a page."""
        if not page.flags & _CONTINUED:
            self._packet = b""
        body, at = page.body, 0
        for size in page.lacing:
            self._packet = (self._packet + body[at : at + size])[:2]
            at += size
            if size < 255:
                self._num_packets += 1
                if self._num_packets > _NUM_HEADER_PACKETS:
                    yield self._packet
                self._packet = b""


def parse_ogg(file, start, num_bytes):
    """Return the Part of the Ogg stream, or streams side by side, that begins at `start`, or None."""
    page = _read_page(file, start, num_bytes)
    if page is None or not page.flags & _FIRST:
        return None
    sound, faults, positions = None, [], None
    has_begun = has_ended = is_chained = False
    while page is not None:
        if page.flags & _FIRST:
            if has_begun:
                is_chained = True
                break
            if sound is None and page.body.startswith(_SOUND):
                sound = page.serial
                positions = _OpusPositions() if page.body.startswith(_OPUS) else None
        else:
            has_begun = True
        if not page.is_whole:
            faults.append("truncated: it ends inside an Ogg page")
        elif _checksum(page.data) != page.data[_CHECKSUM]:
            faults.append(f"corrupt: the checksum of the Ogg page at byte {page.start} is wrong")
        elif page.serial == sound:
            has_ended |= bool(page.flags & _LAST)
            if positions is not None:
                positions.add(page)
        end, page = page.end, _read_page(file, page.end, num_bytes)
        if page is None and (found := _next_page(file, end, num_bytes)) is not None:
            faults.append(f"corrupt: {found.start - end} bytes at byte {end} are no Ogg page")
            page = found
    end = page.start if is_chained else end
    if sound is not None and not has_ended and not is_chained:
        faults.append("truncated: its last Ogg page is missing")
    return Part(
        start=start,
        end=end,
        patches=tuple(positions.patches) if positions is not None and positions.is_odd else (),
        fault=faults[0] if faults else None,
        is_measured=sound is not None,
    )


def _read_page(file, start, num_bytes):
    """Return the page at a position, or None where none begins there."""
    head = read_at(file, start, _HEADER.size + 255)
    if len(head) < _HEADER.size or head[:4] != _MAGIC:
        return None
    _, _, flags, position, serial, _, _, num_laces = _HEADER.unpack(head[: _HEADER.size])
    lacing = head[_HEADER.size : _HEADER.size + num_laces]
    size = _HEADER.size + num_laces + sum(lacing)
    data = read_at(file, start, min(size, num_bytes - start))
    return _Page(
        start=start, data=data, flags=flags, position=position, serial=serial, lacing=lacing, is_whole=len(data) == size
    )


def _next_page(file, start, num_bytes):
    """Return the next intact page at or behind a position, or None."""
    for found in itertools.islice(find_bytes(file, _MAGIC, start=start, end=num_bytes), _MAX_CANDIDATES):
        page = _read_page(file, found, num_bytes)
        if page is not None and page.is_whole and _checksum(page.data) == page.data[_CHECKSUM]:
            return page
    return None


def _opus_samples(packet):
    """Return the samples at 48 kHz of an Opus packet, from its first two bytes."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    else:
        frame = (480, 960)[config & 1] if config < 16 else (120, 240, 480, 960)[config & 3]
    return frame * (1 if code == 0 else 2 if code < 3 else packet[1] & 63 if len(packet) > 1 else 0)


def _with_position(data, position):
    """Return a page with another position, and the checksum that goes with it."""
    changed = bytearray(data)
    changed[_POSITION] = struct.pack("<q", position)
    changed[_CHECKSUM] = _checksum(changed)
    return bytes(changed[: _HEADER.size])


def _checksum(data):
    """Return the checksum field (4 bytes) that a page should have: CRC-32, most significant bit first, from 0.

    zlib computes the mirrored one, with other start and end: the bits are turned around before and after.
    """
    blank = bytearray(data)
    blank[_CHECKSUM] = bytes(4)
    mirrored = zlib.crc32(blank.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return mirrored.to_bytes(4, "little").translate(_BITS_REVERSED)[::-1]
