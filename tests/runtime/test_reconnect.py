"""A microphone that vanishes, comes back, or is silent without end, on a stand-in for sounddevice and a clock."""

import threading

import numpy as np
import pytest

from runtime.errors import DeviceError
from runtime.microphone import STALL_S, Microphone
from tests.runtime.fake_sounddevice import MONO, STEREO_ONLY, FakeStream, PortAudioError, fake_sounddevice


def test_an_unplugged_microphone_ends_with_an_error_after_its_last_block():
    microphone = Microphone(sounddevice=fake_sounddevice(), reconnect_s=0)
    heard = []
    with microphone:
        FakeStream.latest.deliver(np.zeros(480))
        FakeStream.latest.active = False
        with pytest.raises(DeviceError, match="stopped"):
            heard.extend(microphone.blocks())
        assert microphone._queue.is_closed


class Clock:
    """time.monotonic and time.sleep of a world that moves only when told to."""

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("runtime.microphone.time", clock)
    return clock


def unplug(sounddevice, microphone, clock):
    """Let the device vanish; return blocks() after its first empty block."""
    FakeStream.latest.active = False

    class Refusing(FakeStream):
        def start(self):
            raise PortAudioError("Device unavailable")

    sounddevice.InputStream = Refusing
    blocks = microphone.blocks()
    assert len(next(blocks)) == 0
    assert microphone.is_lost
    return blocks


def test_a_microphone_that_comes_back_is_opened_again_and_the_gap_is_counted(clock):
    sounddevice = fake_sounddevice()
    with Microphone(sounddevice=sounddevice, reconnect_s=30) as microphone:
        FakeStream.latest.deliver(np.full(480, 0.1))
        first = next(microphone.blocks())
        blocks = unplug(sounddevice, microphone, clock)
        clock.now_s += 4.0
        assert len(next(blocks)) == 0
        sounddevice.InputStream = FakeStream
        clock.now_s += 1.0
        threading.Timer(0.3, lambda: FakeStream.latest.deliver(np.full(480, 0.2))).start()
        second = next(block for block in blocks if len(block))
        assert not microphone.is_lost
        assert (microphone.num_gaps, microphone.gap_s) == (1, 5.0)
    assert (first[0], second[0]) == (pytest.approx(0.1), pytest.approx(0.2))


def test_a_microphone_that_stays_away_ends_with_an_error(clock):
    sounddevice = fake_sounddevice()
    with Microphone(sounddevice=sounddevice, reconnect_s=30) as microphone:
        blocks = unplug(sounddevice, microphone, clock)
        clock.now_s += 29.9
        assert len(next(blocks)) == 0
        clock.now_s += 0.1
        with pytest.raises(DeviceError, match="was it unplugged"):
            list(blocks)
        assert microphone.num_gaps == 0


def test_waiting_for_a_lost_microphone_can_be_stopped(clock):
    sounddevice = fake_sounddevice()
    with Microphone(sounddevice=sounddevice) as microphone:
        blocks = unplug(sounddevice, microphone, clock)
        microphone.stop()
        assert list(blocks) == []


def test_a_device_that_is_open_and_silent_without_end_is_opened_again(clock):
    with Microphone(sounddevice=fake_sounddevice()) as microphone:
        stuck = FakeStream.latest
        clock.now_s += STALL_S
        blocks = microphone.blocks()
        threading.Timer(0.3, lambda: FakeStream.latest.deliver(np.full(480, 0.2))).start()
        assert len(next(block for block in blocks if len(block))) == 480
        assert stuck.is_closed
        assert stuck is not FakeStream.latest
        assert (microphone.num_gaps, microphone.gap_s) == (1, STALL_S)


def test_a_device_that_got_another_number_is_found_by_its_name(clock):
    """PortAudio keeps its list of devices until it is started anew."""
    devices = [STEREO_ONLY, MONO]
    sounddevice = fake_sounddevice(devices)
    with Microphone("USB", sounddevice=sounddevice) as microphone:
        blocks = unplug(sounddevice, microphone, clock)
        opened = []

        class Picky(FakeStream):
            def __init__(self, *, device, **options):
                super().__init__(device=device, **options)
                opened.append(device)
                if device != 0:
                    raise PortAudioError("Invalid device")

        def initialize():
            devices[:] = [MONO, STEREO_ONLY]

        sounddevice.InputStream, sounddevice._terminate, sounddevice._initialize = Picky, lambda: None, initialize
        clock.now_s += 1.0
        threading.Timer(0.3, lambda: FakeStream.latest.deliver(np.full(480, 0.2))).start()
        assert len(next(block for block in blocks if len(block))) == 480
    assert opened == [0], "never under its old number, which is another device's now"
