"""The microphone through PortAudio, from a virtual device: samples, text, a device that vanishes, a reader too slow."""

import json
import signal
import time

import numpy as np
import pytest
import soxr

from runtime.recognizer import Recognizer
from runtime.source import QUEUE_S
from runtime.synthetic import speech_like
from tests.live.virtual_microphone import listening
from tests.tiny_bundle import speak

RATES = (16000, 44100, 48000)


def wait_for(process, kind, **fields):
    """Read events until one of this type and with these fields comes; return it."""
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == kind and fields.items() <= event.items():
            return event
    raise AssertionError(f"no {kind} event; stderr: {process.stderr.read()}")


def end(process):
    """Press Ctrl-C; return the events that are left and what stands on stderr."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return [json.loads(line) for line in out.splitlines()], err


def noise(num_samples, *, num_channels=1, seed=0):
    """Return samples on the 16-bit grid, never 0."""
    values = np.random.default_rng(seed).integers(1, 9000, (num_samples, num_channels))
    return values / 32768


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("speed", [1, 8])
def test_every_sample_arrives(virtual_microphone, tmp_path, rate, num_channels, speed):
    said = noise(rate, num_channels=num_channels)
    with virtual_microphone(sample_rate_hz=rate, num_channels=num_channels, speed=speed) as microphone:
        arguments = (microphone.device, rate, len(said), tmp_path / "heard.npy")
        with listening(microphone, *arguments, module="tests.live.record") as process:
            assert process.stdout.readline() == "ready\n"
            microphone.play(said)
            out, err = process.communicate(timeout=60)
    assert out == f"0 0.0 {rate}\n", err
    heard = np.load(tmp_path / "heard.npy")
    # One channel is bit-exact; two are averaged by the sound server, which may round to its 16 bits.
    tolerance = 0 if num_channels == 1 else 1 / 32768
    assert heard == pytest.approx(said.mean(axis=1), abs=tolerance, rel=0)


@pytest.mark.parametrize(("rate", "num_channels"), [(16000, 1), (44100, 2), (48000, 1), (48000, 2)])
@pytest.mark.parametrize("is_native", [True, False], ids=["own rate", "default rate"])
def test_speech_becomes_text_at_every_rate(virtual_microphone, bundle, rate, num_channels, is_native):
    first, second = (speak(text, sample_rate_hz=rate) for text in ("cab bad", " dead bee"))
    samples = np.concatenate([first, np.zeros(2 * rate), second])
    with virtual_microphone(sample_rate_hz=rate, num_channels=num_channels, speed=4) as microphone:
        arguments = [bundle, "--device", microphone.device, "--jsonl", *(["--rate", rate] if is_native else [])]
        with listening(microphone, *arguments) as process:
            start = wait_for(process, "start")
            # 44100 is what PortAudio says of any device behind PulseAudio.
            assert start["sample_rate_hz"] == (rate if is_native else 44100)
            microphone.play(samples)
            lines = [wait_for(process, "final")["text"] for _ in range(2)]
            (*_, last), _ = end(process)
    assert lines == ["cab bad", "dead bee"]
    assert " ".join(lines) == Recognizer(bundle).transcribe(samples, sample_rate_hz=rate).text
    assert (last["num_overflows"], last["dropped_s"], last["num_gaps"]) == (0, 0, 0)


def test_a_device_that_vanishes_and_comes_back_is_opened_again(virtual_microphone, bundle):
    with virtual_microphone() as microphone:
        arguments = (bundle, "--device", microphone.device, "--rate", 16000, "--jsonl")
        with listening(microphone, *arguments) as process:
            wait_for(process, "start")
            microphone.play(speak("cab bad"))
            wait_for(process, "partial", text="cab bad")
            microphone.unplug()
            final = wait_for(process, "final")
            assert (final["text"], final["reason"]) == ("cab bad", "gap"), "what was said before is not lost"
            lost = wait_for(process, "device_lost")
            microphone.plug()
            found = wait_for(process, "device_found")
            assert found["gap_s"] > 0
            assert found["at_s"] == lost["at_s"], "times are positions in what was recorded"
            microphone.play(speak("dead bee"))
            final = wait_for(process, "final")
            assert (final["text"], final["reason"]) == ("dead bee", "silence")
            assert final["start_s"] > found["at_s"]
            (*_, last), err = end(process)
    assert (last["num_gaps"], last["gap_s"], last["dropped_s"]) == (1, found["gap_s"], 0)


@pytest.mark.parametrize("is_whole_server", [False, True], ids=["device", "sound server"])
def test_a_device_that_stays_away_ends_with_an_error_and_the_last_words(virtual_microphone, bundle, is_whole_server):
    with virtual_microphone() as microphone:
        arguments = (bundle, "--device", microphone.device, "--rate", 16000, "--jsonl", "--reconnect", 1)
        with listening(microphone, *arguments) as process:
            wait_for(process, "start")
            microphone.play(speak("cab bad"))
            wait_for(process, "partial", text="cab bad")
            (microphone.end_server if is_whole_server else microphone.unplug)()
            out, err = process.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 2
    assert [event["text"] for event in events if event["type"] == "final"] == ["cab bad"]
    assert events[-1]["type"] == "end"
    # PortAudio writes lines of its own to stderr.
    assert "error: microphone 'vmic' stopped: was it unplugged?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("is_muted", [True, False])
def test_the_doctor_hears_what_the_device_gives(virtual_microphone, bundle, is_muted):
    with virtual_microphone(sample_rate_hz=48000) as microphone:
        arguments = (bundle, "--doctor", "--device", microphone.device, "--rate", 48000)
        with listening(microphone, *arguments) as process:
            if not is_muted:
                speech = np.concatenate([np.zeros(16000), speech_like(10.0)])
                room = np.random.default_rng(0).normal(0, 1e-4, 3 * len(speech))
                microphone.play(soxr.resample(speech, 16000, 48000) + room)
            out, err = process.communicate(timeout=60)
    found = {line[6:].partition(":")[0]: line[:5].strip() for line in out.splitlines() if "fix:" not in line}
    assert found.pop("speed") in ("ok", "poor", "BAD"), "that is the machine's affair"
    # The feeder is this device's clock, and a busy machine makes it late and then fast.
    assert found.pop("sample rate") in ("ok", "BAD"), "that is the machine's affair too"
    if is_muted:
        assert found == {"device": "ok", "lost audio": "ok", "level": "BAD"}
        assert "fix: unmute" in out
        assert process.returncode == 2
    else:
        assert set(found.values()) == {"ok"}, out
        assert {"device", "lost audio", "level", "clipping", "noise", "band"} == set(found)
    assert "recording 5 s from vmic" in err


def test_what_nobody_took_does_not_come_all_at_once(virtual_microphone, bundle):
    """More than the queue holds was said before anybody listened: a device does not keep it."""
    with virtual_microphone(speed=8) as microphone:
        time.sleep(2 * QUEUE_S / 8)
        arguments = (bundle, "--device", microphone.device, "--rate", 16000, "--jsonl")
        with listening(microphone, *arguments) as process:
            wait_for(process, "start")
            microphone.play(speak("cab bad"))
            assert wait_for(process, "final")["text"] == "cab bad"
            (*_, last), _ = end(process)
    assert last["dropped_s"] == 0


_SLOW = """
import sys, time
from runtime import listen, session
step = session.OrtSession.step
def slow_step(self, x_NTF, state):
    time.sleep({step_s})
    return step(self, x_NTF, state)
