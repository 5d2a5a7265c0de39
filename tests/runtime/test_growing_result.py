"""result() of a stream that never ends: the same text as spelled anew, at a cost that does not grow with it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.beam import BeamDecoder
from runtime.confidence import UNCALIBRATED, FrameEntropy
from runtime.decoder import GreedyDecoder
from runtime.recognizer import Stream
from runtime.result import ResultMaker
from tests.runtime.lattice import random_lattice
from tests.tiny_bundle import TOKENIZER, geometry

CHUNK_FRAMES = 4
DECODERS = pytest.mark.parametrize("decoder", [GreedyDecoder(), BeamDecoder(beam=4)], ids=["greedy", "beam"])


class Scripted:
    """A session whose log-probabilities are drawn, not heard."""

    def __init__(self, *, seed, sharpness):
        self.geometry = geometry(CHUNK_FRAMES)
        self._rng, self._sharpness = np.random.default_rng(seed), sharpness
        self.drawn = []

    def initial_state(self, batch=1):
        return []

    def step(self, x_NTF, state):
        scores_TV = self._sharpness * self._rng.standard_normal((CHUNK_FRAMES, len(TOKENIZER)))
        self.drawn.append((scores_TV - np.log(np.exp(scores_TV).sum(axis=1, keepdims=True))).astype(np.float32))
        return self.drawn[-1][None], state


def open_stream(decoder, *, seed=0, sharpness=4.0):
    session = Scripted(seed=seed, sharpness=sharpness)
    search = decoder.prepare(TOKENIZER, blank=0)()
    return Stream(session, tokenizer=TOKENIZER, search=search, calibration=UNCALIBRATED, min_confidence=0.5), session


def step(stream):
    stream._step(np.zeros((1, 1), np.float32))
    # Times are cut at the end of the audio.
    stream._num_samples += 640 * CHUNK_FRAMES


def spelled_anew(stream, session):
    """Return the Result that one call makes of all frames of the segment, with nothing known before."""
    symbols = stream._search.best()
    entropy = FrameEntropy(blank=0)
    entropy.accept(np.concatenate(session.drawn))
    entropy.forget(stream._segment_start)
    count, end = len(symbols.ids), stream._num_decoded_frames
    maker = ResultMaker(TOKENIZER, calibration=UNCALIBRATED, min_confidence=0.5)
    nats = entropy.nats_per_frame(symbols, count=count, end=end)
    return maker(symbols, count=count, nats=nats, time_s=stream._time_s, is_final=False)


@DECODERS
@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_a_result_is_what_all_of_it_spelled_anew_would_be(decoder, sharpness):
    stream, session = open_stream(decoder, sharpness=sharpness)
    rng = np.random.default_rng(1)
    num_words = 0
    for _ in range(150):
        step(stream)
        if rng.random() < 0.05:
            stream.end_segment(keep_open_word=bool(rng.integers(2)))
        if rng.random() < 0.8:
            result, expected = stream.result(), spelled_anew(stream, session)
            assert (result.text, result.words, result.ids) == (expected.text, expected.words, expected.ids)
            # Added up in another order where a segment ended.
            assert result.confidence == pytest.approx(expected.confidence, rel=1e-9)
            num_words = max(num_words, len(result.words))
    assert num_words > 5


def test_a_beam_that_changes_its_mind_is_followed_exactly():
    search = BeamDecoder(beam=16).prepare(TOKENIZER, blank=0)()
    num_revised, before = 0, ()
    for row_V in random_lattice(3, num_frames=600, vocab_size=len(TOKENIZER), spread=1.0):
        search.accept(row_V[None])
        symbols, leader = search.best(), search._leader()
        assert symbols.ids == tuple(leader.symbols_after(0))
        assert list(zip(symbols.frames, symbols.logprobs, strict=True)) == leader.entries()
        num_revised += symbols.ids[: len(before)] != before
        before = symbols.ids
    assert num_revised > 10


def num_lines(call):
    """Return how many lines of Python a call runs."""
    lines = SimpleNamespace(count=0)

    def trace(frame, event, _):
        lines.count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(previous)
    return lines.count


@DECODERS
def test_the_work_of_a_result_does_not_grow_with_the_segment(decoder):
    stream, _ = open_stream(decoder, sharpness=6.0)
    counts = []
    for _ in range(1500):
        step(stream)
        counts.append(num_lines(stream.result))
    assert len(stream.result().words) > 300
    assert np.mean(counts[-200:]) < 1.3 * np.mean(counts[100:300])
    assert max(counts[-200:]) < 2 * max(counts[100:300])
