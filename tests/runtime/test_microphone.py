"""The microphone on a stand-in for sounddevice, the replay that plays its part, and the queue between."""

import sys
import threading
import time
import types

import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, DeviceError, LotteryError, MissingExtraError
from runtime.microphone import STALL_S, Microphone, ReplaySource, import_sounddevice, list_devices, parse_device
from runtime.source import BlockQueue
from tests.tiny_bundle import speak

STEREO_ONLY = {"name": "Interface", "max_input_channels": 2, "default_samplerate": 44100.0, "hostapi": 0}
MONO = {"name": "USB mic", "max_input_channels": 1, "default_samplerate": 48000.0, "hostapi": 0}
SPEAKER = {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48000.0, "hostapi": 0}


class PortAudioError(Exception):
    pass


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
    with pytest.raises(DeviceError, match="no microphone found"):
        Microphone(sounddevice=fake_sounddevice(devices=(SPEAKER,), default=-1))
    with pytest.raises(DeviceError, match="no microphone found"):
        list_devices(sounddevice=fake_sounddevice(devices=(SPEAKER,)))


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


@pytest.fixture
def clip(tmp_path):
    samples = speak("cab", sample_rate_hz=44100)
    soundfile.write(tmp_path / "clip.wav", samples, 44100, subtype="FLOAT")
    return tmp_path / "clip.wav", samples


@pytest.mark.parametrize("speed", [0, 50])
def test_a_replay_delivers_the_file_through_the_queue(clip, speed):
    path, samples = clip
    with ReplaySource(path, speed=speed) as source:
        assert source.sample_rate_hz == 44100
        blocks = list(source.blocks())
    assert max(map(len, blocks)) == round(0.03 * 44100)
    assert np.array_equal(np.concatenate(blocks), samples)
    assert (source.num_overflows, source.dropped_s) == (0, 0)


def test_a_replay_keeps_the_pace_of_a_microphone(clip):
    path, samples = clip
    begin = time.monotonic()
    with ReplaySource(path, speed=4) as source:
        list(source.blocks())
    # Never early: that is what pacing promises. How late depends on the machine.
    assert time.monotonic() - begin >= len(samples) / 44100 / 4


def test_a_replay_drops_like_a_microphone_when_nobody_reads(clip):
    path, samples = clip
    with ReplaySource(path, speed=1000, queue_s=0.3) as source:
        source._thread.join()
        assert source.behind_s == pytest.approx(0.3)
        blocks = list(source.blocks())
    kept = np.concatenate(blocks)
    assert len(blocks) == 10
    assert np.array_equal(kept, samples[: len(kept)])
    assert source.dropped_s > 0.3


def test_an_unpaced_replay_waits_for_its_reader(clip):
    path, samples = clip
    heard = []
    with ReplaySource(path, speed=0, queue_s=0.06) as source:
        for block in source.blocks():
            time.sleep(0.001)
            heard.append(block)
            assert source.behind_s == 0, "as fast as it goes is never late"
    assert np.array_equal(np.concatenate(heard), samples)
    assert source.dropped_s == 0


@pytest.mark.parametrize("speed", [0, 0.1])
def test_a_replay_can_be_stopped(clip, speed):
    path, _ = clip
    before = threading.active_count()
    with ReplaySource(path, speed=speed, queue_s=0.06) as source:
        next(source.blocks())
        source.stop()
        list(source.blocks())
    assert threading.active_count() == before


def test_a_replay_of_a_damaged_file_ends_with_its_error(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 64000)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    heard = []
    with ReplaySource(tmp_path / "a.flac", speed=0) as source, pytest.raises(AudioError, match="a.flac"):
        heard.extend(source.blocks())
    assert sum(map(len, heard)) > 10000


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_an_impossible_speed_is_refused(clip, speed):
    with pytest.raises(LotteryError, match="speed"):
        ReplaySource(clip[0], speed=speed)


def test_the_queue_waits_no_longer_than_told_and_ends_when_closed():
    queue = BlockQueue(2)
    assert queue.get(timeout_s=0.01) is None
    queue.put("a")
    queue.close(DeviceError("gone"))
    queue.put("b")
    assert queue.get(timeout_s=10) == "a"
    assert queue.get(timeout_s=10) is None
    with pytest.raises(DeviceError, match="gone"):
        queue.raise_error()


def test_the_queue_wakes_a_waiting_reader():
    queue, heard = BlockQueue(2), []
    reader = threading.Thread(target=lambda: heard.append(queue.get(timeout_s=60)))
    reader.start()
    queue.put("a")
    reader.join(timeout=30)
    assert heard == ["a"]
