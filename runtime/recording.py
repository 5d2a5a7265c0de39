"""What a live session keeps: the audio that was recognised, and its lines in the form of a corpus manifest."""

import contextlib
import itertools
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from runtime.files import explain_os_errors, require_writable

# Times of symbols lie inside the sound of a word.
_PADDING_S = 0.4
# A FLAC encoder holds less than this back: two blocks.
_HELD_SAMPLES = 2 * 4096
# After a failure the session is kept again as soon as that works; it is tried this often.
RETRY_S = 30.0


class Recording:
    """A FLAC file (16 bits, mono) a session and, line by line, a manifest that lottery-train reads; a context manager.

    Another pair of files begins where the sample rate changes, and after a failure. Nothing that fails once it has
    begun, such as a full disk, ends the session: it is told, and so is what was lost. A line is in the manifest once
    all of its audio is in the file, so that both are right whenever the program is killed.

    Args:
        folder: directory; made where it is missing.
        name: of the files, without suffix; the local time when None. Where that is taken, a number follows.
        say: function of a line of text for people; None tells nobody.
        retry_s: seconds of audio between two attempts to go on after a failure.
    Attributes:
        lost_s, num_lost_lines: seconds of audio and finished lines that were not kept.
    Raises:
        LotteryError: the folder cannot be made or written.
    """

    def __init__(self, folder, *, name=None, say=None, retry_s=RETRY_S):
        self._folder = Path(folder)
        self._name = time.strftime("%Y-%m-%d_%H-%M-%S") if name is None else name
        self._say = say or (lambda text: None)
        self._retry_s = retry_s
        self._audio, self._path, self._rate_hz = None, None, None
        # Samples in the file, those that were heard of the stream, and where in the file the stream begins: before the
        # file itself where that began later.
        self._num_samples = self._heard_samples = self._begin_samples = 0
        self._line_end_s = 0.0
        # Lines of the manifest that wait for their audio: (sample of the file where it ends, text).
        self._waiting = []
        self.lost_s, self.num_lost_lines = 0.0, 0
        self._retry_at_s, self._is_failing = 0.0, False
        with explain_os_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        require_writable(self._folder / "manifest")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def has_lost(self):
        """Whether anything was not kept."""
        return self.lost_s > 0 or self.num_lost_lines > 0

    def begin(self, *, sample_rate_hz):
        """Note that a stream begins with the next block: the times of its lines count from here."""
        if sample_rate_hz != self._rate_hz:
            self._end_file()
            self._rate_hz = sample_rate_hz
        self._heard_samples, self._line_end_s = 0, 0.0
        self._begin_samples = self._num_samples
        if self._audio is None and self.lost_s >= self._retry_at_s:
            self._begin_file()

    def add(self, block):
        """Keep a block, float32 (n,), ±1."""
        if self._audio is None and self.lost_s >= self._retry_at_s:
            self._begin_file()
        self._heard_samples += len(block)
        if self._audio is not None:
            with self._stopping(len(block)):
                self._audio.write(np.clip(block, -1.0, 1.0))
                self._num_samples += len(block)
                self._write_lines(self._num_samples - _HELD_SAMPLES)
                if self._is_failing and self._num_samples > _HELD_SAMPLES:
                    self._is_failing = False
                    self._say(f"{self._path}: the session is saved again")
        else:
            self.lost_s += len(block) / self._rate_hz

    def add_line(self, result, *, is_cut=False):
        """Keep a finished line, if it holds any word.

        Args:
            result: final Result of the stream that began last.
            is_cut: the next word follows at once.
        """
        if not result.text:
            return
        heard_s = self._heard_samples / self._rate_hz
        start_s = max(self._line_end_s, result.words[0].start_s - _PADDING_S)
        end_s = min(heard_s, result.words[-1].end_s + (0.0 if is_cut else _PADDING_S))
        self._line_end_s = end_s
        offset_s = self._begin_samples / self._rate_hz + start_s
        if self._audio is None or offset_s < 0:
            self.num_lost_lines += 1
            return
        line = {
            "audio_filepath": self._path.name,
            "duration": round(end_s - start_s, 3),
            "text": result.text,
            "offset": round(offset_s, 3),
        }
        self._waiting.append((self._begin_samples + end_s * self._rate_hz, json.dumps(line) + "\n"))

    def close(self):
        """End the files, and say what was lost."""
        self._end_file()
        if self.has_lost:
            self._say(f"{self._folder}: {self.lost_s:.1f} s of audio and {self.num_lost_lines} lines were not saved")

    def _begin_file(self):
        """Open the next file that nothing stands in the way of; what was heard of the stream is not in it."""
        self._num_samples, self._begin_samples = 0, -self._heard_samples
        with self._stopping(0):
            self._path = self._reserve()
            self._audio = soundfile.SoundFile(
                os.fsencode(self._path), "w", self._rate_hz, channels=1, format="FLAC", subtype="PCM_16"
            )

    def _reserve(self):
        """Return the path of a new, empty file."""
        for number in itertools.count(1):
            path = self._folder / f"{self._name}{f'_{number}' if number > 1 else ''}.flac"
            if path.with_suffix(".jsonl").exists():
                continue
            with contextlib.suppress(FileExistsError):
                # Exclusively: another session may have begun in the same second, or before the clock went back.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                return path

    def _write_lines(self, num_samples):
        """Append to the manifest the lines that end within the first samples of the file; all of them or nothing."""
        ready = [line for end, line in self._waiting if end <= num_samples]
        if not ready:
            return
        with open(self._path.with_suffix(".jsonl"), "ab") as file:
            size = file.tell()
            try:
                file.write("".join(ready).encode())
                file.flush()
            except OSError:
                # A part of a line would spoil the manifest.
                os.truncate(file.fileno(), size)
                raise
        self._waiting = self._waiting[len(ready) :]

    def _end_file(self):
        if self._audio is None:
            return
        with self._stopping(0):
            self._audio.close()
            self._check_end()
            self._write_lines(self._num_samples)
            self._audio = self._path = None

    def _check_end(self):
        """Raise OSError unless the last sample can be read: a full disk is no error to an encoder that ends."""
        if self._num_samples:
            with soundfile.SoundFile(os.fsencode(self._path)) as file:
                file.seek(self._num_samples - 1)
                if len(file.read(1)) != 1:
                    raise OSError("the end of the audio could not be written")

    @contextlib.contextmanager
    def _stopping(self, num_samples):
        """Turn a failure into a pause: the file ends, and the lines that waited for it are lost, as are the samples."""
        try:
            yield
        except (OSError, soundfile.LibsndfileError, AssertionError) as error:
            # soundfile asserts that all samples were written.
            self._drop_file()
            self.lost_s += (num_samples + min(self._num_samples, _HELD_SAMPLES)) / self._rate_hz
            self.num_lost_lines += len(self._waiting)
            self._waiting, self._num_samples = [], 0
            self._retry_at_s = self.lost_s + self._retry_s
            if not self._is_failing:
                self._is_failing = True
                self._say(f"{self._folder}: cannot write: {self._reason(error)}: nothing is saved until it can again")

    def _drop_file(self):
        """Close the file; remove it where nothing in it is of use."""
        if self._audio is not None:
            with contextlib.suppress(OSError, soundfile.LibsndfileError):
                self._audio.close()
        if self._path is not None and self._num_samples <= _HELD_SAMPLES:
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._audio = self._path = None

    def _reason(self, error):
        """Return why nothing can be written: libsndfile itself tells no more than "System error"."""
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError as found:
            return found.strerror
        return str(error) or "the audio is not complete"
