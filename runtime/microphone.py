"""Live audio: a microphone, or a file that plays the part of one, through the same bounded queue."""

import collections
import threading
import time

import numpy as np

from runtime.audio import read_blocks
from runtime.errors import DeviceError, LotteryError, require_extra

BLOCK_S = 0.03
QUEUE_S = 10.0
_POLL_S = 0.1
_NO_PORTAUDIO = "the PortAudio library is missing"
_INSTALL_PORTAUDIO = (
    "sudo apt install libportaudio2   (Fedora: sudo dnf install portaudio; macOS: brew install portaudio)"
)
_LIST_DEVICES = "lottery-listen --list-devices shows what is there; lottery-listen BUNDLE --replay FILE needs none"


class BlockQueue:
    """A bounded queue of audio blocks between the audio thread and the recogniser; put() never waits.

    Args:
        max_blocks: blocks it holds; further ones are dropped, and counted, until the reader catches up.
    """

    def __init__(self, max_blocks):
        self._blocks = collections.deque()
        self._max_blocks = max_blocks
        self._changed = threading.Condition()
        self._error = None
        self.is_closed = False
        self.num_dropped = 0

    def __len__(self):
        """Return how many blocks wait for the reader."""
        return len(self._blocks)

    def put(self, block):
        """Add a block, or drop and count it when the queue is full."""
        with self._changed:
            if self.is_closed:
                return
            if len(self._blocks) >= self._max_blocks:
                self.num_dropped += 1
                return
            self._blocks.append(block)
            self._changed.notify()

    def wait_for_room(self):
        """Wait until a block fits, or the queue is closed."""
        while len(self._blocks) >= self._max_blocks and not self.is_closed:
            time.sleep(0.001)

    def close(self, error=None):
        """Let the reader end, with `error` if given, after the blocks that are in the queue.

        Takes no lock, so that a signal handler may call it while the reader holds one.
        """
        self._error = self._error or error
        self.is_closed = True

    def get(self, *, timeout_s):
        """Return the oldest block, or None after timeout_s seconds or when the queue is closed and empty."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._blocks:
                remaining = deadline - time.monotonic()
                if self.is_closed or remaining <= 0:
                    return None
                # In slices: close() does not notify, and on Windows only a wait that ends lets Ctrl-C through.
                self._changed.wait(min(remaining, _POLL_S))
            return self._blocks.popleft()

    def raise_error(self):
        """Raise the error that close() was given, if any."""
        if self._error is not None:
            raise self._error


class Source:
    """Audio as it happens; a context manager that starts and stops it.

    Args:
        name: what is heard, for people.
        sample_rate_hz: rate of the blocks.
        block_s: seconds a block.
        queue_s: seconds of audio that wait at most for a recogniser that does not keep up; more is dropped.
    Attributes:
        num_overflows: times the audio system reported that it lost samples.
    """

    def __init__(self, name, *, sample_rate_hz, block_s, queue_s):
        self.name = name
        self.sample_rate_hz = sample_rate_hz
        self.num_overflows = 0
        self._block_s = block_s
        self._queue = BlockQueue(max(1, round(queue_s / block_s)))

    @property
    def dropped_s(self):
        """Seconds lost to a full queue."""
        return self._queue.num_dropped * self._block_s

    @property
    def behind_s(self):
        """Seconds of audio that wait for the recogniser: how far it is behind what is being said."""
        return len(self._queue) * self._block_s

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self.stop()
        self._join()

    def stop(self):
        """End the source; blocks() still yields what was recorded. Safe to call from a signal handler."""
        self._queue.close()

    def blocks(self):
        """Yield float32 (n,) mono blocks until the source ends or stop() is called.

        Raises:
            LotteryError: the source failed; whatever came before it was yielded.
        """
        while True:
            block = self._queue.get(timeout_s=_POLL_S)
            if block is not None:
                mono = block if block.ndim == 1 else block.mean(axis=1)
                # Some drivers deliver garbage while they start; it must not end the session.
                yield np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
            elif self._queue.is_closed:
                self._queue.raise_error()
                return
            else:
                self._check_alive()

    def _start(self):
        raise NotImplementedError

    def _join(self):
        """Release what _start() acquired."""

    def _check_alive(self):
        """Close the queue with an error if the source died without saying so."""


class Microphone(Source):
    """An input device at its own rate; the audio callback only copies.

    Args:
        device: number or (part of the) name from `list_devices`; None is the system's default.
        block_s, queue_s: see Source.
        sounddevice: the module, or a stand-in with the same functions; imported when None.
    Raises:
        MissingExtraError, DeviceError: no sounddevice, no PortAudio, no such device, or it refuses to record.
    """

    def __init__(self, device=None, *, block_s=BLOCK_S, queue_s=QUEUE_S, sounddevice=None):
        self._sounddevice = sounddevice or import_sounddevice()
        self._device = parse_device(device)
        info = self._query()
        rate = round(info["default_samplerate"])
        super().__init__(info["name"], sample_rate_hz=rate, block_s=block_s, queue_s=queue_s)
        self._max_channels = info["max_input_channels"]
        self._stream = None

    def _query(self):
        try:
            info = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            what = "no microphone found" if self._device is None else f"no microphone {self._device!r}"
            raise DeviceError(f"{what}: {_first_line(error)}", hint=_LIST_DEVICES) from error
        if info["max_input_channels"] < 1:
            raise DeviceError(f"device {info['name']!r} has no input", hint=_LIST_DEVICES)
        return info

    def _start(self):
        # Some devices record only with all their channels; blocks() averages them.
        errors = []
        for num_channels in sorted({1, min(2, self._max_channels), self._max_channels}):
            try:
                self._stream = self._sounddevice.InputStream(
                    device=self._device,
                    samplerate=self.sample_rate_hz,
                    channels=num_channels,
                    dtype="float32",
                    blocksize=round(self._block_s * self.sample_rate_hz),
                    callback=self._on_audio,
                )
                self._stream.start()
                return
            except (ValueError, self._sounddevice.PortAudioError) as error:
                errors.append(error)
                self._join()
        raise DeviceError(f"microphone {self.name!r} does not open: {_first_line(errors[0])}", hint=_LIST_DEVICES)

    def _on_audio(self, samples, num_samples, when, status):
        """Take one block in PortAudio's thread, where anything slow loses audio."""
        if status.input_overflow:
            self.num_overflows += 1
        self._queue.put(samples.copy())

    def _join(self):
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _check_alive(self):
        if not self._stream.active:
            self._queue.close(DeviceError(f"microphone {self.name!r} stopped: was it unplugged?", hint=_LIST_DEVICES))


