"""FLAC: where one stream ends and the next begins, and how many samples its last frame says there are.

Source: RFC 9639 (Free Lossless Audio Codec), sections 8 and 9.
"""

import functools
from dataclasses import dataclass

from runtime.containers.part import Part, find_bytes, read_at

_MAGIC = b"fLaC"
_STREAMINFO_BYTES = 34
# Where the sample count stands behind the magic and the block header: the low 36 bits of these 8 bytes.
_COUNT_AT, _COUNT_BITS = 4 + 4 + 10, 36
# The code of a sample rate or of a block size, and the bytes that it announces behind the frame's number.
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_BLOCK_BYTES = {6: 1, 7: 2}
_MAX_HEADER_BYTES = 16
_ID3V1_BYTES = 128
_MAX_CANDIDATES = 16


@dataclass(frozen=True, kw_only=True)
class _Info:
    """STREAMINFO: samples a block, bytes a frame at most, and the 8 bytes that hold the count of samples."""

    block_samples: int
    frame_bytes: int
    packed: int

    @property
    def num_samples(self):
        return self.packed & ((1 << _COUNT_BITS) - 1)


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """One frame: where it starts, the first of its samples, and how many they are."""

    start: int
    first: int
    num_samples: int


def parse_flac(file, start, num_bytes):
    """Return the Part of a FLAC stream that begins at `start`, or None."""
    begin = start + _tag_bytes(read_at(file, start, 10))
    head = read_at(file, begin, 8 + _STREAMINFO_BYTES)
    if len(head) < 8 + _STREAMINFO_BYTES or not _is_stream(head):
        return None
    info = _read_info(head[8:])
    audio = _skip_metadata(file, begin + 4, num_bytes=num_bytes)
    end = _next_stream(file, audio, num_bytes=num_bytes)
    has_tag = end - audio > _ID3V1_BYTES and read_at(file, end - _ID3V1_BYTES, 3) == b"TAG"
    last, is_whole = _last_frame(file, audio, end - has_tag * _ID3V1_BYTES, info=info)
    if last is None:
        return Part(start=begin, end=end, is_measured=False)
    told, counted = info.num_samples, last.first + (last.num_samples if is_whole else 0)
    fault, note, patches = None, None, ()
    if is_whole and counted < told or not is_whole and last.first + last.num_samples < told:
        fault = f"truncated: {counted} of the {told} samples that its header tells are there"
    elif not is_whole and not told:
        fault = "truncated: it ends inside a frame"
    elif not is_whole:
        note = "its last bytes are no whole FLAC frame"
    # A stream written to a pipe tells 0, one whose recorder crashed may tell too few; where frames are missing, the
    # decoder should not stumble over that.
    if fault or counted > told:
        packed = (info.packed >> _COUNT_BITS << _COUNT_BITS) | counted
        patches = ((begin + _COUNT_AT, packed.to_bytes(8, "big")),)
    return Part(start=begin, end=end, patches=patches, fault=fault, note=note, is_measured=is_whole)


def _tag_bytes(head):
    """Return the length of an ID3v2 tag: some tools put one in front of FLAC, too."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def _is_stream(head):
    return head[:4] == _MAGIC and head[4] & 0x7F == 0 and head[5:8] == _STREAMINFO_BYTES.to_bytes(3, "big")


def _read_info(block):
    packed = int.from_bytes(block[10:18], "big")
    most = int.from_bytes(block[2:4], "big")
    num_channels, num_bits = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    # No frame is longer than its samples as they are, with a little for headers.
    frame_bytes = most * num_channels * (num_bits + 1) // 8 + 64 * num_channels
    return _Info(block_samples=most, frame_bytes=frame_bytes, packed=packed)


def _skip_metadata(file, position, *, num_bytes):
    while position < num_bytes:
        header = read_at(file, position, 4)
        if len(header) < 4:
            return num_bytes
        position += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            break
    return min(position, num_bytes)


def _next_stream(file, position, *, num_bytes):
    """Return where another stream begins behind the frames, or the end of the file."""
    starts = find_bytes(file, _MAGIC, start=position, end=num_bytes)
    return next((start for start in starts if _is_stream(read_at(file, start, 8))), num_bytes)


def _last_frame(file, audio, end, *, info):
    """Return the last frame of a stream and whether it is complete; (None, False) where none is found."""
    begin = max(audio, end - 2 * info.frame_bytes)
    data = read_at(file, begin, end - begin)
    found, position = [], data.find(0xFF)
    while 0 <= position < len(data) - 1:
        frame = _read_frame(data, position, start=begin + position, info=info)
        if frame is not None:
            found.append(frame)
        position = data.find(0xFF, position + 1)
    # One in some hundred patterns that look like a header is none: the checksum over the whole frame decides.
    for frame in reversed(found[-_MAX_CANDIDATES:]):
        if end - frame.start <= info.frame_bytes and _crc16(data[frame.start - begin :]) == 0:
            return frame, True
    ends = {frame.first + frame.num_samples for frame in found}
    return next((frame for frame in reversed(found) if frame.first in ends), None), False


def _read_frame(data, position, *, start, info):
    """Return the _Frame whose header is at a position of the data, `start` in the file, or None."""
    header = data[position : position + _MAX_HEADER_BYTES]
    if len(header) < 6 or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    block_code, rate_code = header[2] >> 4, header[2] & 15
    number, used = _coded_number(header[4:])
    if number is None or block_code == 0 or rate_code == 15:
        return None
    at = 4 + used
    size = header[at : at + _BLOCK_BYTES.get(block_code, 0)]
    at += _BLOCK_BYTES.get(block_code, 0) + _RATE_BYTES.get(rate_code, 0)
    if at >= len(header) or _crc8(header[:at]) != header[at]:
        return None
    is_variable = header[1] & 1
    first = number if is_variable else number * info.block_samples
    return _Frame(start=start, first=first, num_samples=_block_samples(block_code, size))


def _block_samples(code, size):
    if code in _BLOCK_BYTES:
        return int.from_bytes(size, "big") + 1
    if code == 1:
        return 192
    return 576 << (code - 2) if code < 6 else 256 << (code - 8)


def _coded_number(data):
    """Return (number, bytes used) of a number in the manner of UTF-8, up to 36 bits; (None, 0) for no such number."""
    lead = data[0]
    if lead < 0x80:
        return lead, 1
    count = next((bits for bits in range(8) if not lead >> (7 - bits) & 1), 8)
    if not 2 <= count <= 7 or len(data) < count:
        return None, 0
    number = lead & ((1 << (7 - count)) - 1)
    for byte in data[1:count]:
        if byte & 0xC0 != 0x80:
            return None, 0
        number = number << 6 | byte & 0x3F
    return number, count


@functools.cache
def _table(polynomial, bits):
    """Return the remainders of all bytes, most significant bit first."""
    remainders = []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
        remainders.append(value)
    return remainders


def _crc8(data):
    value, table = 0, _table(0x07, 8)
    for byte in data:
        value = table[value ^ byte]
    return value


def _crc16(data):
    value, table = 0, _table(0x8005, 16)
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ table[value >> 8 ^ byte]
    return value
