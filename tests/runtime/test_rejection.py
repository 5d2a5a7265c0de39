"""What a rejected utterance looks like: in files, live text, events, and kept sessions."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
import soundfile

from runtime import listen, transcribe
from runtime.confidence import Calibration, Logistic
from runtime.console import Console
from runtime.conversation import Reason
from runtime.endpoint import EndpointRules
from runtime.events import JsonLines
from runtime.manifest import Manifest
from runtime.microphone import ReplaySource
from runtime.recognizer import Recognizer, Result, Word
from runtime.recording import Recording
from runtime.stability import Partial, StableText
from tests.tiny_bundle import speak, write_tiny_bundle

DIM, NOT_DIM = "\x1b[2m", "\x1b[22m"
# Two texts at once: words are heard, and no letter is sure.
UNCLEAR = 0.5 * (speak("abcde") + speak("edcba"))
PAUSE = np.zeros(round(1.6 * 16000), np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A calibrated tiny bundle; the confidence of clear tones is above 0.55, of unclear ones below 0.45."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("rejection") / "bundle")
    calibration = Calibration(
        word=Logistic(bias=0.3, weight=0.9), utterance=Logistic(bias=-1.8, weight=-2.0), min_confidence=0.5
    )
    dataclasses.replace(Manifest.load(folder), confidence=calibration).write(folder)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A file of three utterances, of which the second is not clear."""
    path = tmp_path_factory.mktemp("clips") / "mixed.wav"
    soundfile.write(path, np.concatenate([speak("ab cd"), PAUSE, UNCLEAR, PAUSE, speak("bad"), PAUSE]), 16000)
    return str(path)


