"""MPEG audio (MP3): where one stream ends and the next begins, and whether all frames that it tells of are there.

Sources: ISO/IEC 11172-3 and 13818-3 (frame header); the Xing, Info and VBRI headers as LAME and Fraunhofer write them.
"""

import struct
from dataclasses import dataclass

from runtime.containers.part import Part, read_at

_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG1 = 3
_LAYER_I, _LAYER_III = 3, 1
# kbit/s by (is MPEG 1, layer bits), for the codes 1 to 14.
_BITRATES_KBPS = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_VBRI_AT = 36
_HEAD_BYTES = 64
# Frames in a row that must agree before bytes without a signature count as MPEG.
_NUM_AGREEING = 3
_MAX_JUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """One frame: where it starts and ends, what may not change within a stream, and its first bytes."""

    start: int
    end: int
    format: tuple
    head: bytes

    @property
    def tell_at(self):
        """Where the letters of a header that tells the number of frames belong: behind the side information."""
        version, _, _, is_mono = self.format
        return 4 + ((17 if is_mono else 32) if version == _MPEG1 else (9 if is_mono else 17))

    @property
    def told_at(self):
        """Where in `head` there are such letters, or None."""
        if self.head[self.tell_at : self.tell_at + 4] in (b"Xing", b"Info"):
            return self.tell_at
        return _VBRI_AT if self.head[_VBRI_AT : _VBRI_AT + 4] == b"VBRI" else None

    @property
    def num_told(self):
        """The number of frames that follow according to this one; 0 where it does not say."""
        at = self.told_at
        if at == _VBRI_AT and self.head[at : at + 4] == b"VBRI":
            return max(0, int.from_bytes(self.head[at + 14 : at + 18], "big") - 1)
        flags, count = struct.unpack(">II", self.head[at + 4 : at + 12])
        return count if flags & 1 else 0


def parse_mpeg(file, start, num_bytes):
    """Return the Part of the MPEG audio that begins at `start`, tags in front of it included, or None."""
    begin = _skip_tags(file, start, num_bytes=num_bytes)
    frame = _read_agreeing(file, begin, num_bytes=num_bytes)
    if frame is None:
        return None
    first, num_frames, faults = frame, 0, []
    while frame is not None and frame.end <= num_bytes:
        num_frames, position = num_frames + 1, frame.end
        frame = _read_frame(file, position, format=first.format)
        if frame is not None and frame.told_at is not None:
            break
        if frame is None and (junk_bytes := _junk_bytes(file, position, num_bytes=num_bytes, format=first.format)):
            faults.append(f"corrupt: {junk_bytes} bytes at byte {position} are no MPEG frame")
            frame = _read_frame(file, position + junk_bytes, format=first.format)
    is_cut = frame is not None and frame.end > num_bytes
    end, patches, prefix = (num_bytes if is_cut else position), (), b""
    num_told = None if first.told_at is None else first.num_told
    num_frames -= num_told is not None
    if num_told is None or num_frames > num_told:
        # Without its letters it is a frame of silence.
        patches = () if num_told is None else ((first.start + first.told_at, bytes(4)),)
        prefix = _telling_frame(first, num_frames=num_frames + (num_told is not None))
        if is_cut:
            faults.append("truncated: it ends inside an MPEG frame")
    elif num_frames < num_told:
        faults.append(f"truncated: {num_frames} of the {num_told} frames that its first one tells are there")
    return Part(start=begin, end=end, patches=patches, prefix=prefix, fault=faults[0] if faults else None)


def _telling_frame(frame, *, num_frames):
    """Return a frame like another that tells the number of those behind it; empty for layers that have none such.

    Without one, libmpg123 estimates the length from the bit rate of the beginning, and libsndfile stops there.
    """
    version, layer, _, _ = frame.format
    if layer != _LAYER_III:
        return b""
    # No checksum, 128 kbit/s, no padding: long enough for what it tells.
    code = 9 if version == _MPEG1 else 12
    header = bytes([0xFF, frame.head[1] | 1, code << 4 | frame.head[2] & 0x0C, frame.head[3]])
    size = _size(header, format=frame.format)
    return (header + bytes(frame.tell_at - 4) + b"Xing" + struct.pack(">II", 1, num_frames)).ljust(size, b"\0")


def _read_frame(file, start, *, format=None):
    """Return the frame at a position, or None where none of that format begins there."""
    head = read_at(file, start, _HEAD_BYTES)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, code, rate_code = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 0 or rate_code == 3 or not 0 < code < 15:
        return None
    rate_hz, is_mono = _RATES_HZ[version][rate_code], head[3] >> 6 == 3
    found = (version, layer, rate_hz, is_mono)
    if format not in (None, found):
        return None
    size = _size(head, format=found)
    return _Frame(start=start, end=start + size, format=found, head=head)


def _size(head, *, format):
    """Return the bytes of a frame with a header and a format."""
    version, layer, rate_hz, _ = format
    bitrate = 1000 * _BITRATES_KBPS[version == _MPEG1, layer][(head[2] >> 4) - 1]
    padding = head[2] >> 1 & 1
    if layer == _LAYER_I:
        return (12 * bitrate // rate_hz + padding) * 4
    return (72 if layer == _LAYER_III and version != _MPEG1 else 144) * bitrate // rate_hz + padding


def _read_agreeing(file, start, *, num_bytes, format=None):
    """Return the frame at a position if frames of its format follow as far as the file goes, else None."""
    first = frame = _read_frame(file, start, format=format)
    for _ in range(_NUM_AGREEING - 1):
        if frame is None:
            return None
        if frame.end >= num_bytes:
            # A single frame may be chance.
            return None if frame is first else first
        following = _read_frame(file, frame.end, format=first.format)
        if following is None and frame is not first and _skip_tags(file, frame.end, num_bytes=num_bytes) > frame.end:
            return first
        frame = following
    return first if frame is not None else None


def _junk_bytes(file, position, *, num_bytes, format):
    """Return how many bytes stand between a position and the next frames of a stream; 0 where it ends there."""
    if position >= num_bytes or _skip_tags(file, position, num_bytes=num_bytes) > position:
        return 0
    if _read_agreeing(file, position, num_bytes=num_bytes) is not None:
        # Another format: another stream.
        return 0
    data = read_at(file, position, min(_MAX_JUNK_BYTES, num_bytes - position))
    found = data.find(0xFF, 1)
    while found >= 0:
        if _read_agreeing(file, position + found, num_bytes=num_bytes, format=format) is not None:
            return found
        found = data.find(0xFF, found + 1)
    return 0


def _skip_tags(file, position, *, num_bytes):
    """Return where the ID3 and APE tags end that begin at a position."""
    while position < num_bytes:
        head = read_at(file, position, 32)
        if head[:3] == b"ID3" and len(head) >= 10:
            size = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        elif head[:3] == b"TAG":
            size = 128
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            has_header = int.from_bytes(head[20:24], "little") >> 29 & 1
            size = 32 + (int.from_bytes(head[12:16], "little") if has_header else 0)
        else:
            break
        position = min(position + size, num_bytes)
    return position
