"""Confidence: its definition by formula, cuts of segments, and what a Recognizer rejects."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import entropy

from runtime.beam import BeamDecoder
from runtime.confidence import ENTROPY_FLOOR, UNCALIBRATED, Calibration, FrameEntropy, Logistic
from runtime.decoder import GreedyDecoder, Symbols
from runtime.errors import BundleError
from runtime.features import PADDING_VALUE, fbank, num_chunks, padded_frames
from runtime.grammar import Grammar
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from tests.tiny_bundle import CHUNK_FRAMES, reference_logprobs, speak, write_tiny_bundle

CALIBRATION = Calibration(
    word=Logistic(bias=0.3, weight=0.9), utterance=Logistic(bias=1.2, weight=-2.0), min_confidence=0.5
)
CLEAR, NOTHING = 0.999, Symbols(ids=(), frames=(), logprobs=())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A tiny bundle that is calibrated."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("confidence") / "bundle")
    dataclasses.replace(Manifest.load(folder), confidence=CALIBRATION).write(folder)
    return folder


def drawn_logprobs(seed, *, num_frames=40, num_symbols=7):
    scores = np.random.default_rng(seed).normal(0, 3, (num_frames, num_symbols))
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def offline_frames(samples):
    """Return (entropy in nats, probability of no blank) of every frame of a clip, by scipy and without a stream."""
    features = fbank(samples)
    total = padded_frames(num_chunks(len(features), chunk_frames=CHUNK_FRAMES), chunk_frames=CHUNK_FRAMES)
    padded = np.pad(features, ((0, total - len(features)), (0, 0)), constant_values=PADDING_VALUE)
    probabilities = np.exp(reference_logprobs(padded))
    return entropy(probabilities, axis=1), 1 - probabilities[:, 0]


def test_entropy_is_scipys_and_does_not_depend_on_cuts():
    logprobs = drawn_logprobs(0)
    probabilities = np.exp(logprobs.astype(np.float64))
    nats, spoken = entropy(probabilities, axis=1), 1 - probabilities[:, 0]
    for cuts in ([], [1, 2, 9], [20]):
        meter = FrameEntropy(blank=0)
        for part in np.split(logprobs, cuts):
            meter.accept(part)
        found = [meter.nats_per_frame(NOTHING, count=0, end=end) for end in (13, 40)]
        meter.forget(13)
        found.append(meter.nats_per_frame(NOTHING, count=0, end=40))
        # float32 sums of seven terms.
        assert found == pytest.approx(
            [nats[part].sum() / spoken[part].sum() for part in (slice(13), slice(40), slice(13, 40))], rel=1e-5
        )


def test_a_symbol_against_the_evidence_adds_what_it_lacks():
    logprobs = np.log(np.array([[0.9, 0.1], [0.25, 0.75]], np.float32))
    meter = FrameEntropy(blank=0)
    meter.accept(logprobs)
    plain = meter.nats_per_frame(NOTHING, count=0, end=2)
    chosen = Symbols(ids=(1, 1), frames=(0, 1), logprobs=(float(logprobs[0, 1]), float(logprobs[1, 1])))
    spoken = 0.1 + 0.75
    assert meter.nats_per_frame(chosen, count=2, end=2) - plain == pytest.approx(np.log(9) / spoken, rel=1e-5)
    assert meter.nats_per_frame(chosen, count=0, end=2) == plain
    # A symbol of a segment that is over counts no more.
    meter.forget(1)
    assert meter.nats_per_frame(chosen, count=2, end=2) == pytest.approx(entropy([0.25, 0.75]) / 0.75, rel=1e-5)


def test_impossible_symbols_are_no_nan():
    meter = FrameEntropy(blank=0)
    meter.accept(np.array([[0.0, -np.inf]], np.float32))
    assert meter.nats_per_frame(NOTHING, count=0, end=1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("decoder", [GreedyDecoder(), BeamDecoder()], ids=["greedy", "beam"])
def test_confidences_are_what_the_formulas_say(bundle, decoder):
    samples = speak("cab bad")
    found = Recognizer(bundle, decoder=decoder).transcribe(samples)
    raw = Recognizer(bundle, decoder=decoder, calibration=UNCALIBRATED).transcribe(samples)
    assert [word.text for word in found.words] == ["cab", "bad"]
    nats, spoken = offline_frames(samples)
    x = np.log(nats.sum() / spoken.sum() + ENTROPY_FLOOR)
    assert found.confidence == pytest.approx(expit(1.2 - 2.0 * x), rel=1e-3)
    assert -logit(raw.confidence) == pytest.approx(x, rel=1e-3)
    for word, uncalibrated in zip(found.words, raw.words, strict=True):
        assert word.confidence == pytest.approx(expit(0.3 + 0.9 * logit(uncalibrated.confidence)), abs=1e-9)


def test_segments_are_judged_by_their_own_frames(bundle):
    recognizer = Recognizer(bundle, min_confidence=0.0)
    samples = speak("cab bad dead bee")
    stream, segments, cuts = recognizer.stream(), [], [0]
    for start in range(0, len(samples), 1600):
        stream.accept(samples[start : start + 1600])
        if stream.segment_s > 1.2:
            end = stream.duration_s
            segments.append(stream.end_segment(keep_open_word=True))
            cuts.append(round((end - stream.segment_s) / 0.04))
    segments.append(stream.finish())
    assert " ".join(segment.text for segment in segments if segment.text) == "cab bad dead bee"
    nats, spoken = offline_frames(samples)
    for segment, begin, end in zip(segments, cuts, [*cuts[1:], len(nats)], strict=True):
        if segment.words:
            # A cut lies at the first frame of the word behind it; the audio that waits for its chunk blurs where.
            expected = [
                nats[place : end + shift].sum() / spoken[place : end + shift].sum()
                for place in range(max(0, begin - 4), begin + 5)
                for shift in range(-4, 5)
            ]
            found = np.exp((1.2 - logit(segment.confidence)) / 2.0) - ENTROPY_FLOOR
            assert np.abs(np.array(expected) - found).min() < 1e-3


def test_what_a_grammar_forces_is_not_trusted(bundle):
    samples = speak("cab")
    free = Recognizer(bundle).transcribe(samples)
    forced = Recognizer(bundle, decoder=BeamDecoder(scorers=(Grammar(["cad"]),), margin=100.0)).transcribe(samples)
    assert [word.text for word in forced.words] == ["cad"]
    assert forced.confidence < free.confidence - 0.1
    assert forced.words[0].confidence < 0.8 * free.words[0].confidence


def test_a_rejected_result_has_words_and_no_text(bundle):
    samples = speak("cab bad")
    kept = Recognizer(bundle, min_confidence=0.0).transcribe(samples)
    assert (kept.text, kept.is_rejected) == ("cab bad", False)
    rejected = Recognizer(bundle, min_confidence=1.0).transcribe(samples)
    assert (rejected.text, rejected.is_rejected, rejected.words) == ("", True, kept.words)
    assert rejected.confidence == kept.confidence
    just = Recognizer(bundle, min_confidence=kept.confidence).transcribe(samples)
    assert not just.is_rejected
    silence = Recognizer(bundle, min_confidence=1.0).transcribe(np.zeros(16000, np.float32))
    assert (silence.text, silence.is_rejected, silence.confidence) == ("", False, 0.0)


def test_the_bundles_threshold_is_the_default(bundle, tmp_path):
    assert Recognizer(bundle).min_confidence == 0.5
    assert Recognizer(bundle, min_confidence=0.25).min_confidence == 0.25
    plain = Recognizer(write_tiny_bundle(tmp_path / "plain"))
    result = plain.transcribe(speak("cab bad"))
    assert (plain.min_confidence, plain.calibration, result.is_rejected) == (0.0, None, False)
    assert result.confidence == pytest.approx(np.mean([word.confidence for word in result.words]))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="min_confidence"):
            Recognizer(bundle, min_confidence=wrong)


def test_a_manifest_keeps_it_exactly(bundle):
    assert Manifest.load(bundle).confidence == CALIBRATION


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"min_confidence": 1.5}, "confidence.min_confidence is 1.5, expected 0 to 1"),
        ({"min_confidence": float("nan")}, "confidence.min_confidence is nan"),
        ({"word": {"bias": 1e9, "weight": 1}}, "confidence.word.bias is 1000000000.0"),
        ({"word": {"bias": 0}}, "confidence.word.weight is missing"),
        ({"utterance": [1, 2]}, "confidence.utterance is a list"),
        ({"utterance": {"bias": True, "weight": 1}}, "confidence.utterance.bias is true or false"),
    ],
)
def test_a_hostile_calibration_is_named(bundle, change, complaint):
    value = Manifest.load(bundle).to_json()
    value["confidence"] |= change
    with pytest.raises(BundleError, match=complaint.replace(".", r"\.")):
        Manifest.from_json(value, source="manifest.json")
