"""What a live session keeps: the audio that was recognised, and its lines in the form of a corpus manifest."""

import contextlib
import json
import time
from pathlib import Path

import numpy as np
import soundfile

from runtime.errors import LotteryError
from runtime.files import explain_os_errors

# Times of symbols lie inside the sound of a word.
_PADDING_S = 0.4


class Recording:
    """A FLAC file (16 bits, mono) a session and, line by line, a manifest that lottery-train reads; a context manager.

    Where the sample rate changes, another pair of files begins. The audio has the name ending in .part until it is
    closed.

    Args:
        folder: directory; made where it is missing.
        name: of the files, without suffix; the local time when None.
    Raises:
        LotteryError: the folder cannot be made, or a file is there already.
    """

    def __init__(self, folder, *, name=None):
        self._folder = Path(folder)
        self._name = time.strftime("%Y-%m-%d_%H-%M-%S") if name is None else name
        self._num_files = 0
        self._audio, self._path, self._rate_hz = None, None, None
        self._num_samples = self._begin_samples = 0
        self._line_end_s = 0.0
        with explain_os_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def begin(self, *, sample_rate_hz):
        """Note that a stream begins with the next block: the times of its lines count from here."""
        if sample_rate_hz != self._rate_hz:
            self.close()
            self._open(sample_rate_hz)
        self._begin_samples = self._num_samples
        self._line_end_s = 0.0

    def add(self, block):
        """Keep a block, float32 (n,), ±1."""
        with self._explain():
            self._audio.write(np.clip(block, -1.0, 1.0))
        self._num_samples += len(block)

    def add_line(self, result, *, is_cut=False):
        """Keep a finished line, if it holds any word.

        Args:
            result: final Result of the stream that began last.
            is_cut: the next word follows at once.
        """
        if not result.text:
            return
        heard_s = (self._num_samples - self._begin_samples) / self._rate_hz
        start_s = max(self._line_end_s, result.words[0].start_s - _PADDING_S)
        end_s = min(heard_s, result.words[-1].end_s + (0.0 if is_cut else _PADDING_S))
        self._line_end_s = end_s
        line = {
            "audio_filepath": self._path.name,
            "duration": round(end_s - start_s, 3),
            "text": result.text,
            "offset": round(self._begin_samples / self._rate_hz + start_s, 3),
        }
        with explain_os_errors(self._path), open(self._path.with_suffix(".jsonl"), "a") as file:
            file.write(json.dumps(line) + "\n")

    def close(self):
        """End the audio file, and give it its name."""
        if self._audio is not None:
            with self._explain():
                self._audio.close()
                _part(self._path).rename(self._path)
            self._audio = None

    def _open(self, sample_rate_hz):
        self._num_files += 1
        number = f"_{self._num_files}" if self._num_files > 1 else ""
        self._path = self._folder / f"{self._name}{number}.flac"
        for path in (self._path, _part(self._path)):
            if path.exists():
                raise LotteryError(f"{path}: is there already", hint="give --save another directory")
        with self._explain():
            self._audio = soundfile.SoundFile(
                _part(self._path), "w", sample_rate_hz, channels=1, format="FLAC", subtype="PCM_16"
            )
        self._rate_hz, self._num_samples = sample_rate_hz, 0

    @contextlib.contextmanager
    def _explain(self):
        """Turn what libsndfile and the system refuse into a LotteryError."""
        try:
            with explain_os_errors(self._path):
                yield
        except soundfile.LibsndfileError as error:
            raise LotteryError(
                f"{self._path}: cannot be written: {error.error_string}", hint="look for space and permissions"
            ) from error


def _part(path):
    return path.with_name(path.name + ".part")
