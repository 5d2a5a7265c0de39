"""Sound files as blocks of mono samples: any length at constant memory."""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np

from runtime.containers import find_parts
from runtime.errors import AudioError, MissingExtraError
from runtime.foreign import escape
from runtime.sound_decoders import DecodeError, open_decoder
from runtime.survey import Survey, survey

# Beyond these no speech was recorded.
MIN_SAMPLE_RATE_HZ = 1000
MAX_SAMPLE_RATE_HZ = 768000

STDIN = "-"
_CONVERT = "convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 output.wav"
_RECORD_AGAIN = "copy or record it again"
# An encoder's padding may make a whole file a little shorter than its header says.
_MAX_MISSING_S = 0.2
# Full scale of the largest integers; what lies beyond it is no sound in any unit.
_MAX_PEAK = 2.0**31
_BUFFER_BYTES = 1 << 16
_SPOOL_BYTES = 1 << 20


def print_note(text):
    """Print a line about a sound file on stderr: how it is read where that is not obvious."""
    # Without a stderr there is nobody to tell.
    with contextlib.suppress(OSError, AttributeError):
        print(f"note: {escape(text)}", file=sys.stderr)


class AudioBlocks:
    """The samples of a sound file, block by block; iterate once.

    Lengths in its header are not believed where its bytes say otherwise, streams that follow each other in one file
    are read one after the other, channels that cancel each other are not mixed, and floats of another scale than ±1
    are scaled.

    Args:
        path: WAV, FLAC, Ogg, MP3, or what else libsndfile reads, or FFmpeg (extra `audio`); any rate, sample format and
            number of channels. A pipe is read to its end first, into a temporary file; "-" is standard input.
        block_s: seconds per block; the last one may be shorter.
        start_s, length_s: the part of it to read, in seconds; length_s None is all that follows.
        note: function of a line of text that takes what a person should know about how the file is read.
    Attributes:
        sample_rate_hz: samples per second.
        duration_s: seconds of the whole file as its header tells, or None where it does not.
    Raises:
        AudioError: no such file, not a sound file, or no samples, or start_s is behind its end; while iterating:
            corrupt, truncated, not finite, or beyond any scale.
    """

    def __init__(self, path, *, block_s=1.0, start_s=0.0, length_s=None, note=print_note):
        self.path = Path(path)
        self._name, self._note = "stdin" if str(path) == STDIN else str(path), note
        self._file = _open(self.path, name=self._name)
        try:
            self._layout = find_parts(self._file, num_bytes=os.fstat(self._file.fileno()).st_size)
            self._lengths, self.sample_rate_hz = self._read_headers()
        except BaseException:
            self.close()
            raise
        num_samples = None if None in self._lengths else sum(self._lengths)
        self.duration_s = None if num_samples is None else num_samples / self.sample_rate_hz
        self._block_samples = max(1, round(block_s * self.sample_rate_hz))
        self._first = round(start_s * self.sample_rate_hz)
        self._count = None if length_s is None else max(1, round(length_s * self.sample_rate_hz))
        if num_samples == 0:
            fault = next((part.fault for part in self._layout.parts if part.fault), None)
            self._refuse(fault or "holds no samples", hint="record it again")
        if num_samples is not None and self._first >= num_samples:
            self._refuse(f"offset {start_s} s lies beyond the end ({self.duration_s:.3f} s)", hint=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        # Where opening failed there is none.
        if hasattr(self, "_file"):
            self._file.close()

    def close(self):
        """Close the file."""
        self._file.close()

    def __iter__(self):
        """Yield float32 (n,) blocks, ±1, of one channel or the mean of all."""
        if self._file.closed:
            raise RuntimeError(f"{self._name}: read after it was closed")
        for text in self._layout.notes:
            self._note(f"{self._name}: {text}")
        waiting, failure = np.zeros(0, np.float32), None
        with self._file:
            try:
                for samples in self._mono():
                    waiting = np.concatenate([waiting, samples]) if len(waiting) else samples
                    while len(waiting) >= self._block_samples:
                        yield waiting[: self._block_samples]
                        waiting = waiting[self._block_samples :]
            except AudioError as error:
                # After what came before it, which is worth having.
                failure = error
        if len(waiting):
            yield waiting
        if failure is not None:
            raise failure

    def measure_s(self):
        """Return the seconds of sound in the whole file, and close it; decodes only where no structure tells.

        Raises:
            AudioError: it is known to be damaged or truncated.
        """
        with self._file:
            for number, part in enumerate(self._layout.parts):
                if part.fault is not None:
                    self._refuse(part.fault, number=number)
            if self.duration_s is not None and all(part.is_measured for part in self._layout.parts):
                return self.duration_s
            return sum(map(len, self._mono())) / self.sample_rate_hz

    def _read_headers(self):
        """Return (samples of each part or None, sample rate)."""
        lengths, rate_hz = [], None
        for number, part in enumerate(self._layout.parts):
            with contextlib.closing(self._decoder(number)) as decoder:
                lengths.append(decoder.num_samples)
                if rate_hz is None:
                    rate_hz = decoder.sample_rate_hz
                    if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
                        self._refuse(f"sample rate {rate_hz} Hz is out of range", hint=_CONVERT)
                elif decoder.sample_rate_hz != rate_hz:
                    reason = f"{decoder.sample_rate_hz} Hz at byte {part.start}, {rate_hz} Hz at its beginning"
                    self._refuse(reason, number=number, hint=_CONVERT)
        return lengths, rate_hz

    def _decoder(self, number):
        try:
            return open_decoder(self._file, self._layout.parts[number])
        except MissingExtraError as error:
            raise AudioError(
                f"{self._name}: libsndfile does not read it, and PyAV is not installed", hint=error.hint
            ) from error
        except DecodeError as error:
            fault = self._layout.parts[number].fault
            self._refuse(fault or f"not a sound file this program reads: {error}", number=number, hint=_CONVERT)

    def _mono(self):
        """Yield float32 (n,) blocks of about a second of what was asked for."""
        stop = None if self._count is None else self._first + self._count
        position, is_empty = 0, True
        for number, length in enumerate(self._lengths):
            begin = max(0, self._first - position)
            end = None if stop is None else stop - position
            if (length is None or begin < length) and (end is None or end > 0):
                for block in self._read_part(number, begin=begin, end=end):
                    is_empty = False
                    yield block
            position += length or 0
        if is_empty:
            self._refuse("holds no samples", hint="record it again")

    def _read_part(self, number, *, begin, end):
        part, length, rate_hz = self._layout.parts[number], self._lengths[number], self.sample_rate_hz
        num_read = begin
        with contextlib.closing(self._decoder(number)) as decoder:
            plan = self._survey(number, begin=begin, end=end, decoder=decoder)
            try:
                for block in _blocks(decoder, begin=begin, end=end):
                    if not np.isfinite(block).all():
                        self._refuse(f"holds NaN or infinity after {num_read / rate_hz:.2f} s", number=number)
                    num_read += len(block)
                    yield plan.mono(block)
            except DecodeError as error:
                reason = f"corrupt after {num_read / rate_hz:.2f} s: {error}"
                self._refuse(reason, number=number, hint=_CONVERT)
        if end is not None and num_read >= end:
            return
        if part.fault is not None:
            self._refuse(part.fault, number=number)
        if length is not None and length - num_read > _MAX_MISSING_S * rate_hz:
            times = f"{num_read / rate_hz:.2f} s of the {length / rate_hz:.2f} s"
            self._refuse(f"truncated: {times} in its header could be read", number=number)

    def _survey(self, number, *, begin, end, decoder):
        """Return how the samples of a part become mono, ±1; files that need no look at all of them get none."""
        if decoder.num_channels == 1 and not decoder.is_float:
            return Survey()
        with contextlib.closing(self._decoder(number)) as second:
            plan = survey(_until_damage(_blocks(second, begin=begin, end=end)), is_float=second.is_float)
        if plan.peak > _MAX_PEAK:
            self._refuse(f"samples reach {plan.peak:.3g}, expected ±1 or integers up to 2^31", number=number)
        if plan.scale != 1.0:
            self._note(f"{self._name}: samples reach {plan.peak:g}, expected ±1: divided by {plan.scale:g}")
        if plan.channel is not None:
            self._note(f"{self._name}: its channels cancel each other: channel {plan.channel + 1} alone is used")
        return plan

    def _refuse(self, reason, *, number=0, hint=_RECORD_AGAIN):
        num_parts = len(self._layout.parts)
        where = f"stream {number + 1} of {num_parts}: " if num_parts > 1 else ""
        raise AudioError(f"{self._name}: {where}{reason}", hint=hint)


def read_blocks(path, *, block_s=1.0):
    """Open a sound file as AudioBlocks."""
    return AudioBlocks(path, block_s=block_s)


def _blocks(decoder, *, begin, end):
    """Yield float32 (n, channels) blocks of a second, of the samples from `begin` to before `end`."""
    if begin:
        decoder.seek(begin)
    position = begin
    while end is None or position < end:
        count = decoder.sample_rate_hz if end is None else min(decoder.sample_rate_hz, end - position)
        block = decoder.read(count)
        if len(block) == 0:
            return
        position += len(block)
        yield block


def _until_damage(blocks):
    with contextlib.suppress(DecodeError):
        yield from blocks


def _open(path, *, name):
    """Return a sound file as a seekable binary file."""
    if name == "stdin":
        return _spool(sys.stdin, name=name)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{name}: a directory, not a sound file")
        if stat.S_ISREG(status.st_mode):
            if status.st_size == 0:
                raise AudioError(f"{name}: the file is empty", hint="record it again")
            return open(path, "rb", buffering=_BUFFER_BYTES)
        if not stat.S_ISFIFO(status.st_mode):
            raise AudioError(f"{name}: a device or a socket, not a sound file")
        pipe = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file") from error
    except OSError as error:
        raise AudioError(f"{name}: cannot read: {error.strerror}", hint="check the permissions") from error
    with pipe:
        return _spool(pipe, name=name)


def _spool(pipe, *, name):
    """Return what comes through a pipe as a temporary file: its lengths can be checked only when all of it is there."""
    if pipe is None or pipe.closed or pipe.isatty():
        raise AudioError(f"{name}: no sound comes from there", hint="pipe a sound file into it, or name one")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - AudioBlocks closes it
    try:
        shutil.copyfileobj(getattr(pipe, "buffer", pipe), file, _SPOOL_BYTES)
    except BaseException:
        file.close()
        raise
    if file.tell() == 0:
        file.close()
        raise AudioError(f"{name}: the pipe is empty", hint="look at what the program in front of it says")
    return file
