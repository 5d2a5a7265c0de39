"""The microphone on a stand-in for sounddevice: what is recorded, at which rate, and what is said where it fails."""

import sys
import types

import numpy as np
import pytest

from runtime.errors import DeviceError, MissingExtraError
from runtime.microphone import Microphone, import_sounddevice, list_devices, parse_device
from tests.runtime.fake_sounddevice import SPEAKER, FakeStream, PortAudioError, fake_sounddevice


def test_the_microphone_records_at_the_devices_own_rate():
    microphone = Microphone(sounddevice=fake_sounddevice(), block_s=0.01)
    assert (microphone.name, microphone.sample_rate_hz) == ("USB mic", 48000)
    with microphone:
        stream = FakeStream.latest
        assert (stream.samplerate, stream.channels, stream.blocksize, stream.active) == (48000, 1, 480, True)
        for value in (0.1, 0.2, 0.3):
            stream.deliver(np.full(480, value))
        microphone.stop()
        blocks = list(microphone.blocks())
    assert [round(float(block[0]), 3) for block in blocks] == [0.1, 0.2, 0.3], "blocks are copies, in order"
    assert all(block.shape == (480,) for block in blocks)
    assert stream.is_closed


def test_a_device_that_wants_all_its_channels_is_mixed_down():
    microphone = Microphone(1, sounddevice=fake_sounddevice())
    with microphone:
        assert FakeStream.latest.channels == 2
        FakeStream.latest._callback(
            np.array([[0.2, 0.4], [-1, 1]], np.float32), 2, None, types.SimpleNamespace(input_overflow=False)
        )
        microphone.stop()
        (block,) = microphone.blocks()
    assert block == pytest.approx([0.3, 0.0])


def test_garbage_from_a_driver_is_silence():
    with Microphone(sounddevice=fake_sounddevice()) as microphone:
        FakeStream.latest.deliver([0.5, np.nan, np.inf, -np.inf, -0.5])
        microphone.stop()
        (block,) = microphone.blocks()
    assert block.tolist() == [0.5, 0, 0, 0, -0.5]


def test_overflows_and_drops_are_counted_and_the_queue_stays_bounded():
    microphone = Microphone(sounddevice=fake_sounddevice(), block_s=0.01, queue_s=0.05)
    with microphone:
        for number in range(12):
            FakeStream.latest.deliver(np.full(480, number / 100), is_overflow=number in (3, 4))
        assert microphone.num_overflows == 2
        assert microphone.dropped_s == pytest.approx(0.07)
        microphone.stop()
        blocks = list(microphone.blocks())
    assert [round(float(block[0]) * 100) for block in blocks] == [0, 1, 2, 3, 4], "the oldest audio is kept, in order"


def test_audio_that_waits_is_how_far_behind_the_recogniser_is():
    microphone = Microphone(sounddevice=fake_sounddevice(), block_s=0.5)
    with microphone:
        assert microphone.behind_s == 0
        for _ in range(7):
            FakeStream.latest.deliver(np.zeros(24000))
        assert microphone.behind_s == 3.5
        blocks = microphone.blocks()
        next(blocks)
        next(blocks)
        assert microphone.behind_s == 2.5


def test_nothing_is_recorded_after_stop():
    microphone = Microphone(sounddevice=fake_sounddevice())
    with microphone:
        microphone.stop()
        FakeStream.latest.deliver(np.zeros(480))
        assert list(microphone.blocks()) == []
        assert microphone.dropped_s == 0


@pytest.mark.parametrize("rate", [999, 768001])
def test_a_rate_that_no_microphone_has_is_refused(rate):
    with pytest.raises(ValueError, match="sample_rate_hz"):
        Microphone(sounddevice=fake_sounddevice(), sample_rate_hz=rate)


def test_another_rate_than_the_devices_own_can_be_asked_for():
    with Microphone(sounddevice=fake_sounddevice(), sample_rate_hz=16000) as microphone:
        stream = FakeStream.latest
        assert (microphone.sample_rate_hz, stream.samplerate, stream.blocksize) == (16000, 16000, 480)


@pytest.mark.parametrize("device", [7, "7", "nothing like that", "Speaker", 2])
def test_a_device_that_is_not_there_points_to_the_list(device):
    with pytest.raises(DeviceError) as caught:
        Microphone(device, sounddevice=fake_sounddevice())
    assert "--list-devices" in caught.value.hint


def test_no_microphone_at_all():
    for device in (None, "USB", 7):
        with pytest.raises(DeviceError, match="no microphone found") as caught:
            Microphone(device, sounddevice=fake_sounddevice(devices=(SPEAKER,), default=-1))
        assert "plug one in" in caught.value.hint
    with pytest.raises(DeviceError, match="no microphone found"):
        list_devices(sounddevice=fake_sounddevice(devices=(SPEAKER,)))


def test_no_default_among_microphones_points_to_the_list():
    with pytest.raises(DeviceError, match="no default microphone") as caught:
        Microphone(sounddevice=fake_sounddevice(default=-1))
    assert "--list-devices" in caught.value.hint


def test_a_device_that_does_not_open_says_why():
    sounddevice = fake_sounddevice()

    class Busy(FakeStream):
        def start(self):
            raise PortAudioError("Device unavailable\n(more)")

    sounddevice.InputStream = Busy
    microphone = Microphone(sounddevice=sounddevice)
    with pytest.raises(DeviceError, match=r"'USB mic' does not open at 48000 Hz: Device unavailable$"):
        microphone.__enter__()
    assert Busy.latest.is_closed


def test_the_list_shows_inputs_and_marks_the_default():
    lines = list_devices(sounddevice=fake_sounddevice())
    assert lines == [
        "*  0  USB mic  (1 channels, 48000 Hz, ALSA)",
        "   1  Interface  (2 channels, 44100 Hz, ALSA)",
    ]


def test_devices_are_numbers_or_names():
    assert [parse_device(text) for text in ("3", "usb", None, 3, "3 usb")] == [3, "usb", None, 3, "3 usb"]


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError) as caught:
        import_sounddevice()
    assert caught.value.hint == 'pip install "lottery-asr[mic]"'


def test_a_missing_portaudio_names_the_package(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(DeviceError, match="PortAudio library is missing") as caught:
        import_sounddevice()
    assert "apt install libportaudio2" in caught.value.hint