@pytest.fixture(scope="module")
def unclear(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "unclear.wav"
    soundfile.write(path, UNCLEAR, 16000)
    return str(path)


def run(*arguments):
    return transcribe.main([str(argument) for argument in arguments])


def test_rejected_text_is_an_empty_line_and_a_note(bundle, unclear, capsys):
    assert run(bundle, unclear) == 0
    out, err = capsys.readouterr()
    assert out == "\n"
    assert err.startswith(f"note: {unclear}: 1 not understood, the first at 0.08 s with confidence 0.3")
    assert "--min-confidence 0 " in err
    assert run(bundle, unclear, unclear, "--timestamps") == 0
    assert capsys.readouterr().out == ""


def test_zero_switches_it_off_and_another_value_moves_it(bundle, unclear, mixed, capsys):
    heard = Recognizer(bundle, min_confidence=0).transcribe(UNCLEAR)
    assert run(bundle, unclear, "--min-confidence", "0") == 0
    assert capsys.readouterr() == (f"{heard.text}\n", "")
    assert run(bundle, mixed, "--min-confidence", "1") == 0
    out, err = capsys.readouterr()
    assert out == "\n"
    assert "3 not understood" in err
    for wrong in ("-0.1", "1.5", "nan", "much"):
        with pytest.raises(SystemExit):
            run(bundle, mixed, "--min-confidence", wrong)


def test_every_utterance_of_a_file_is_judged_by_itself(bundle, mixed, capsys):
    assert run(bundle, mixed) == 0
    out, err = capsys.readouterr()
    assert out == "ab cd bad\n"
    assert "1 not understood" in err
    assert run(bundle, mixed, "--timestamps") == 0
    assert [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()] == ["ab", "cd", "bad"]


def test_json_tells_both(bundle, mixed, unclear, capsys):
    assert run(bundle, mixed, unclear, "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["text"], first["is_rejected"]) == ("ab cd bad", False)
    assert [(each["text"], each["is_rejected"]) for each in first["utterances"]] == [
        ("ab cd", False),
        ("", True),
        ("bad", False),
    ]
    assert len(first["words"]) > 3
    low, high = (each["confidence"] for each in first["utterances"][1:])
    assert low < 0.45 < 0.55 < high
    assert (second["text"], second["is_rejected"]) == ("", True)
    assert second["words"]
    assert second["confidence"] == second["utterances"][0]["confidence"]


def test_an_uncalibrated_bundle_can_reject_by_the_mean_of_its_words(tmp_path, unclear, capsys):
    plain = write_tiny_bundle(tmp_path / "plain")
    confidence = Recognizer(plain).transcribe(UNCLEAR).confidence
    assert run(plain, unclear) == 0
    assert capsys.readouterr().out != "\n"
    assert run(plain, unclear, "--min-confidence", min(1.0, confidence + 0.01)) == 0
    assert capsys.readouterr().out == "\n"


def test_a_live_session_prints_what_is_kept(bundle, mixed, capsys):
    assert listen.main([str(bundle), "--replay", mixed, "--speed", "0"]) == 0
    assert capsys.readouterr().out == "ab cd\nbad\n"
    assert listen.main([str(bundle), "--replay", mixed, "--speed", "0", "--min-confidence", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_events_carry_confidence_and_no_text_to_act_upon(bundle, mixed, capsys):
    assert listen.main([str(bundle), "--replay", mixed, "--speed", "0", "--jsonl"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    finals = [event for event in events if event["type"] == "final"]
    assert [(event["text"], event["is_rejected"]) for event in finals] == [
        ("ab cd", False),
        ("", True),
        ("bad", False),
    ]
    assert finals[1]["words"]
    assert finals[1]["confidence"] < 0.5 < finals[2]["confidence"]
    partials = [event for event in events if event["type"] == "partial"]
    assert {event["is_rejected"] for event in partials} == {False, True}
    assert all(event["words"] and not event["text"] for event in partials if event["is_rejected"])


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self):
        return True


def words(text):
    return tuple(Word(text=word, start_s=1.0, end_s=1.4, confidence=0.9) for word in text.split())


def result(text, *, is_rejected):
    return Result(
        text="" if is_rejected else text, words=words(text), ids=(), is_final=True, confidence=0.1,
        is_rejected=is_rejected,
    )  # fmt: skip


def test_the_display_is_dim_until_the_line_is_sure_enough(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((24, 24)))
    out, status = io.StringIO(), Terminal()
    console = Console(out=out, status=status)
    console.partial(Partial(words=words("one"), is_rejected=True))
    assert status.getvalue().endswith(f"{DIM}one{NOT_DIM}\x1b[K")
    console.partial(Partial(words=words("one two"), is_rejected=False))
    assert status.getvalue().endswith(" one two\x1b[K")
    # The escapes take no column: what fits without them fits.
    console.partial(Partial(words=words("one two three four"), is_rejected=True))
    assert status.getvalue().endswith(f"{DIM}one two three four{NOT_DIM}\x1b[K")
    console.partial(Partial(words=words("one two three four five"), is_rejected=True))
    assert status.getvalue().endswith(f"…{DIM} two three four five{NOT_DIM}\x1b[K")
    console.final(result("one two", is_rejected=True), reason=Reason.SILENCE)
    assert status.getvalue().endswith(f"\r\x1b[K{DIM}(not understood){NOT_DIM}\n")
    assert out.getvalue() == ""


def test_a_pipe_gets_neither_marks_nor_rejected_text():
    out, status = io.StringIO(), io.StringIO()
    console = Console(out=out, status=status, has_timestamps=True)
    console.partial(Partial(words=words("one"), is_rejected=True))
    console.final(result("one", is_rejected=True), reason=Reason.SILENCE)
    assert (out.getvalue(), status.getvalue()) == ("", "")


def test_a_line_that_passes_the_threshold_is_an_event_of_its_own():
    out = io.StringIO()
    display = JsonLines(out=out, status=io.StringIO())
    for is_rejected in (True, True, False):
        display.partial(Partial(words=words("one"), num_stable=1, confidence=0.5, is_rejected=is_rejected))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(event["text"], event["is_rejected"], event["confidence"]) for event in events] == [
        ("", True, 0.5),
        ("one", False, 0.5),
    ]


def test_settled_words_bring_the_verdict_of_the_newest_result():
    stable = StableText()
    assert stable.update(result("one", is_rejected=True)).is_rejected
    partial = stable.update(result("one two", is_rejected=False))
    assert (partial.is_rejected, partial.confidence, partial.text) == (False, 0.1, "one two")


def test_a_kept_session_names_only_what_was_understood(bundle, mixed, tmp_path):
    recognizer = Recognizer(bundle)
    display = JsonLines(out=io.StringIO(), status=io.StringIO())
    with Recording(tmp_path / "kept", name="talk") as recording:
        source = ReplaySource(mixed, speed=0)
        listen.listen(source, recognizer=recognizer, rules=EndpointRules(), display=display, recording=recording)
    lines = (tmp_path / "kept" / "talk.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["ab cd", "bad"]
