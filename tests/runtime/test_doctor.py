"""The doctor's findings on recordings whose fault we made ourselves."""

import numpy as np
import pytest

from runtime.doctor import Sample, Verdict, judge, judge_speed, record, report
from runtime.source import Source
from runtime.synthetic import speech_like

RATE = 16000


def healthy(seconds=5.0):
    """Return speech at -20 dB with pauses, in a quiet room, with the hiss of speech above 4 kHz."""
    samples = speech_like(seconds)
    room = np.random.default_rng(0).normal(0, 1e-4, len(samples))
    samples[: RATE // 2] = 0
    samples[-RATE:] = 0
    return (samples + room).astype(np.float32)


def sample(samples, **fields):
    clean = {"sample_rate_hz": RATE, "wall_s": len(samples) / RATE}
    return Sample(samples=np.asarray(samples, np.float32), **{**clean, **fields})


def faults(recording):
    return {check.name: check.verdict for check in judge(recording) if check.verdict is not Verdict.GOOD}


def low_passed(samples):
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > 3400] = 0
    return np.fft.irfft(spectrum, len(samples))


def test_a_good_microphone_has_no_fault():
    checks = judge(sample(healthy()))
    assert {check.verdict for check in checks} == {Verdict.GOOD}
    assert [check.name for check in checks] == ["sample rate", "lost audio", "level", "clipping", "noise", "band"]
    assert not any(check.fix for check in checks)


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (sample(np.zeros(5 * RATE)), {"level": Verdict.BAD}),
        (sample(0.01 * healthy()), {"level": Verdict.POOR}),
        (sample(healthy() + 0.1), {"level": Verdict.POOR}),
        (sample(np.clip(8 * healthy(), -1, 1)), {"clipping": Verdict.POOR}),
        (sample(healthy() + 0.05 * np.random.default_rng(1).normal(size=5 * RATE)), {"noise": Verdict.POOR}),
        (sample(low_passed(healthy())), {"band": Verdict.POOR}),
        (sample(healthy(), num_overflows=2), {"lost audio": Verdict.POOR}),
        (sample(healthy(), dropped_s=0.3), {"lost audio": Verdict.POOR}),
        (sample(healthy(), wall_s=10.0), {"sample rate": Verdict.BAD}),
        (sample(healthy(), sample_rate_hz=14700), {"sample rate": Verdict.BAD}),
        (sample(np.zeros(0), wall_s=5.0), {"sample rate": Verdict.BAD, "level": Verdict.BAD}),
    ],
    ids=[*"abcdefghijk"],
)
def test_each_fault_is_found_alone_and_has_a_fix(recording, expected):
    assert faults(recording) == expected
    assert all(check.fix for check in judge(recording) if check.verdict is not Verdict.GOOD)


def test_a_telephones_rate_is_poor():
    recording = sample(healthy(), sample_rate_hz=8000, wall_s=10.0)
    assert faults(recording)["sample rate"] is Verdict.POOR


@pytest.mark.parametrize(
    ("rtf", "verdict"), [(0.01, Verdict.GOOD), (0.5, Verdict.POOR), (0.99, Verdict.POOR), (1.0, Verdict.BAD)]
)
def test_the_speed_is_judged_by_what_is_left(rtf, verdict):
    assert judge_speed(rtf).verdict is verdict


def test_the_report_names_the_fix_below_each_fault():
    lines = report(judge(sample(np.zeros(5 * RATE)))).splitlines()
    assert lines[0] == "ok    sample rate: 16000 Hz promised, 16000 Hz came"
    assert lines[2].startswith("BAD   level: digital silence")
    assert lines[3].startswith("      fix: unmute")


class Tape(Source):
    """A source that has all of its blocks at once."""

    def __init__(self, samples):
        super().__init__("tape", sample_rate_hz=RATE, block_s=0.03, queue_s=1000)
        self._samples = samples

    def _start(self):
        for start in range(0, len(self._samples), 480):
            self._queue.put(self._samples[start : start + 480])
        self._queue.close()


def test_what_is_judged_is_what_was_recorded():
    samples = healthy()
    recording = record(Tape(samples), seconds=60.0)
    # The first block only starts the clock.
    assert np.array_equal(recording.samples, samples[480:])
    assert (recording.sample_rate_hz, recording.num_overflows, recording.dropped_s) == (RATE, 0, 0)


class Clock:
    """time.monotonic of a world that moves only when told to."""

    now_s = 0.0

    def monotonic(self):
        return self.now_s


class LateReader(Source):
    """A device that delivers in time, to a program that takes its first block and its last ones late."""

    def __init__(self, clock):
        super().__init__("late", sample_rate_hz=RATE, block_s=0.1, queue_s=60.0)
        self._clock, self._waiting_s = clock, 0.0

    def _start(self):
        pass

    def blocks(self):
        for number in range(100):
            late_s = 0.6 if number == 0 or number > 45 else 0.0
            self._clock.now_s, self._waiting_s = 0.1 * number + late_s, late_s
            yield np.full(1600, 0.1, np.float32)

    @property
    def behind_s(self):
        return self._waiting_s


def test_a_program_that_is_late_is_not_a_fault_of_the_devices_clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("runtime.doctor.time", clock)
    recording = record(LateReader(clock), seconds=4.95)
    assert recording.wall_s == pytest.approx(5.0)
    assert len(recording.samples) == 5 * RATE
