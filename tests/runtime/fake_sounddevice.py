"""A stand-in for the module sounddevice: devices that are there, streams that a test delivers to."""

import types

import numpy as np

STEREO_ONLY = {"name": "Interface", "max_input_channels": 2, "default_samplerate": 44100.0, "hostapi": 0}
MONO = {"name": "USB mic", "max_input_channels": 1, "default_samplerate": 48000.0, "hostapi": 0}
SPEAKER = {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48000.0, "hostapi": 0}


class PortAudioError(Exception):
    """What sounddevice raises."""


class FakeStream:
    """An input stream whose callback the test calls, as PortAudio's thread would."""

    def __init__(self, *, device, samplerate, channels, dtype, blocksize, callback):
        if device == 1 and channels != 2:
            raise PortAudioError("Error opening InputStream: Invalid number of channels [PaErrorCode -9998]")
        self.samplerate, self.channels, self.blocksize, self._callback = samplerate, channels, blocksize, callback
        assert dtype == "float32"
        self.active, self.is_closed = False, False
        FakeStream.latest = self

    def start(self):
        self.active = True

    def close(self):
        self.active, self.is_closed = False, True

    def deliver(self, samples, *, is_overflow=False):
        """Call the callback with a buffer that is overwritten afterwards, as PortAudio does."""
        buffer = np.repeat(np.asarray(samples, np.float32)[:, None], self.channels, axis=1)
        self._callback(buffer, len(buffer), None, types.SimpleNamespace(input_overflow=is_overflow))
        buffer[:] = np.nan


def fake_sounddevice(devices=(MONO, STEREO_ONLY, SPEAKER), *, default=0):
    """Return what Microphone uses of the module, with these devices; -1 for `default` is a machine without any."""

    def query_devices(device=None, kind=None):
        if kind is None:
            return list(devices)
        if device is None:
            if default < 0:
                raise PortAudioError("Error querying device -1")
            return devices[default]
        if isinstance(device, int):
            if device >= len(devices):
                raise PortAudioError(f"Error querying device {device}")
            return devices[device]
        found = [info for info in devices if device.lower() in info["name"].lower()]
        if len(found) != 1:
            raise ValueError(f"No input device matching {device!r}")
        return found[0]

    return types.SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=FakeStream,
        query_devices=query_devices,
        query_hostapis=lambda: [{"name": "ALSA"}],
        default=types.SimpleNamespace(device=[default, 2]),
        _terminate=lambda: None,
        _initialize=lambda: None,
    )
