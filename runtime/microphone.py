"""A microphone, and a file that plays the part of one."""

import contextlib
import threading
import time

from runtime.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ, read_blocks
from runtime.errors import DeviceError, LotteryError, require_extra
from runtime.foreign import escape, short
from runtime.source import BLOCK_S, POLL_S, QUEUE_S, Source, mono

RECONNECT_S = 30.0
# A device that is open and delivers nothing for this long is as good as unplugged.
STALL_S = 3.0
_RETRY_S = 0.5
_NO_PORTAUDIO = "the PortAudio library is missing"
_INSTALL_PORTAUDIO = (
    "sudo apt install libportaudio2   (Fedora: sudo dnf install portaudio; macOS: brew install portaudio)"
)
_PLUG_IN = "plug one in; lottery-listen --replay FILE needs none"
_LIST_DEVICES = "lottery-listen --list-devices shows what is there; lottery-listen --replay FILE needs none"


class Microphone(Source):
    """An input device; the audio callback copies and mixes. One that vanishes is opened again when it comes back.

    Args:
        device: number or (part of the) name from `list_devices`; None is the system's default.
        sample_rate_hz: rate to record at; the device's own when None.
        reconnect_s: how long to wait for a device that vanished; 0 ends at once, with an error.
        block_s, queue_s: see Source.
        sounddevice: the module, or a stand-in with the same functions; imported when None.
    Raises:
        MissingExtraError, DeviceError: no sounddevice, no PortAudio, no such device, or it refuses to record.
        ValueError: sample_rate_hz is out of range.
    """

    def __init__(
        self,
        device=None,
        *,
        sample_rate_hz=None,
        reconnect_s=RECONNECT_S,
        block_s=BLOCK_S,
        queue_s=QUEUE_S,
        sounddevice=None,
    ):
        if sample_rate_hz is not None and not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise ValueError(
                f"sample_rate_hz is {sample_rate_hz}, expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ}"
            )
        self._sounddevice = sounddevice or import_sounddevice()
        self._device = parse_device(device)
        self._is_default = device is None
        info = self._query()
        rate = round(info["default_samplerate"]) if sample_rate_hz is None else sample_rate_hz
        super().__init__(info["name"], sample_rate_hz=rate, block_s=block_s, queue_s=queue_s)
        self.max_channels = info["max_input_channels"]
        self._reconnect_s = reconnect_s
        self._stream = None
        # time.monotonic() seconds
        self._heard_at = self._lost_at = self._retry_at = self._give_up_at = 0.0

    def _query(self):
        try:
            info = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            # Where there is none at all this says so.
            list_devices(sounddevice=self._sounddevice)
            what = "no default microphone" if self._device is None else f"no microphone {short(self._device)}"
            raise DeviceError(f"{what}: {_first_line(error)}", hint=_LIST_DEVICES) from error
        if info["max_input_channels"] < 1:
            raise DeviceError(f"device {short(info['name'])} has no input", hint=_LIST_DEVICES)
        return info

    def _start(self):
        # Some devices record only with all their channels; the callback averages them.
        errors = []
        for num_channels in sorted({1, min(2, self.max_channels), self.max_channels}):
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
                self._heard_at = time.monotonic()
                return
            except (ValueError, self._sounddevice.PortAudioError) as error:
                errors.append(error)
                self._join()
        raise DeviceError(
            f"microphone {short(self.name)} does not open at {self.sample_rate_hz} Hz: {_first_line(errors[0])}",
            hint=_LIST_DEVICES,
        )

    def _on_audio(self, samples, num_samples, when, status):
        """Take one block in PortAudio's thread, where anything slow loses audio."""
        if status.input_overflow:
            self.num_overflows += 1
        self._heard_at = time.monotonic()
        self._put(mono(samples))

    def _join(self):
        if self._stream is not None:
            # A device that is gone may refuse even to be closed.
            with contextlib.suppress(self._sounddevice.PortAudioError):
                self._stream.close()
            self._stream = None

    def _check_alive(self):
        now = time.monotonic()
        if not self.is_lost:
            if self._is_recording() and now - self._heard_at < STALL_S:
                return
            self.is_lost, self._lost_at = True, self._heard_at
            self._retry_at, self._give_up_at = now, now + self._reconnect_s
            self._join()
        if now >= self._give_up_at:
            self._queue.close(
                DeviceError(f"microphone {short(self.name)} stopped: was it unplugged?", hint=_LIST_DEVICES)
            )
        elif now >= self._retry_at:
            self._reopen()
            self._retry_at = now + _RETRY_S

    def _is_recording(self):
        try:
            return self._stream.active
        except self._sounddevice.PortAudioError:
            return False

    def _reopen(self):
        """Try to record again, and count the gap if that succeeds."""
        try:
            self._start()
        except DeviceError:
            # PortAudio lists the devices once: only starting it anew finds one that was plugged in again.
            try:
                self._sounddevice._terminate()
                self._sounddevice._initialize()
                self._device = self._find()
                self._start()
            except (DeviceError, self._sounddevice.PortAudioError):
                return
        self.is_lost = False
        self.num_gaps += 1
        self.gap_s += time.monotonic() - self._lost_at

    def _find(self):
        """Return the number that the device has now, or None for the default.

        Raises:
            DeviceError: it is not there.
        """
        if self._is_default:
            return None
        for index, info in enumerate(self._sounddevice.query_devices()):
            if info["name"] == self.name and info["max_input_channels"] > 0:
                return index
        raise DeviceError(f"no microphone {short(self.name)}", hint=_LIST_DEVICES)


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
        start, played_s = None, 0.0
        try:
            for block in self._file:
                # From the first block on: a file may be looked at as a whole before it.
                start = time.monotonic() if start is None else start
                played_s += len(block) / self.sample_rate_hz
                if not self._wait(start, played_s=played_s):
                    break
                self._put(block)
        except Exception as failure:
            # Of any kind: the reader raises it, where the command meets it.
            error = failure
        finally:
            # Whatever happened: a reader waits for the end.
            self._queue.close(error)

    def _wait(self, start, *, played_s):
        """Wait until a microphone would deliver the block that ends at played_s; False when the source was stopped."""
        if self._speed == 0:
            self._queue.wait_for_room()
        else:
            due = start + played_s / self._speed
            while not self._queue.is_closed and (left_s := due - time.monotonic()) > 0:
                time.sleep(min(left_s, POLL_S))
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
    # A device brings its name along: whoever builds one writes on the terminal.
    lines = [
        escape(
            f"{'*' if index == default else ' '} {index:2d}  {info['name']}  ({info['max_input_channels']} channels, "
            f"{info['default_samplerate']:.0f} Hz, {hosts[info['hostapi']]['name']})"
        )
        for index, info in enumerate(sounddevice.query_devices())
        if info["max_input_channels"] > 0
    ]
    if not lines:
        raise DeviceError("no microphone found", hint=_PLUG_IN)
    return lines


def _first_line(error):
    return str(error.args[0] if error.args else error).strip().splitlines()[0]
