"""lottery-listen --doctor: records a few seconds, judges what came, times the model, and names the fix of a fault."""

import time
from dataclasses import dataclass
from enum import Enum

import numpy as np

from runtime.gate import level_db
from runtime.microphone import Microphone

RECORD_S = 5.0
_BLOCK_S = 0.03
# float32 samples of a converter at its limit; a few are a knock on the desk.
_CLIP_LEVEL = 0.995
_MAX_CLIPPED_SHARE = 1e-4
_TOO_QUIET_DB = -45.0
_TOO_NOISY_DB = 15.0
_MAX_OFFSET = 0.02
_MAX_RATE_ERROR = 0.05
_MIN_SPEECH_RATE_HZ = 16000
# Power above 4 kHz beside all of it, where the codec of a telephone leaves nothing.
_NARROW_BAND_DB = -55.0
_COMFORTABLE_RTF, _POSSIBLE_RTF = 0.5, 1.0


class Verdict(Enum):
    """How a check came out."""

    GOOD = "ok"
    POOR = "poor"
    BAD = "BAD"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding.

    Args:
        name: what was checked.
        verdict: GOOD; POOR works with errors; BAD does not work.
        found: what was found, with units.
        fix: what to do about it; "" for GOOD.
    """

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a microphone delivered.

    Args:
        samples: float32 (n,), mono, ±1.
        sample_rate_hz: as promised.
        wall_s: seconds it recorded.
        num_overflows, dropped_s: see Source.
    """

    samples: np.ndarray
    sample_rate_hz: int
    wall_s: float
    num_overflows: int = 0
    dropped_s: float = 0.0


def record(microphone, *, seconds=RECORD_S):
    """Record a Sample.

    Args:
        microphone: a Source that has not begun.
        seconds: of time, whatever the device delivers.
    Raises:
        DeviceError: it does not open, or vanished.
    """
    heard, begin_s, arrived_s = [], None, 0.0
    with microphone:
        for block in microphone.blocks():
            # What waits behind the block came since: a program that is late is not a fault of the device's clock.
            arrived_s = time.monotonic() - microphone.behind_s
            # Nor is the time that a device takes to wake up.
            if begin_s is None:
                begin_s = arrived_s
            else:
                heard.append(block)
            if microphone.is_lost or arrived_s - begin_s >= seconds:
                break
    return Sample(
        samples=np.concatenate([np.zeros(0, np.float32), *heard]),
        sample_rate_hz=microphone.sample_rate_hz,
        wall_s=arrived_s - (begin_s or 0.0),
        num_overflows=microphone.num_overflows,
        dropped_s=microphone.dropped_s,
    )


def judge(sample):
    """Return the Checks of a Sample: rate, losses, level, clipping, noise, band."""
    checks = [_rate(sample), _losses(sample)]
    if not len(sample.samples) or not sample.samples.any():
        silent = Check(
            name="level",
            verdict=Verdict.BAD,
            found="digital silence: every sample is 0",
            fix="unmute the microphone, allow this program to use it in the system's privacy settings, or choose "
            "another: lottery-listen --list-devices",
        )
        return [*checks, silent]
    return [*checks, _level(sample), _clipping(sample), _noise(sample), _band(sample)]


def _rate(sample):
    delivered_hz = len(sample.samples) / sample.wall_s if sample.wall_s else 0.0
    found = f"{sample.sample_rate_hz} Hz promised, {delivered_hz:.0f} Hz came"
    if abs(delivered_hz / sample.sample_rate_hz - 1) > _MAX_RATE_ERROR:
        fix = "the text will be wrong: try another --rate (48000, 44100, 16000), another USB port, or another device"
        return Check(name="sample rate", verdict=Verdict.BAD, found=found, fix=fix)
    if sample.sample_rate_hz < _MIN_SPEECH_RATE_HZ:
        fix = "speech needs 16000 Hz: try --rate 16000; a Bluetooth headset may have a mode with more"
        return Check(name="sample rate", verdict=Verdict.POOR, found=found, fix=fix)
    return Check(name="sample rate", verdict=Verdict.GOOD, found=found)


def _losses(sample):
    found = f"{sample.num_overflows} overflows, {sample.dropped_s:.1f} s dropped"
    if sample.num_overflows or sample.dropped_s:
        fix = "close other programs; on a small board, use another USB port or power supply"
        return Check(name="lost audio", verdict=Verdict.POOR, found=found, fix=fix)
    return Check(name="lost audio", verdict=Verdict.GOOD, found=found)


def _block_levels_db(sample):
    length = max(1, round(_BLOCK_S * sample.sample_rate_hz))
    blocks = [sample.samples[start : start + length] for start in range(0, len(sample.samples), length)]
    return np.array([level_db(block) for block in blocks])


