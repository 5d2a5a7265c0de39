"""Decoders of one part of a sound file: libsndfile, and FFmpeg (PyAV) for what libsndfile does not know."""

import bisect
import io

import numpy as np
import soundfile

from runtime.errors import require_extra
from runtime.foreign import short
from runtime.streams import quiet_libraries

# Containers that libsndfile does not open and PyAV does, by (offset, bytes): MP4 and QuickTime, Matroska and WebM,
# AAC (ADTS), AMR, ASF (WMA), and Ogg, which may hold Speex.
_FOREIGN = (
    (4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"#!AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), (0, b"OggS"),
)  # fmt: skip
# Nothing that follows references to other files or addresses, as playlists do.
_DEMUXERS = "aac,amr,amrnb,amrwb,asf,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,ogg"


class DecodeError(Exception):
    """Bytes that a decoder cannot make samples of; the message says why."""


class PartFile(io.RawIOBase):
    """A part of an open file as a file of its own, with its patches in place.

    Args:
        file: binary file, seekable; it is not closed with this one.
        part: the Part.
    """

    def __init__(self, file, part):
        super().__init__()
        self._file, self._start, self._end = file, part.start - len(part.prefix), part.end
        self._prefix = part.prefix
        self._patches = sorted(part.patches)
        self._position = 0
        self._error = None

    def readable(self):
        """See io.IOBase."""
        return True

    def seekable(self):
        """See io.IOBase."""
        return True

    def tell(self):
        """See io.IOBase."""
        return self._position

    def seek(self, offset, whence=io.SEEK_SET):
        """See io.IOBase."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end - self._start}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer):
        """See io.RawIOBase. What goes wrong is kept for raise_error(): a C library that calls back would swallow it."""
        try:
            data = self._prefix[self._position : self._position + len(buffer)]
            if not data:
                begin = self._start + self._position
                self._file.seek(begin)
                data = self._patched(begin, self._file.read(max(0, min(len(buffer), self._end - begin))))
        except BaseException as error:  # Ctrl-C as well
            self._error = error
            return 0
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def raise_error(self):
        """Raise what went wrong while reading, if anything did."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _patched(self, begin, data):
        # No patch is longer than a page header.
        first = bisect.bisect_left(self._patches, (begin - 64, b""))
        for offset, patch in self._patches[first:]:
            if offset >= begin + len(data):
                break
            low, high = max(offset, begin), min(offset + len(patch), begin + len(data))
            if low < high:
                data = data[: low - begin] + patch[low - offset : high - offset] + data[high - begin :]
        return data


class _Sequential(soundfile.SoundFile):
    """A sound file that is read from its beginning to its end.

    SoundFile seeks behind every block to where it is already. In MP3 that makes the decoder begin anew, and in files of
    unknown length it fails.
    """

    def seekable(self):
        """See soundfile.SoundFile."""
        return False


class LibsndfileDecoder:
    """Samples of a part as libsndfile decodes it.

    Attributes:
        sample_rate_hz, num_channels: of the part.
        num_samples: how many its header tells, or None.
        is_float: whether samples are stored as they are, so that they may lie beyond ±1.
    Raises:
        DecodeError: libsndfile does not know it.
    """

    def __init__(self, file, part):
        self._bytes = PartFile(file, part)
        try:
            with quiet_libraries():
                self._file = _Sequential(self._bytes)
        except soundfile.LibsndfileError as error:
            self._bytes.raise_error()
            raise DecodeError(error.error_string.rstrip(".")) from error
        self.sample_rate_hz, self.num_channels = self._file.samplerate, self._file.channels
        # libsndfile tells 2^63-1 where a container does not tell.
        self.num_samples = self._file.frames if self._file.frames < 1 << 48 else None
        self.is_float = self._file.subtype in ("FLOAT", "DOUBLE")
        self._position = 0

    def seek(self, sample):
        """Go to a sample, counted from 0, at most num_samples.

        Raises:
            DecodeError: damaged bytes.
        """
        # libsndfile 1.2.2 crashes where it seeks in a Vorbis stream whose headers its decoder refused.
        if self._file.format == "OGG" and len(self.read(1)) == 0:
            raise DecodeError("no samples can be decoded")
        self._position = sample
        try:
            with quiet_libraries():
                self._file.seek(sample)
        except soundfile.LibsndfileError as error:
            self._fail(error)

    def read(self, count):
        """Return float32 (n, channels), n <= count; none at the end.

        Raises:
            DecodeError: damaged bytes.
        """
        if self.num_samples is not None:
            # Beyond them there may be a frame that was cut.
            count = min(count, self.num_samples - self._position)
        try:
            with quiet_libraries():
                block = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            self._fail(error)
        self._bytes.raise_error()
        self._position += len(block)
        return block

    def close(self):
        """Release the decoder; the file stays open."""
        self._file.close()

    def _fail(self, error):
        self._bytes.raise_error()
        raise DecodeError(error.error_string.rstrip(".")) from error


class PyavDecoder:
    """Samples of the first sound track of a part as FFmpeg decodes it; see LibsndfileDecoder.

    Raises:
        MissingExtraError: PyAV is not installed.
        DecodeError: no sound in it, or nothing that FFmpeg knows.
    """

    # FFmpeg tells lengths that it estimated like those that it read.
    num_samples = None
    is_float = False

    def __init__(self, file, part):
        self._av = require_extra("av", extra="audio")
        self._bytes = PartFile(file, part)
        try:
            options = {"format_whitelist": _DEMUXERS}
            # Titles and the like are read, too, and need not be UTF-8.
            self._container = self._av.open(self._bytes, options=options, metadata_errors="replace")
        except self._failures() as error:
            self._fail(error)
        self._stream = next(iter(self._container.streams.audio), None)
        if self._stream is None or not self._stream.rate or not self._stream.channels:
            self._container.close()
            raise DecodeError("no sound track")
        if self._stream.codec_context is None:
            self._container.close()
            raise DecodeError("no known codec")
        self.sample_rate_hz, self.num_channels = self._stream.rate, self._stream.channels
        self._rewind()

    def seek(self, sample):
        """Go to a sample, by decoding what is before it: exact in every format; see LibsndfileDecoder."""
        try:
            self._container.seek(0)
        except self._failures() as error:
            self._fail(error)
        self._rewind()
        while sample > 0 and (skipped := len(self.read(min(sample, self.sample_rate_hz)))):
            sample -= skipped

    def read(self, count):
        """See LibsndfileDecoder."""
        try:
            while self._num_waiting < count and (block := next(self._blocks, None)) is not None:
                self._waiting.append(block)
                self._num_waiting += len(block)
        except self._failures() as error:
            self._fail(error)
        self._bytes.raise_error()
        waiting = np.concatenate(self._waiting) if self._waiting else np.zeros((0, self.num_channels), np.float32)
        self._waiting, self._num_waiting = [waiting[count:]], max(0, len(waiting) - count)
        return waiting[:count]

    def close(self):
        """Release the decoder; the file stays open."""
        self._container.close()

    def _failures(self):
        # PyAV passes nonsense of a damaged file on to Python: rates of 0, layouts without channels.
        return self._av.FFmpegError, ValueError, TypeError, ArithmeticError

    def _fail(self, error):
        self._bytes.raise_error()
        raise DecodeError(short(getattr(error, "strerror", None) or error, is_quoted=False)) from error

    def _rewind(self):
        self._waiting, self._num_waiting = [], 0
        self._blocks = self._decode()

    def _decode(self):
        resampler = self._av.AudioResampler(format="flt", layout=self._stream.layout, rate=self._stream.rate)
        for frame in self._container.decode(self._stream):
            for converted in resampler.resample(frame):
                yield converted.to_ndarray().reshape(-1, self.num_channels)
        for converted in resampler.resample(None):
            yield converted.to_ndarray().reshape(-1, self.num_channels)


def open_decoder(file, part):
    """Return the decoder of a part: libsndfile's, or FFmpeg's for what libsndfile does not open.

    Raises:
        MissingExtraError: only PyAV could read it, and it is not installed.
        DecodeError: neither can.
    """
    try:
        return LibsndfileDecoder(file, part)
    except DecodeError:
        file.seek(part.start)
        head = file.read(16)
        if not any(head[at : at + len(magic)] == magic for at, magic in _FOREIGN):
            raise
    return PyavDecoder(file, part)