session.OrtSession.step = slow_step
sys.exit(listen.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("is_json", [True, False])
def test_a_reader_slower_than_speech_drops_counts_and_says_so(virtual_microphone, bundle, tmp_path, is_json):
    """Half the speed of what is said: the queue fills, stays bounded, and every second is accounted for."""
    (tmp_path / "slow_listen.py").write_text(_SLOW.format(step_s=2 * 0.16 / 8))
    with virtual_microphone(speed=8) as microphone:
        microphone.environment["PYTHONPATH"] = str(tmp_path)
        arguments = [bundle, "--device", microphone.device, "--rate", 16000, *(["--jsonl"] if is_json else [])]
        begin_s = microphone.position_s
        with listening(microphone, *arguments, module="slow_listen") as process:
            if is_json:
                wait_for(process, "start")
            else:
                assert process.stderr.readline().startswith("listening to")
            opened_s = microphone.position_s
            microphone.play(np.tile(speak("cab bad "), 25))
            microphone.wait()
            done_s = microphone.position_s
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    if not is_json:
        assert "dropped because this machine did not keep up" in err
        assert "s behind what was being said" in err
        return
    last = json.loads(out.splitlines()[-1])
    assert last["num_overflows"] == 0, "the callback itself is never late"
    assert last["dropped_s"] > 5
    assert QUEUE_S / 2 < last["most_behind_s"] <= QUEUE_S + 0.05
    # What is in the sound server's own buffers when it ends was never delivered.
    assert done_s - opened_s - 5 < last["heard_s"] + last["dropped_s"] < microphone.position_s - begin_s
