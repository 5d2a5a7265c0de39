"""The three endpoint rules, alone and on a stream."""

import numpy as np
import pytest

from runtime.endpoint import Endpoint, Endpointer, EndpointRules
from runtime.recognizer import Recognizer
from tests.tiny_bundle import speak, write_tiny_bundle

RULES = EndpointRules(idle_silence_s=2.0, silence_s=1.0, max_segment_s=10.0)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("endpoint") / "bundle"))


@pytest.mark.parametrize(
    ("silence_s", "segment_s", "has_text", "expected"),
    [
        (0.0, 0.0, False, None),
        (1.0, 1.0, False, None),
        (1.96, 5.0, False, None),
        (2.0, 5.0, False, Endpoint.IDLE),
        (0.96, 5.0, True, None),
        (1.0, 5.0, True, Endpoint.SILENCE),
        (3.0, 20.0, True, Endpoint.SILENCE),
        (0.0, 9.96, True, None),
        (0.0, 10.0, True, Endpoint.MAX_LENGTH),
        (0.0, 10.0, False, Endpoint.MAX_LENGTH),
    ],
)
def test_rules(silence_s, segment_s, has_text, expected):
    assert RULES.reached(silence_s=silence_s, segment_s=segment_s, has_text=has_text) is expected


@pytest.mark.parametrize("name", ["idle_silence_s", "silence_s", "max_segment_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_must_be_positive(name, value):
    with pytest.raises(ValueError, match=name):
        EndpointRules(**{name: value})


def run(recognizer, samples, *, rules):
    """Return [(time, text)] of the segments that ended before the end, and the rest."""
    stream, ended = recognizer.stream(), []
    endpointer = Endpointer(stream, rules=rules)
    for start in range(0, len(samples), 480):
        stream.accept(samples[start : start + 480])
        segment = endpointer.poll()
        if segment is not None:
            ended.append((stream.duration_s, segment.text))
    return ended, stream.finish().text


def silence(seconds):
    return np.zeros(round(seconds * 16000), np.float32)


def test_silence_after_speech_ends_a_line_and_shorter_silence_does_not(recognizer):
    samples = np.concatenate([speak("cab"), silence(0.7), speak("bad"), silence(1.5), speak("dead")])
    ended, rest = run(recognizer, samples, rules=RULES)
    assert [text for _, text in ended] == ["cabbad"], "without a separator the tones spell one word"
    spoken_until_s = (len(samples) - len(speak("dead"))) / 16000 - 1.5
    # the rule's second, one chunk to complete it, and the time since the last symbol began
    assert spoken_until_s + 0.6 < ended[0][0] < spoken_until_s + 1.3
    assert rest == "dead"


def test_silence_without_speech_ends_nothing_visible(recognizer):
    ended, rest = run(recognizer, silence(7), rules=RULES)
    assert [text for _, text in ended] == ["", "", ""]
    assert rest == ""


def test_a_line_of_maximal_length_is_cut_between_words(recognizer):
    text = " ".join(["cab bad dead bee ace"] * 4)
    rules = EndpointRules(idle_silence_s=2.0, silence_s=1.0, max_segment_s=3.0)
    samples = speak(text)
    ended, rest = run(recognizer, samples, rules=rules)
    assert len(ended) >= 5
    assert " ".join([text for _, text in ended if text] + [rest]).split() == text.split()


def test_text_of_a_conversation_is_that_of_the_whole_recording(recognizer):
    samples = np.concatenate([speak("cab"), silence(1.5), speak(" bad"), silence(2.5), speak(" dead bee")])
    ended, rest = run(recognizer, samples, rules=RULES)
    assert [text for _, text in ended if text] == ["cab", "bad"]
    assert " ".join(["cab", "bad", rest]) == recognizer.transcribe(samples).text