def _level(sample):
    speech_db = float(np.quantile(_block_levels_db(sample), 0.95))
    offset = float(sample.samples.mean())
    found = f"loudest parts at {speech_db:.0f} dB below full scale"
    if speech_db < _TOO_QUIET_DB:
        fix = "speak while it records; turn the input level up in the system's sound settings, or come closer"
        return Check(name="level", verdict=Verdict.POOR, found=found.replace("at -", "at "), fix=fix)
    if abs(offset) > _MAX_OFFSET:
        fix = "a constant offset wastes the converter's range: try another input or sound card"
        return Check(name="level", verdict=Verdict.POOR, found=f"constant offset of {offset:+.3f}", fix=fix)
    return Check(name="level", verdict=Verdict.GOOD, found=found.replace("at -", "at "))


def _clipping(sample):
    share = float((np.abs(sample.samples) >= _CLIP_LEVEL).mean())
    found = f"{share:.2%} of the samples at the limit"
    if share > _MAX_CLIPPED_SHARE:
        fix = "turn the input level down, or switch the microphone boost off, in the system's sound settings"
        return Check(name="clipping", verdict=Verdict.POOR, found=found, fix=fix)
    return Check(name="clipping", verdict=Verdict.GOOD, found=found)


def _noise(sample):
    levels = _block_levels_db(sample)
    distance_db = float(np.quantile(levels, 0.95) - np.quantile(levels, 0.1))
    found = f"speech {distance_db:.0f} dB above the room"
    if distance_db < _TOO_NOISY_DB:
        fix = "speak while it records, with pauses; else come closer, or away from fans and music"
        return Check(name="noise", verdict=Verdict.POOR, found=found, fix=fix)
    return Check(name="noise", verdict=Verdict.GOOD, found=found)


def _band(sample):
    power = np.abs(np.fft.rfft(sample.samples - sample.samples.mean())) ** 2
    hz = np.fft.rfftfreq(len(sample.samples), 1 / sample.sample_rate_hz)
    share_db = 10 * np.log10(max(power[hz > 4000].sum() / max(power.sum(), 1e-20), 1e-12))
    if share_db < _NARROW_BAND_DB:
        fix = "this is a telephone's sound: take a Bluetooth headset out of call mode, or use a wired microphone"
        return Check(name="band", verdict=Verdict.POOR, found="nothing above 4 kHz", fix=fix)
    return Check(name="band", verdict=Verdict.GOOD, found=f"above 4 kHz {share_db:.0f} dB of the whole")


def check_speed(recognizer):
    """Time the bundle on ten seconds of a speech-like signal: processor against audio."""
    from runtime.latency import time_clip
    from runtime.synthetic import speech_like

    samples = speech_like()
    time_clip(recognizer, samples=samples)
    timing = time_clip(recognizer, samples=samples)
    return judge_speed(timing.wall_s / timing.audio_s)


def judge_speed(rtf):
    """Return the Check of a real-time factor: seconds of work a second of audio."""
    found = f"real-time factor {rtf:.3f}"
    fix = "use --precision int8, a smaller ticket (lottery-bench compares them), or a faster machine"
    if rtf >= _POSSIBLE_RTF:
        return Check(name="speed", verdict=Verdict.BAD, found=f"{found}: slower than speech", fix=fix)
    if rtf >= _COMFORTABLE_RTF:
        return Check(name="speed", verdict=Verdict.POOR, found=f"{found}: little to spare", fix=fix)
    return Check(name="speed", verdict=Verdict.GOOD, found=found)


def examine(device=None, *, sample_rate_hz=None, recognizer=None, seconds=RECORD_S, say=lambda text: None):
    """Examine a microphone and, where there is one, a recognizer.

    Args:
        device, sample_rate_hz: see Microphone.
        recognizer: Recognizer whose speed is checked, or None.
        seconds: to record.
        say: called with what the user shall do.
    Returns:
        list of Check, in the order to mend them.
    Raises:
        LotteryError: there is no microphone, or it does not open; message and hint are the finding.
    """
    microphone = Microphone(device, sample_rate_hz=sample_rate_hz, reconnect_s=0)
    found = f"{microphone.name} ({microphone.max_channels} channels)"
    checks = [Check(name="device", verdict=Verdict.GOOD, found=found)]
    say(f"recording {seconds:g} s from {microphone.name}: say a sentence, with a pause before and behind")
    checks += judge(record(microphone, seconds=seconds))
    return checks + ([check_speed(recognizer)] if recognizer is not None else [])


def report(checks):
    """Return Checks as lines of text, the fix below each fault."""
    lines = []
    for check in checks:
        lines.append(f"{check.verdict.value:5s} {check.name}: {check.found}")
        lines += [f"      fix: {check.fix}"] if check.fix else []
    return "\n".join(lines)
