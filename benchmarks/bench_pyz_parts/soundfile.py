"""Stands for the package soundfile in bench.pyz: WAV files of 16 bits, read with what Python brings."""

import wave

import numpy as np


class LibsndfileError(RuntimeError):
    """Not a WAV file of 16 bits."""

    @property
    def error_string(self):
        """What is wrong, for people."""
        return f"{self} (bench.pyz reads WAV of 16 bits alone)"


class SoundFile:
    """The part of soundfile.SoundFile that runtime.sound_decoders uses."""

    subtype = "PCM_16"

    def __init__(self, file):
        try:
            self._file = wave.open(file, "rb")  # noqa: SIM115 - close() closes it
        except (wave.Error, EOFError) as error:
            raise LibsndfileError(error) from error
        if self._file.getsampwidth() != 2:
            raise LibsndfileError(f"{8 * self._file.getsampwidth()} bits a sample")
        self.samplerate, self.frames = self._file.getframerate(), self._file.getnframes()
        self.channels = self._file.getnchannels()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        self._file.close()

    def seek(self, frames):
        """Go to a frame, counted from 0."""
        self._file.setpos(frames)

    def read(self, frames, dtype, always_2d):
        """Return float32 (n, channels), n <= frames."""
        values = np.frombuffer(self._file.readframes(frames), "<i2").astype(dtype) / np.float32(32768)
        return values.reshape(-1, self.channels)
