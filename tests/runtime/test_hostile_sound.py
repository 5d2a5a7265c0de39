"""Sound files whose headers lie about numbers and names, as the fuzzer found them: read, or refused; no traceback."""

import io
import struct

import numpy as np
import pytest
import soundfile

from runtime.audio import read_blocks
from runtime.errors import AudioError

SAMPLES = (0.3 * np.sin(2 * np.pi * 440 * np.arange(4096) / 16000)).astype(np.float32)


def encoded(form, subtype="PCM_16"):
    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, 16000, format=form, subtype=subtype)
    return bytearray(buffer.getvalue())


def outcome(path, data):
    """Read a file to its end; return the number of samples, or the message of the AudioError."""
    path.write_bytes(data)
    try:
        return sum(len(block) for block in read_blocks(path))
    except AudioError as error:
        return str(error)


@pytest.mark.parametrize("size", [1 << 44, 1 << 48, (1 << 53) + 8, (1 << 62) - 1, 1 << 63, (1 << 64) - 8])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_chunks_that_end_beyond_every_file_system(tmp_path, size, place):
    """W64 has sizes of 64 bits: of the file, of `fmt ` and of `data`."""
    data = encoded("W64")
    at = (16, data.index(b"fmt ") + 16, data.index(b"data") + 16)[place]
    data[at : at + 8] = struct.pack("<Q", size)
    assert outcome(tmp_path / "a.w64", data)


@pytest.mark.parametrize("form", ["RF64", "AIFF", "CAF", "W64", "AU", "NIST", "WAV"])
def test_headers_that_are_cut_anywhere(tmp_path, form):
    data = encoded(form)
    whole = outcome(tmp_path / "whole", data)
    assert whole == len(SAMPLES)
    for length in range(1, 160):
        found = outcome(tmp_path / "cut", data[:length])
        assert isinstance(found, str) or found < whole


def tagged(container):
    """Return the bytes of an AAC track with a title, as FFmpeg writes them."""
    av = pytest.importorskip("av", reason="the extra `audio` is not installed")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        output.metadata["title"] = "a title of it"
        stream = output.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SAMPLES[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return buffer.getvalue()


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_title_that_is_not_utf_8_is_no_matter(tmp_path, container):
    data = tagged(container)
    assert b"a title" in data
    right = outcome(tmp_path / "a", data)
    assert outcome(tmp_path / "b", data.replace(b"a title", b"\xff\xfe\x80itle")) == right
    assert right >= len(SAMPLES)


def test_a_track_of_an_unknown_codec_is_refused(tmp_path):
    data = tagged("matroska")
    assert b"A_AAC" in data
    assert "no known codec" in outcome(tmp_path / "a", data.replace(b"A_AAC", b"A_XXX"))
