"""The stream: any push size, any rate, any cut gives the same words, and none is lost at the end."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.ctc import greedy_ctc
from runtime.decoder import GreedyDecoder
from runtime.features import PADDING_VALUE, fbank, num_chunks, padded_frames
from runtime.recognizer import Recognizer, Result, Stream
from tests.tiny_bundle import CHUNK_FRAMES, TOKENIZER, reference_logprobs, speak, write_tiny_bundle

TEXT = "cab bad dead bee ace"
RAGGED = ([1, 7, 160, 1000], [100], [159, 161], [3000, 0, 5], [5000], [100_000])


@pytest.fixture(scope="module", params=[GreedyDecoder(), BeamDecoder()], ids=["greedy", "beam"])
def recognizer(request, tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("recognizer") / "bundle"), decoder=request.param)


class Recorder:
    """A session that remembers what it was fed."""

    def __init__(self, session):
        self._session, self.geometry, self.fed = session, session.geometry, []

    def initial_state(self, batch=1):
        return self._session.initial_state(batch)

    def step(self, x_NTF, state):
        self.fed.append(x_NTF.copy())
        return self._session.step(x_NTF, state)


def push(stream, samples, sizes):
    """Push samples in pieces whose sizes repeat."""
    start, turn = 0, 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        stream.accept(samples[start : start + size])
        start, turn = start + size, turn + 1
    return stream.finish()


@pytest.mark.parametrize("sizes", RAGGED)
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_push_by_push_is_one_shot_bit_for_bit(recognizer, rate, sizes):
    samples = speak(TEXT, sample_rate_hz=rate)
    fed = []
    for pieces in ([len(samples)], sizes):
        session = Recorder(recognizer.session)
        search = recognizer.start_search()
        result = push(Stream(session, tokenizer=TOKENIZER, sample_rate_hz=rate, search=search), samples, pieces)
        fed.append((np.concatenate(session.fed), result))
    assert np.array_equal(fed[0][0], fed[1][0])
    assert fed[0][1] == fed[1][1]
    assert fed[0][1] == recognizer.transcribe(samples, sample_rate_hz=rate)
    assert fed[0][1].text == TEXT


@pytest.mark.parametrize("num_samples", [80, 400, 2000, 16000, 20011, 40000])
def test_the_stream_equals_offline_features_model_and_collapse(recognizer, num_samples):
    samples = speak(TEXT)[:num_samples]
    features = fbank(samples)
    chunks = num_chunks(len(features), chunk_frames=CHUNK_FRAMES)
    total = padded_frames(chunks, chunk_frames=CHUNK_FRAMES)
    padded = np.pad(features, ((0, total - len(features)), (0, 0)), constant_values=PADDING_VALUE)
    collapse = greedy_ctc(reference_logprobs(padded), blank=0)
    assert recognizer.transcribe(samples).ids == collapse.ids


@pytest.mark.parametrize("cut", range(0, 2560, 97))
def test_the_last_word_is_not_lost_wherever_the_recording_ends(recognizer, cut):
    # One chunk is 2560 samples: the end of the last tone wanders over every phase of it.
    lead = np.zeros(cut, np.float32)
    samples = np.concatenate([lead, speak("cab bed")])
    last_tone_begins = len(samples) - round((0.16 + 0.08) * 16000)
    barely_spoken = samples[: last_tone_begins + round(0.1 * 16000)]
    assert recognizer.transcribe(barely_spoken).text == "cab bed"


@pytest.mark.parametrize("num_samples", [0, 1, 79])
def test_less_than_a_frame_is_nothing(recognizer, num_samples):
    stream = recognizer.stream()
    assert stream.accept(np.zeros(num_samples, np.float32)) == 0
    assert stream.finish() == Result(text="", words=(), ids=(), is_final=True)


@pytest.mark.parametrize("num_samples", [80, 81, 159, 160, 161, 399, 400, 401])
def test_a_few_frames_of_silence_are_empty(recognizer, num_samples):
    assert recognizer.transcribe(np.zeros(num_samples, np.float32)).text == ""


def test_words_have_times_and_confidence(recognizer):
    # Each tone lasts 0.16 s and is followed by 0.08 s of silence; the first begins at 0.08 s; "cab" and the
    # separator make four of them.
    words = recognizer.transcribe(speak("cab bad")).words
    assert [word.text for word in words] == ["cab", "bad"]
    for word, begin in zip(words, (0.08, 0.08 + 4 * 0.24), strict=True):
        assert abs(word.start_s - begin) <= 0.08
        assert abs(word.end_s - (begin + 2 * 0.24 + 0.16)) <= 0.16
        assert 0.5 < word.confidence <= 1
        assert round(word.start_s / 0.04) * 0.04 == pytest.approx(word.start_s)


def test_times_stay_inside_the_recording_and_scale_with_the_rate(recognizer):
    by_rate = {}
    for rate in (8000, 16000, 48000):
        samples = speak("bead", sample_rate_hz=rate)
        samples = samples[: -round(0.16 * rate)]
        stream = recognizer.stream(rate)
        stream.accept(samples)
        by_rate[rate] = stream.finish().words
        assert stream.duration_s == len(samples) / rate
        assert all(word.start_s <= word.end_s <= stream.duration_s + 1e-3 for word in by_rate[rate])
    assert [word.text for word in by_rate[16000]] == ["bead"]
    assert abs(by_rate[8000][0].start_s - by_rate[16000][0].start_s) <= 0.04
    assert abs(by_rate[48000][0].start_s - by_rate[16000][0].start_s) <= 0.04


def test_partial_results_grow_and_become_final(recognizer):
    stream = recognizer.stream()
    samples, texts = speak("cab bad"), [""]
    for start in range(0, len(samples), 500):
        if stream.accept(samples[start : start + 500]):
            result = stream.result()
            assert not result.is_final
            assert result.text.startswith(texts[-1])
            texts.append(result.text)
    final = stream.finish()
    assert final.is_final
    assert final.text == "cab bad"
    assert len(set(texts)) > 4
    assert stream.finish() == final == stream.result()
    with pytest.raises(ValueError, match="open a new stream"):
        stream.accept(samples)


def test_accept_says_how_many_chunks_it_decoded(recognizer):
    samples = speak("cab bad")
    stream, session = recognizer.stream(), Recorder(recognizer.session)
    counting = Stream(session, tokenizer=TOKENIZER)
    counts = [counting.accept(samples[start : start + 700]) for start in range(0, len(samples), 700)]
    assert sum(counts) == len(session.fed)
    assert stream.accept(samples) == len(session.fed)


def test_a_caller_may_reuse_its_buffer(recognizer):
    samples = speak(TEXT)
    stream, buffer = recognizer.stream(), np.zeros(480, np.float32)
    for start in range(0, len(samples) - 479, 480):
        buffer[:] = samples[start : start + 480]
        stream.accept(buffer)
        buffer[:] = 0.7
    stream.accept(samples[len(samples) // 480 * 480 :])
    assert stream.finish() == recognizer.transcribe(samples)


@pytest.mark.parametrize("samples", [np.zeros((10, 2)), np.float32(0), [0.0, np.nan], [np.inf]])
def test_what_is_not_mono_audio_is_refused(recognizer, samples):
    with pytest.raises(ValueError, match="samples"):
        recognizer.stream().accept(samples)


@pytest.mark.parametrize("rate", [0, -1, 999, 10**7])
def test_an_impossible_rate_is_refused(recognizer, rate):
    with pytest.raises(ValueError, match="sample_rate_hz"):
        recognizer.stream(rate)


def test_streams_of_one_recognizer_do_not_meet(recognizer):
    clips = [speak("cab bad"), speak("dead bee")]
    streams = [recognizer.stream(), recognizer.stream()]
    for start in range(0, max(map(len, clips)), 700):
        for stream, clip in zip(streams, clips, strict=True):
            stream.accept(clip[start : start + 700])
    assert [stream.finish() for stream in streams] == [recognizer.transcribe(clip) for clip in clips]


@pytest.mark.parametrize("keep_open_word", [False, True])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_segments_put_together_are_the_uninterrupted_stream(recognizer, every, keep_open_word):
    samples = speak(TEXT)
    whole = recognizer.transcribe(samples)
    stream, segments = recognizer.stream(), []
    for turn, start in enumerate(range(0, len(samples), 1000)):
        stream.accept(samples[start : start + 1000])
        if turn % every == 0:
            segments.append(stream.end_segment(keep_open_word=keep_open_word))
            assert segments[-1].is_final
    segments.append(stream.finish())
    assert sum((segment.ids for segment in segments), ()) == whole.ids
    starts = [word.start_s for segment in segments for word in segment.words]
    assert starts == sorted(starts)


def test_a_cut_that_keeps_the_open_word_changes_no_word(recognizer):
    samples = speak(TEXT)
    whole = recognizer.transcribe(samples)
    stream, words, cuts = recognizer.stream(), [], 0
    for start in range(0, len(samples), 1000):
        stream.accept(samples[start : start + 1000])
        if len(stream.result().words) > 1:
            words += stream.end_segment(keep_open_word=True).words
            cuts += 1
            assert stream.has_text, "the open word is still there"
    words += stream.finish().words
    assert cuts == len(whole.words) - 1
    assert tuple(words) == whole.words


def test_a_segment_of_one_word_is_cut_as_it_is(recognizer):
    stream = recognizer.stream()
    stream.accept(speak("abcde"))
    text = stream.end_segment(keep_open_word=True).text
    assert text
    assert not stream.has_text
    assert text + stream.finish().text == "abcde"


def test_silence_and_segment_lengths_are_those_of_the_decoded_audio(recognizer):
    stream = recognizer.stream()
    assert (stream.silence_s, stream.segment_s, stream.has_text) == (0, 0, False)
    stream.accept(np.concatenate([speak("cab"), np.zeros(32000, np.float32)]))
    assert stream.has_text
    # 0.08 + 3 * 0.24 s with the tones, then 2 s; the last chunk (0.16 s) may be incomplete.
    assert 1.9 < stream.silence_s < 2.3
    assert 2.8 - 0.2 < stream.segment_s <= 2.8
    assert stream.end_segment().text == "cab"
    assert (stream.silence_s, stream.segment_s, stream.has_text) == (0, 0, False)
    stream.accept(np.zeros(16000, np.float32))
    assert 0.8 < stream.silence_s == stream.segment_s < 1.2


def test_memory_does_not_grow_with_the_session(recognizer):
    stream, minute = recognizer.stream(), np.tile(speak("cab bad "), 25)

    def listen():
        for start in range(0, len(minute), 4800):
            stream.accept(minute[start : start + 4800])
            if stream.segment_s > 5:
                stream.end_segment(keep_open_word=True)

    listen()
    tracemalloc.start()
    try:
        listen()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            listen()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A block of samples that waits at the moment of the snapshot has at most 30 kB; ten minutes of symbols have 140 kB.
    assert after - before < 60_000


def test_precision_of_the_recognizer(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    assert Recognizer(bundle).precision == "int8"
    assert Recognizer(bundle, precision="fp32").precision == "fp32"
    assert Recognizer(bundle).backend == "onnxruntime"
    assert Recognizer(bundle).instruction_set is None


def test_results_are_frozen(recognizer):
    result = recognizer.transcribe(speak("a"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.text = "b"
