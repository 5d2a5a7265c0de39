"""Sound files as blocks of mono samples: any length at constant memory."""

import os
from pathlib import Path

import numpy as np
import soundfile

from runtime.errors import AudioError
from runtime.streams import quiet_libraries

# Beyond these no speech was recorded.
MIN_SAMPLE_RATE_HZ = 1000
MAX_SAMPLE_RATE_HZ = 768000

_CONVERT = "convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 output.wav"
# libsndfile reports a length of 2^63-1 where a container does not tell.
_MAX_PLAUSIBLE_SAMPLES = 1 << 48
# An encoder's padding may make a whole file a little shorter than its header says.
_MAX_MISSING_S = 0.2


class AudioBlocks:
    """The samples of a sound file, block by block; iterate once.

    Args:
        path: WAV, FLAC, Ogg, MP3, or what else libsndfile reads; any rate, sample format and number of channels.
        block_s: seconds a block; the last one may be shorter.
    Attributes:
        sample_rate_hz: samples a second.
        duration_s: seconds, or None where the file does not tell.
    Raises:
        AudioError: no such file, not a sound file, or no samples; while iterating: corrupt, truncated, or not finite.
    """

    def __init__(self, path, *, block_s=1.0):
        self.path = Path(path)
        self._file = _open(self.path)
        self.sample_rate_hz = self._file.samplerate
        self._num_samples = self._file.frames if self._file.frames < _MAX_PLAUSIBLE_SAMPLES else None
        self.duration_s = None if self._num_samples is None else self._num_samples / self.sample_rate_hz
        self._block_samples = max(1, round(block_s * self.sample_rate_hz))
        if self._num_samples == 0:
            self.close()
            raise AudioError(f"{self.path}: holds no samples", hint="record it again")
        if not MIN_SAMPLE_RATE_HZ <= self.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            self.close()
            raise AudioError(f"{self.path}: sample rate {self.sample_rate_hz} Hz is out of range", hint=_CONVERT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        self._file.close()

    def __iter__(self):
        """Yield float32 (n,) blocks, ±1, channels averaged."""
        num_read = 0
        with self._file:
            while True:
                try:
                    with quiet_libraries():
                        block = self._file.read(self._block_samples, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise AudioError(
                        f"{self.path}: corrupt after {num_read / self.sample_rate_hz:.2f} s: {error}", hint=_CONVERT
                    ) from error
                if len(block) == 0:
                    break
                if not np.isfinite(block).all():
                    raise AudioError(f"{self.path}: holds NaN or infinity after {num_read / self.sample_rate_hz:.2f} s")
                num_read += len(block)
                yield block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
        self._check_length(num_read)

    def _check_length(self, num_read):
        if num_read == 0:
            raise AudioError(f"{self.path}: holds no samples", hint="record it again")
        if self._num_samples is not None and self._num_samples - num_read > _MAX_MISSING_S * self.sample_rate_hz:
            raise AudioError(
                f"{self.path}: truncated: {num_read / self.sample_rate_hz:.2f} s of the {self.duration_s:.2f} s "
                "in its header could be read",
                hint="copy or record it again",
            )


def read_blocks(path, *, block_s=1.0):
    """Open a sound file as AudioBlocks."""
    return AudioBlocks(path, block_s=block_s)


def _open(path):
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.is_dir():
        raise AudioError(f"{path}: a directory, not a sound file")
    try:
        if path.is_file():
            if path.stat().st_size == 0:
                raise AudioError(f"{path}: the file is empty", hint="record it again")
            # libsndfile would say no more than "System error" where permission is missing.
            open(path, "rb").close()
        with quiet_libraries():
            # Bytes: soundfile itself does not encode names that are not UTF-8.
            return soundfile.SoundFile(os.fsencode(path))
    except OSError as error:
        raise AudioError(f"{path}: cannot read: {error.strerror}", hint="check the permissions") from error
    except (soundfile.LibsndfileError, TypeError) as error:
        # soundfile takes a name that ends in .raw for headerless data and raises TypeError.
        reason = getattr(error, "error_string", "headerless data")
        raise AudioError(f"{path}: not a sound file this program reads: {reason}", hint=_CONVERT) from error
