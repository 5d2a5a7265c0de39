"""One sound in many forms of file, the broken ones included; written by libsndfile, altered by hand."""

import io
import struct

import numpy as np
import soundfile

RATE_HZ = 16000


def encode(samples, *, format="WAV", subtype="PCM_16", rate_hz=RATE_HZ, **options):
    """Return the bytes of a sound file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype, **options)
    return file.getvalue()


def replace(data, start, value):
    """Return bytes with some of them replaced from a position on."""
    return data[:start] + value + data[start + len(value) :]


def with_sizes(samples, *, size, format="WAV"):
    """Return a WAV or AIFF file whose header has `size` for the length of the sound, and for its own."""
    data = encode(samples, format=format)
    order, sound, empty = ("<", b"data", 0) if format == "WAV" else (">", b"SSND", 8)
    told = min(size + (empty if size < 0xFFFFFF00 else 0), 0xFFFFFFFF)
    data = replace(data, 4, struct.pack(order + "I", min(told + 36, 0xFFFFFFFF)))
    data = replace(data, data.index(sound) + 4, struct.pack(order + "I", told))
    return data if format == "WAV" else replace(data, data.index(b"COMM") + 10, bytes(4))


def unknown_flac(samples, *, told=0):
    """Return a FLAC file whose header tells another number of samples than there are; 0 is the code for unknown."""
    data = encode(samples, format="FLAC")
    # Bits 28 to 63 of the 8 bytes behind the sizes of blocks and frames.
    (packed,) = struct.unpack(">Q", data[18:26])
    return replace(data, 18, struct.pack(">Q", packed >> 36 << 36 | told))


def skewed_opus(samples, *, shift, page):
    """Return an Ogg Opus file, one of whose pages tells a position that its packets do not bear out."""
    data = encode(samples, format="OGG", subtype="OPUS")
    start = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"][page]
    count = data[start + 26]
    end = start + 27 + count + sum(data[start + 27 : start + 27 + count])
    (position,) = struct.unpack("<q", data[start + 6 : start + 14])
    data = replace(data, start + 6, struct.pack("<q", position + shift))
    data = replace(data, start + 22, bytes(4))
    return replace(data, start + 22, struct.pack("<I", _ogg_checksum(data[start:end])))


def _ogg_checksum(data):
    """Return the checksum of a page, bit by bit as RFC 3533 has it."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def stereo(left, right):
    """Return (n, 2) samples."""
    return np.stack([left, right], axis=1)
