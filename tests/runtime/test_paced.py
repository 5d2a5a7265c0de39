"""The field's latencies, exact on a clock that the tests move, and against a plain reading of their definitions."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.endpoint import EndpointRules
from runtime.features import SAMPLE_RATE_HZ, num_chunks
from runtime.paced import PacedTiming, summarise, time_paced
from runtime.recognizer import Recognizer, Result, Word
from runtime.source import QUEUE_S
from tests.tiny_bundle import CHUNK_FRAMES, speak, write_tiny_bundle


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("paced") / "tiny"))


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def advance(self, seconds):
        self.now_s += seconds


class SlowSession:
    """A session whose steps take a stated time on a Clock."""

    def __init__(self, session, *, clock, step_s):
        self._session, self._clock, self._step_s = session, clock, step_s
        self.geometry, self.initial_state = session.geometry, session.initial_state

    def step(self, x_NTF, state):
        self._clock.advance(self._step_s)
        return self._session.step(x_NTF, state)


def paced(recognizer, *, samples, step_s, **options):
    clock = Clock()
    slow = SimpleNamespace(
        stream=lambda: type(recognizer.stream())(
            SlowSession(recognizer.session, clock=clock, step_s=step_s), tokenizer=recognizer.tokenizer
        )
    )
    return time_paced(slow, samples=samples, clock=clock, sleep=clock.advance, **options)


def test_paced_latencies_are_exact_on_a_virtual_clock(recognizer):
    samples = speak("bad cab")
    audio_s = len(samples) / SAMPLE_RATE_HZ
    timing = paced(recognizer, samples=samples, step_s=0.02)
    # A chunk needs 18 hops, half a hop and half a window of audio: 0.1975 s, complete with the second 100 ms packet.
    assert timing.first_chunk_s == pytest.approx(0.2 + 0.02)
    assert timing.first_partial_s >= timing.first_chunk_s
    # `b` begins after the first gap of 80 ms and cannot be told before
    assert timing.first_partial_s - timing.partial_delay_s == pytest.approx(0.08, abs=0.041)
    # finish() runs what the pushes have not: the windows over the last hops and the padding
    num_pushed = int((audio_s - 0.1975) / 0.16) + 1
    num_left = num_chunks(round(audio_s * 100), chunk_frames=CHUNK_FRAMES) - num_pushed
    assert timing.finalisation_s == pytest.approx(num_left * 0.02, abs=0.0201)
    assert timing.finalisation_s > 0
    # two chunks can end in one packet
    assert timing.lag_s == pytest.approx(0.02, abs=0.0201)


def test_paced_lag_shows_a_recogniser_that_is_too_slow(recognizer):
    samples = speak("bad cab dad")
    fast = paced(recognizer, samples=samples, step_s=0.0)
    slow = paced(recognizer, samples=samples, step_s=0.2)
    assert fast.lag_s == pytest.approx(0, abs=1e-9)
    assert fast.finalisation_s == pytest.approx(0, abs=1e-9)
    # 200 ms for each 160 ms of audio: a quarter of the clip behind at its end
    audio_s = len(samples) / SAMPLE_RATE_HZ
    assert slow.lag_s == pytest.approx(audio_s / 4, abs=0.3)
    assert slow.finalisation_s > slow.lag_s


def test_paced_without_text_says_so(recognizer):
    timing = paced(recognizer, samples=np.zeros(16000, np.float32), step_s=0.01)
    assert timing.first_partial_s is None
    assert timing.partial_delay_s is None
    assert timing.first_chunk_s is not None


def test_word_lags_and_the_first_settled_word_are_those_of_the_definition(recognizer):
    """Read off a list of what stood there after every packet, without a model that takes time."""
    samples = speak("cab bad dead bee ace")
    timing = paced(recognizer, samples=samples, step_s=0.0)
    stream, shown = recognizer.stream(), []
    for end in range(1600, len(samples) + 1600, 1600):
        stream.accept(samples[end - 1600 : end])
        shown.append((min(end, len(samples)) / SAMPLE_RATE_HZ, stream.result().text.split()))
    final = stream.finish()
    assert timing.text == final.text == "cab bad dead bee ace"
    expected = []
    for index, word in enumerate(final.words):
        stood = [time_s for time_s, words in shown if words[index : index + 1] == [word.text]]
        if shown[-1][1][index : index + 1] == [word.text]:
            expected.append(stood[0] - word.end_s)
    assert timing.word_lags_s == pytest.approx(expected)
    # A best path never takes anything back.
    assert (timing.num_shown_words, timing.num_changed_words, timing.num_contradicted_words) == (5, 0, 0)
    # `cab` settles two chunks after `bad` has begun.
    begin_s = next(time_s for time_s, words in shown if len(words) == 2)
    assert begin_s < timing.first_stable_s <= begin_s + 2 * 0.16 + 0.1
    assert timing.stable_delay_s == pytest.approx(timing.first_stable_s - final.words[0].start_s)


@pytest.mark.parametrize("silence_s", [0.5, 1.2])
def test_the_endpoint_is_its_silence_after_the_last_word(recognizer, silence_s):
    rules = EndpointRules(silence_s=silence_s)
    timing = paced(recognizer, samples=speak("cab bad"), step_s=0.0, rules=rules)
    # The rule counts from where the last symbol was decided, up to a tone early; a chunk and a packet complete it.
    assert silence_s - 0.16 <= timing.endpoint_s <= silence_s + 0.16 + 0.1
    assert paced(recognizer, samples=speak("cab bad"), step_s=0.0).endpoint_s is None
    assert paced(recognizer, samples=np.zeros(8000, np.float32), step_s=0.0, rules=rules).endpoint_s is None


def test_audio_beyond_the_queue_is_dropped_and_counted(recognizer):
    samples = np.zeros(30 * SAMPLE_RATE_HZ, np.float32)
    assert paced(recognizer, samples=samples, step_s=0.15).dropped_s == 0
    timing = paced(recognizer, samples=samples, step_s=0.48)
    # A third of the speed: of 30 s it takes 10 while they are said, 10 wait, and 10 are lost.
    assert timing.dropped_s == pytest.approx(10, abs=0.5)
    # What waits longest has the whole queue before it.
    assert timing.lag_s == pytest.approx(3 * QUEUE_S, abs=1)


class Script:
    """A recognizer and its stream: a result for every packet of 100 ms, as a decoder that revises would give."""

    def __init__(self, *texts, final):
        self._texts, self._final = list(texts), final
        self.silence_s = 0.0

    def stream(self):
        return self

    def accept(self, samples):
        self._text = self._texts.pop(0)
        return 1

    def result(self):
        return self._result(self._text)

    def finish(self):
        return self._result(self._final)

    def _result(self, text):
        words = tuple(
            Word(text=word, start_s=index, end_s=index + 0.5, confidence=1.0) for index, word in enumerate(text.split())
        )
        return Result(text=text, words=words, ids=(), is_final=False)


@pytest.mark.parametrize(
    ("texts", "final", "shown", "changed", "contradicted"),
    [
        (["a", "a b", "a b c"], "a b c", 3, 0, 0),
        (["a", "ab", "abc"], "abcd", 1, 0, 0),
        (["new", "knew", "knew york"], "knew york", 3, 1, 0),
        (["a b", "a"], "a", 2, 1, 0),
        (["a b", "a c"], "a d", 3, 2, 0),
        (["a b", "a b", "a b"], "x b", 2, 1, 1),
        (["a b", "a b", "a b"], "", 2, 2, 1),
    ],
)
def test_words_that_change_are_counted(texts, final, shown, changed, contradicted):
    clock = Clock()
    samples = np.zeros(1600 * len(texts), np.float32)
    timing = time_paced(Script(*texts, final=final), samples=samples, clock=clock, sleep=clock.advance)
    found = (timing.num_shown_words, timing.num_changed_words, timing.num_contradicted_words)
    assert found == (shown, changed, contradicted)


def timing(**fields):
    clean = {
        "first_chunk_s": 0.2,
        "first_partial_s": 0.5,
        "partial_delay_s": 0.4,
        "first_stable_s": None,
        "stable_delay_s": None,
        "word_lags_s": (),
        "finalisation_s": 0.01,
        "endpoint_s": None,
        "lag_s": 0.02,
        "num_shown_words": 4,
        "num_changed_words": 1,
        "num_contradicted_words": 0,
        "dropped_s": 0.0,
        "audio_s": 2.0,
        "text": "a b",
    }
    return PacedTiming(**{**clean, **fields})


def test_the_report_pools_clips_and_words():
    timings = [
        timing(partial_delay_s=0.1 * number, word_lags_s=(0.2, 0.4), stable_delay_s=1.0 if number else None)
        for number in range(11)
    ]
    timings.append(timing(partial_delay_s=None, dropped_s=0.5, lag_s=0.3, num_shown_words=6, num_changed_words=4))
    report = summarise(timings)
    assert (report["first_partial_ms"]["p50"], report["first_partial_ms"]["count"]) == (pytest.approx(500), 11)
    assert report["first_partial_ms"]["p95"] == pytest.approx(950)
    assert report["first_stable_ms"]["count"] == 10
    assert (report["partial_lag_ms"]["p50"], report["partial_lag_ms"]["count"]) == (pytest.approx(300), 22)
    assert report["changed_word_share"] == 15 / 50
    assert (report["dropped_samples"], report["most_lag_ms"], report["audio_s"]) == (8000, pytest.approx(300), 24)
    assert "stream_wer" not in report
    json.dumps(report, allow_nan=False)


def test_the_report_says_what_streaming_costs():
    timings = [timing(text="a b"), timing(text="a x"), timing(text="c")]
    report = summarise(timings, references=["a b", "a b", "c"], offline_texts=["a b", "a b", "d"])
    assert report["stream_wer"] == report["offline_wer"] == pytest.approx(1 / 5)
    assert report["stream_minus_offline_wer"] == 0
    low, high = report["stream_minus_offline_wer_interval"]
    assert low < 0 < high
    worse = summarise(timings, references=["a b", "a b", "c"], offline_texts=["a b", "a b", "c"])
    assert (worse["stream_wer"], worse["offline_wer"]) == (pytest.approx(1 / 5), 0)
    assert worse["stream_minus_offline_wer"] == pytest.approx(1 / 5)
    with pytest.raises(ValueError):
        summarise(timings, references=["a"], offline_texts=["a"])


def test_no_clips_no_figures():
    report = summarise([])
    assert report["first_partial_ms"]["p50"] is None
    assert report["changed_word_share"] is None
    assert asdict(timing())["word_lags_s"] == ()
