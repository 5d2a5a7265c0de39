"""A live session end to end on sources of our own: the gate, gaps, what is kept, and text that does not flicker."""

import itertools
import json
import sys

import numpy as np
import pytest
import soundfile

from runtime import listen, transcribe
from runtime.endpoint import EndpointRules
from runtime.events import JsonLines
from runtime.gate import EnergyGate
from runtime.recognizer import Recognizer
from runtime.source import Source
from tests.tiny_bundle import speak, write_tiny_bundle

RATE = 16000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("conversation") / "bundle")


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


@pytest.fixture
def talk(tmp_path):
    """Three lines with long pauses between."""
    pieces = [silence(7), speak("cab bad"), silence(12), speak(" dead bee"), silence(15), speak(" ace")]
    soundfile.write(tmp_path / "talk.wav", np.concatenate(pieces), RATE, subtype="PCM_16")
    return tmp_path / "talk.wav"


def events_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(*arguments):
    assert listen.main([str(argument) for argument in arguments]) == 0


def finals(events):
    return [event for event in events if event["type"] == "final"]


def test_the_gate_spares_the_recogniser_and_loses_no_word(bundle, talk, capsys):
    run(bundle, "--replay", talk, "--speed", 0, "--jsonl")
    *without, end = events_of(capsys)
    assert end["recognised_s"] == end["heard_s"]
    run(bundle, "--replay", talk, "--speed", 0, "--jsonl", "--gate")
    *gated, end = events_of(capsys)
    assert end["recognised_s"] < end["heard_s"] / 2
    assert [line["text"] for line in finals(gated)] == ["cab bad", "dead bee", "ace"]
    expected, found = (
        [(word["start_s"], word["end_s"]) for line in finals(events) for word in line["words"]]
        for events in (without, gated)
    )
    # A stream that begins at a block of 30 ms has its frames of 40 ms elsewhere.
    assert np.abs(np.array(expected) - np.array(found)).max() <= 0.081
    switches = [event["is_open"] for event in gated if event["type"] == "gate"]
    assert switches == [False, True, False, True, False, True]
    assert [line["reason"] for line in finals(gated)] == ["silence", "silence", "end"], "the rule is before the gate"


def test_a_gate_that_closes_early_ends_the_line(bundle, capsys):
    source = Interrupted([np.concatenate([speak("cab bad"), silence(3)])])
    gate = EnergyGate(hang_s=0.3, pre_roll_s=0.5)
    events = hear(source, bundle, capsys, gate=gate)
    (line,) = finals(events)
    assert (line["text"], line["reason"]) == ("cab bad", "gate")


def test_what_is_kept_is_what_was_heard(bundle, talk, tmp_path, capsys):
    run(bundle, "--replay", talk, "--speed", 0, "--save", tmp_path / "kept")
    lines = capsys.readouterr().out.splitlines()
    (audio,), (manifest,) = ((tmp_path / "kept").glob(pattern) for pattern in ("*.flac", "*.jsonl"))
    assert np.array_equal(soundfile.read(audio, dtype="int16")[0], soundfile.read(talk, dtype="int16")[0])
    kept = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [each["text"] for each in kept] == lines == ["cab bad", "dead bee", "ace"]


def test_with_a_gate_only_what_passes_is_kept(bundle, talk, tmp_path, capsys):
    run(bundle, "--replay", talk, "--speed", 0, "--save", tmp_path / "kept", "--gate", "--jsonl")
    end = events_of(capsys)[-1]
    (audio,), (manifest,) = ((tmp_path / "kept").glob(pattern) for pattern in ("*.flac", "*.jsonl"))
    samples, rate = soundfile.read(audio, dtype="float32")
    assert len(samples) / rate == pytest.approx(end["recognised_s"], abs=0.001)
    recognizer = Recognizer(bundle)
    for each in map(json.loads, manifest.read_text().splitlines()):
        begin = round(each["offset"] * rate)
        assert recognizer.transcribe(samples[begin : begin + round(each["duration"] * rate)]).text == each["text"]


def test_timestamps_are_those_of_the_file(bundle, talk, capsys):
    assert transcribe.main([str(bundle), str(talk), "--timestamps"]) == 0
    expected = capsys.readouterr().out
    run(bundle, "--replay", talk, "--speed", 0, "--timestamps")
    assert capsys.readouterr().out == expected
    assert expected.count("\n") == 5


def test_a_settled_word_is_never_shown_otherwise(bundle, talk, capsys):
    run(bundle, "--replay", talk, "--speed", 0, "--jsonl")
    shown = [event for event in events_of(capsys) if event["type"] in ("partial", "final")]
    assert max(event.get("num_stable_words", 0) for event in shown) == 2
    for before, after in itertools.pairwise(shown):
        if before["type"] == "partial":
            count = before["num_stable_words"]
            assert after["words"][:count] == before["words"][:count]


class Interrupted(Source):
    """A source that plays pieces; between two of them its device is away for five seconds."""

    def __init__(self, pieces):
        super().__init__("test", sample_rate_hz=RATE, block_s=0.03, queue_s=1000)
        self._pieces = list(pieces)

    def _start(self):
        piece = self._pieces.pop(0)
        for start in range(0, len(piece), 480):
            self._queue.put(piece[start : start + 480])

    def _check_alive(self):
        if not self._pieces:
            self.stop()
        elif not self.is_lost:
            self.is_lost = True
        else:
            self.is_lost = False
            self.num_gaps += 1
            self.gap_s += 5.0
            self._start()


def hear(source, bundle, capsys, **options):
    display = JsonLines(out=sys.stdout, status=sys.stderr)
    listen.listen(source, recognizer=Recognizer(bundle), rules=EndpointRules(), display=display, **options)
    return events_of(capsys)


def test_a_gap_ends_the_line_and_is_told_and_times_go_on_in_what_was_recorded(bundle, capsys):
    first, second = speak("cab bad")[:-1500], speak("dead bee")
    events = hear(Interrupted([first, second]), bundle, capsys)
    kinds = [event["type"] for event in events if event["type"] != "partial"]
    assert kinds == ["start", "final", "device_lost", "device_found", "final", "end"]
    before, after = finals(events)
    assert (before["text"], before["reason"]) == ("cab bad", "gap")
    assert (after["text"], after["reason"]) == ("dead bee", "end")
    found = next(event for event in events if event["type"] == "device_found")
    assert found == {
        "type": "device_found",
        "source": "test",
        "at_s": pytest.approx(len(first) / RATE, abs=0.001),
        "gap_s": 5.0,
    }
    expected = Recognizer(bundle).transcribe(second).words[0].start_s + len(first) / RATE
    assert after["start_s"] == pytest.approx(expected, abs=0.001)
    assert (events[-1]["num_gaps"], events[-1]["gap_s"]) == (1, 5.0)
    assert events[-1]["heard_s"] == pytest.approx((len(first) + len(second)) / RATE, abs=0.001)


def test_what_a_gate_held_back_before_a_gap_is_not_joined_to_what_follows(bundle, capsys):
    word = speak("dead")
    events = hear(Interrupted([silence(6), word]), bundle, capsys, gate=EnergyGate(hang_s=1.0, pre_roll_s=0.6))
    assert [event["text"] for event in finals(events)] == ["dead"]
    assert events[-1]["num_gaps"] == 1
    # The gate begins open for a second; of the word everything is heard, and nothing of the silence before the gap.
    assert events[-1]["recognised_s"] == pytest.approx(1.0 + len(word) / RATE, abs=0.05)