class ReplaySource(Source):
    """A sound file in the place of a microphone: the same queue, the same pace, the same drops.

    Args:
        path: sound file.
        speed: times real time; 0 is as fast as the recogniser takes it, and then nothing is dropped.
        block_s, queue_s: see Source.
    Raises:
        AudioError: see runtime.audio. LotteryError: speed is negative or not finite.
    """

    def __init__(self, path, *, speed=1.0, block_s=BLOCK_S, queue_s=QUEUE_S):
        if not 0 <= speed < float("inf"):
            raise LotteryError(f"replay speed is {speed}, expected 0 (no pacing) or more")
        self._file = read_blocks(path, block_s=block_s)
        super().__init__(str(path), sample_rate_hz=self._file.sample_rate_hz, block_s=block_s, queue_s=queue_s)
        self._speed = speed
        self._thread = threading.Thread(target=self._play, name="replay", daemon=True)

    @property
    def behind_s(self):
        """See Source; without a pace there is nothing to be behind of."""
        return super().behind_s if self._speed else 0.0

    def _start(self):
        self._thread.start()

    def _play(self):
        error = None
        start, played_s = time.monotonic(), 0.0
        try:
            for block in self._file:
                played_s += len(block) / self.sample_rate_hz
                if not self._wait(start, played_s=played_s):
                    break
                self._queue.put(block)
        except LotteryError as failure:
            error = failure
        self._queue.close(error)

    def _wait(self, start, *, played_s):
        """Wait until a microphone would deliver the block that ends at played_s; False when the source was stopped."""
        if self._speed == 0:
            self._queue.wait_for_room()
        else:
            due = start + played_s / self._speed
            while not self._queue.is_closed and (left_s := due - time.monotonic()) > 0:
                time.sleep(min(left_s, _POLL_S))
        return not self._queue.is_closed

    def _join(self):
        self._thread.join()
        self._file.close()


def import_sounddevice():
    """Return the sounddevice module.

    Raises:
        MissingExtraError: the package is not installed. DeviceError: the PortAudio library is not.
    """
    try:
        return require_extra("sounddevice", extra="mic")
    except OSError as error:
        raise DeviceError(_NO_PORTAUDIO, hint=_INSTALL_PORTAUDIO) from error


def parse_device(device):
    """Return a device argument as sounddevice wants it: an int for a number, a name as it is, None for the default."""
    return int(device) if isinstance(device, str) and device.isdecimal() else device


def list_devices(*, sounddevice=None):
    """Describe the input devices.

    Returns:
        list of lines, `* 3  name  (2 channels, 48000 Hz, ALSA)`; `*` marks the default.
    Raises:
        MissingExtraError, DeviceError: no sounddevice, no PortAudio, or no input device.
    """
    sounddevice = sounddevice or import_sounddevice()
    default = sounddevice.default.device[0]
    hosts = sounddevice.query_hostapis()
    lines = [
        f"{'*' if index == default else ' '} {index:2d}  {info['name']}  ({info['max_input_channels']} channels, "
        f"{info['default_samplerate']:.0f} Hz, {hosts[info['hostapi']]['name']})"
        for index, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]
    if not lines:
        raise DeviceError("no microphone found", hint="plug one in; lottery-listen BUNDLE --replay FILE needs none")
    return lines


def _first_line(error):
    return str(error.args[0] if error.args else error).strip().splitlines()[0]
