"""The page's scripts under Node.js beside what they port: features, resampling, tokens, lines. No browser."""

import dataclasses
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from runtime import Endpointer, EndpointRules, Recognizer
from runtime.confidence import Calibration, Logistic
from runtime.endpoint import Endpoint
from runtime.features import SAMPLE_RATE_HZ, fbank
from runtime.manifest import FileEntry, Manifest
from runtime.synthetic import speech_like
from tests.tiny_bundle import speak, write_tiny_bundle

HERE = Path(__file__).resolve().parent
# Python sums in float32, the page in double precision: 1e-5 and less on speech. Pure tones with digital silence around
# them are the worst case, where bins between floor and leakage are differences of large numbers: 9e-4 was seen.
FEATURE_BOUND = 1e-3


class Scripts:
    """The page's scripts in one Node.js process.

    Args:
        node: path of Node.js.
        folder: for the samples that go in and out.
        runtime: path of ort.wasm.min.mjs, None where no model runs.
    """

    def __init__(self, node, *, folder, runtime=None):
        self._folder = folder
        command = [node, HERE / "scripts.mjs", *([runtime] if runtime else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self._process.communicate()
        assert self._process.returncode == 0

    def ask(self, action, samples, **options):
        """Return the JSON answer; float32 samples go in through a file."""
        path = self._folder / "samples.f32"
        np.asarray(samples, np.float32).tofile(path)
        print(json.dumps({"do": action, "samples": str(path), **options}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def fbank(self, samples, *, block=0):
        """Return the features of a clip that is pushed in blocks, or as a whole."""
        output = self._folder / "features.f32"
        assert self.ask("features", samples, block=block, output=str(output)) == {}
        return np.fromfile(output, np.float32).reshape(-1, 80)

    def resample(self, samples, *, rate, block):
        """Return samples at 16 kHz."""
        output = self._folder / "resampled.f32"
        options = {"fromHz": rate, "toHz": SAMPLE_RATE_HZ, "block": block, "output": str(output)}
        assert self.ask("resample", samples, **options) == {}
        return np.fromfile(output, np.float32)

    def recognize(self, bundle, samples, *, rate=SAMPLE_RATE_HZ, block=4000, precision="auto", action="recognize"):
        """Return the result of a clip, or of "converse" or "listen" the lines."""
        options = {"bundle": str(bundle), "sampleRateHz": rate, "block": block, "precision": precision}
        return self.ask(action, samples, **options)


@pytest.fixture(scope="module")
def scripts(node, tmp_path_factory):
    """The scripts without a model."""
    scripts = Scripts(node, folder=tmp_path_factory.mktemp("scripts"))
    yield scripts
    scripts.close()


@pytest.fixture(scope="module")
def recognizing(node, vendored, tmp_path_factory):
    """The scripts with onnxruntime-web."""
    scripts = Scripts(node, folder=tmp_path_factory.mktemp("recognizing"), runtime=vendored["ort.wasm.min.mjs"])
    yield scripts
    scripts.close()


SIGNALS = {
    "speech": speech_like(3.0),
    "tones": speak("abc de"),
    "noise": np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32),
    "silence": np.zeros(8000, np.float32),
    "loud": np.sign(speech_like(1.0)),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_features_equal_the_runtimes(scripts, name):
    expected, found = fbank(SIGNALS[name]), scripts.fbank(SIGNALS[name])
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.max() <= FEATURE_BOUND, f"max {difference.max():.2g}, mean {difference.mean():.2g}"


def test_features_of_recorded_speech(scripts, shared_data):
    for path in sorted((shared_data("an4") / "audio" / "test").iterdir())[:3]:
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == SAMPLE_RATE_HZ
        difference = np.abs(scripts.fbank(samples) - fbank(samples))
        assert difference.max() <= 1e-4, f"max {difference.max():.2g}, mean {difference.mean():.2g}"


@pytest.mark.parametrize("count", [0, 1, 79, 80, 81, 159, 160, 240, 399, 400, 401, 559, 560])
def test_features_of_clips_shorter_than_a_window(scripts, count):
    samples = SIGNALS["noise"][:count]
    expected, found = fbank(samples), scripts.fbank(samples)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=0, atol=FEATURE_BOUND)


@pytest.mark.parametrize("block", [1, 37, 160, 6400])
def test_pushes_do_not_show_in_features(scripts, block):
    samples = SIGNALS["speech"][:12345]
    whole = scripts.fbank(samples)
    assert np.array_equal(scripts.fbank(samples, block=block), whole)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_resampled_tones_stay_what_they_are(scripts, rate):
    top = 0.9 * min(rate, SAMPLE_RATE_HZ) / 2
    for hz in (100.0, 1000.0, top):
        given = np.sin(2 * np.pi * hz * np.arange(rate // 2) / rate)
        found = scripts.resample(given, rate=rate, block=997)
        assert len(found) == math.ceil(len(given) * SAMPLE_RATE_HZ / rate)
        expected = np.sin(2 * np.pi * hz * np.arange(len(found)) / SAMPLE_RATE_HZ)
        inside = slice(200, -200)
        # the pass band's ripple: -80 dB, and the transition's beginning at its top
        assert np.abs(found - expected)[inside].max() < 1e-3


def test_what_16_khz_cannot_hold_is_gone(scripts):
    given = np.sin(2 * np.pi * 8800 * np.arange(24000) / 48000)
    found = scripts.resample(given, rate=48000, block=480)
    # 80 dB down, away from the edges, whose steps hold every frequency
    assert np.abs(found[200:-200]).max() < 1e-4


def test_resampling_speech_equals_soxr(scripts):
    speech = soxr.resample(soxr.resample(speech_like(2.0), 16000, 13000), 13000, 48000)
    found = scripts.resample(speech, rate=48000, block=960)
    expected = soxr.resample(speech, 48000, SAMPLE_RATE_HZ)
    assert len(found) == len(expected)
    assert np.abs(found - expected)[200:-200].max() < 1e-3
    assert np.array_equal(found, scripts.resample(speech, rate=48000, block=7))


def test_tokens_words_and_times_equal_the_runtimes(recognizing, tiny):
    recognizer = Recognizer(tiny, backend="onnxruntime")
    texts = ("abc de", "a", "e d c b a", "aabb cc  d")
    clips = [(speak(text), {"block": block}) for text in texts for block in (160, 1601, 1 << 20)]
    clips += [(speech_like(2.0, seed=3), {}), (np.zeros(0, np.float32), {"block": 1})]
    clips += [(speak("ab"), {"precision": precision}) for precision in ("fp32", "int8")]
    for samples, options in clips:
        found, expected = recognizing.recognize(tiny, samples, **options), recognizer.transcribe(samples)
        assert tuple(found["ids"]) == expected.ids
        assert found["text"] == expected.text
        assert [(w["text"], w["startS"], w["endS"]) for w in found["words"]] == [
            (word.text, word.start_s, word.end_s) for word in expected.words
        ]
        # the features' difference, through the model
        confidences = [word["confidence"] for word in found["words"]]
        assert confidences == pytest.approx([word.confidence for word in expected.words], abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_tokens_at_other_rates(recognizing, tiny, rate):
    samples = speak("abcde edcba", sample_rate_hz=rate)
    found = recognizing.recognize(tiny, samples, rate=rate, block=441)
    expected = Recognizer(tiny, backend="onnxruntime").transcribe(samples, sample_rate_hz=rate)
    assert tuple(found["ids"]) == expected.ids
    assert found["text"] == "abcde edcba"


def test_lines_of_a_conversation_equal_the_endpointers(recognizing, tiny):
    pause = np.zeros(round(1.3 * SAMPLE_RATE_HZ), np.float32)
    long = np.concatenate([speak("abc de ") for _ in range(20)])
    samples = np.concatenate([speak("ab cd"), pause, speak("e"), pause, pause, pause, long, pause, speak("bad")])
    found = recognizing.recognize(tiny, samples, block=320, action="converse")
    stream = Recognizer(tiny, backend="onnxruntime").stream()
    endpointer = Endpointer(stream, rules=EndpointRules(silence_s=0.8))
    expected = []
    for at in range(0, len(samples), 320):
        if stream.accept(samples[at : at + 320]) and (segment := endpointer.poll()) and segment.text:
            expected.append((segment, endpointer.endpoint))
    expected.append((stream.finish(), None))
    reasons = {Endpoint.SILENCE: "silence", Endpoint.MAX_LENGTH: "max_length", None: "end"}
    assert [(line["text"], line["ids"], line["reason"]) for line in found["lines"]] == [
        (result.text, list(result.ids), reasons[reason]) for result, reason in expected
    ]
    assert "max_length" in {line["reason"] for line in found["lines"]}
    assert found["lines"][1]["words"][0]["startS"] == expected[1][0].words[0].start_s
    figures = found["figures"]
    assert figures["heardS"] == len(samples) / SAMPLE_RATE_HZ
    assert figures["chunkMs"]["count"] == len(found["partials"])
    # a chunk of the tiny model is 160 ms: no text is later than that, and the work for it
    assert 0 < figures["firstTextMs"]["p50"] < 1000


def test_a_settled_word_stays(recognizing, tiny):
    samples = np.concatenate([speak("ab cd e "), np.zeros(16000, np.float32)])
    found = recognizing.recognize(tiny, samples, block=320, action="converse")
    (line,) = found["lines"]
    for partial in found["partials"]:
        settled = [word["text"] for word in partial["words"][: partial["numSettled"]]]
        assert settled == line["text"].split()[: len(settled)]
    assert max(partial["numSettled"] for partial in found["partials"]) == 3


def test_a_listener_hears_all_and_keeps_the_newest_five_minutes(recognizing, tiny, tmp_path):
    samples = np.concatenate([speak("ab"), np.zeros(16000, np.float32)])
    found = recognizing.recognize(tiny, samples, block=320, action="listen")
    assert [line["text"] for line in found["lines"]] == ["ab"]
    assert found["numKept"] == len(samples)
    assert found["figures"]["heardS"] == pytest.approx(len(samples) / SAMPLE_RATE_HZ)
    assert (found["figures"]["behindS"], found["figures"]["droppedS"]) == (0, 0)
    # long chunks, so that five minutes are few
    slow = write_tiny_bundle(tmp_path / "slow", chunk_frames=128)
    found = recognizing.recognize(slow, np.zeros(310 * SAMPLE_RATE_HZ), block=5 * SAMPLE_RATE_HZ, action="listen")
    assert found["numKept"] <= 300 * SAMPLE_RATE_HZ


def test_a_listener_that_cannot_keep_up_drops_and_counts(recognizing, tiny):
    # a push longer than all that may wait, and a short one behind it
    found = recognizing.recognize(tiny, np.zeros(14 * SAMPLE_RATE_HZ), block=11 * SAMPLE_RATE_HZ, action="listen")
    assert found["figures"]["droppedS"] == 11
    assert found["figures"]["heardS"] == 3


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A tiny bundle whose manifest has confidences and a threshold that two tones at once do not reach."""
    folder = write_tiny_bundle(tmp_path_factory.mktemp("calibrated") / "bundle")
    calibration = Calibration(
        word=Logistic(bias=0.3, weight=0.9), utterance=Logistic(bias=-1.8, weight=-2.0), min_confidence=0.5
    )
    dataclasses.replace(Manifest.load(folder), confidence=calibration).write(folder)
    return folder


def test_confidences_and_rejection_equal_the_runtimes(recognizing, calibrated):
    recognizer = Recognizer(calibrated, backend="onnxruntime")
    unclear = 0.5 * (speak("abcde") + speak("edcba"))
    verdicts = []
    for samples in (speak("abc de"), unclear, speak("bad cab ace"), np.zeros(8000, np.float32)):
        found, expected = recognizing.recognize(calibrated, samples), recognizer.transcribe(samples)
        assert found["text"] == expected.text
        assert found["isRejected"] == expected.is_rejected
        assert [word["text"] for word in found["words"]] == [word.text for word in expected.words]
        # the features' difference, through the model
        assert found["confidence"] == pytest.approx(expected.confidence, abs=2e-3)
        assert [word["confidence"] for word in found["words"]] == pytest.approx(
            [word.confidence for word in expected.words], abs=2e-3
        )
        verdicts.append(expected.is_rejected)
    assert verdicts == [False, True, False, False]


def test_lines_are_judged_one_by_one(recognizing, calibrated):
    pause = np.zeros(round(1.3 * SAMPLE_RATE_HZ), np.float32)
    unclear = 0.5 * (speak("abcde") + speak("edcba"))
    samples = np.concatenate([speak("ab cd"), pause, unclear, pause, speak("bad"), pause])
    found = recognizing.recognize(calibrated, samples, block=320, action="converse")
    assert [(line["text"], line["isRejected"]) for line in found["lines"]] == [
        ("ab cd", False),
        ("", True),
        ("bad", False),
    ]
    assert found["lines"][1]["words"]
    assert {partial["isRejected"] for partial in found["partials"]} == {False, True}


def test_a_closed_vocabulary_keeps_other_words_out_of_the_text(recognizing, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "closed")
    (bundle / "words.txt").write_text("abc\nde\n")
    manifest = Manifest.load(bundle)
    files = manifest.files | {"words": FileEntry.of("words.txt", bundle=bundle)}
    dataclasses.replace(manifest, files=files, vocabulary="closed").write(bundle)
    found = recognizing.recognize(bundle, speak("abc ed de"))
    assert (found["text"], found["isRejected"]) == ("abc de", False)
    assert [word["text"] for word in found["words"]] == ["abc", "ed", "de"]
    assert [word["confidence"] > 0 for word in found["words"]] == [True, False, True]
    assert found["text"] == recognizing.recognize(bundle, speak("abc de"))["text"]
    alone = recognizing.recognize(bundle, speak("ed"))
    assert (alone["text"], alone["isRejected"]) == ("", True)
    (bundle / "words.txt").write_text("abc\nab\n")
    assert "altered" in recognizing.recognize(bundle, speak("abc"))["error"]["message"]


BROKEN = {
    "vocabulary kind": (lambda m: m.update(vocabulary="half"), "vocabulary is half"),
    "words": (lambda m: m.update(vocabulary="closed"), "files.words has no usable path"),
    "confidence": (lambda m: m.update(confidence={"word": {"bias": 0, "weight": 1}}), "confidence.utterance"),
    "coefficient": (
        lambda m: m.update(
            confidence={name: {"bias": 0, "weight": 1e9} for name in ("word", "utterance")} | {"min_confidence": 0.5}
        ),
        "confidence.word",
    ),
    "threshold": (
        lambda m: m.update(
            confidence={name: {"bias": 0, "weight": 1} for name in ("word", "utterance")} | {"min_confidence": 2}
        ),
        "min_confidence is 2",
    ),
    "schema": (lambda m: m.update(schema_version=2), "schema version 2"),
    "front end": (lambda m: m.update(num_mels=40), "num_mels is 40"),
    "chunk": (lambda m: m.update(chunk_frames="4"), "chunk_frames"),
    "huge state": (lambda m: m["states"][0].update(shape=[1 << 26, -1, 1 << 10]), "elements"),
    "state's name": (lambda m: m["states"][0].update(name="other"), "The model reads"),
    "state's order": (lambda m: m["states"].reverse(), "The model reads"),
    "path": (lambda m: m["files"]["model"].update(path="../model.onnx"), "no usable path"),
    "digest": (lambda m: m["files"]["model"].update(sha256="0" * 64), "altered"),
    "size": (lambda m: m["files"]["tokens"].update(bytes=5), "manifest says 5"),
    "vocabulary": (lambda m: m.update(vocab_size=9), "7 symbols, the manifest says 9"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bundles_say_what_is_wrong(recognizing, tiny, tmp_path, name):
    bundle = shutil.copytree(tiny, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    change, message = BROKEN[name]
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    answer = recognizing.recognize(bundle, np.zeros(10), precision="fp32")
    assert message in answer["error"]["message"]
    assert answer["error"]["hint"]


def test_broken_files_say_what_is_wrong(recognizing, tiny, tmp_path):
    bundle = shutil.copytree(tiny, tmp_path / "bundle")
    (bundle / "manifest.json").write_text("{")
    answer = recognizing.recognize(bundle, np.zeros(10))
    assert "not JSON" in answer["error"]["message"]
    bundle = write_tiny_bundle(tmp_path / "none", has_fp32=False)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["model_int8"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    answer = recognizing.recognize(bundle, np.zeros(10))
    assert "neither of model, model_int8" in answer["error"]["message"]


@pytest.mark.parametrize(("precision", "other"), [("fp32", "int8"), ("int8", "fp32")])
def test_a_bundle_may_have_one_model(recognizing, tmp_path, precision, other):
    bundle = write_tiny_bundle(tmp_path / "bundle", has_fp32=precision == "fp32", has_int8=precision == "int8")
    expected = Recognizer(bundle, backend="onnxruntime").transcribe(speak("abc de"))
    for asked in ("auto", precision):
        found = recognizing.recognize(bundle, speak("abc de"), precision=asked)
        assert tuple(found["ids"]) == expected.ids
    answer = recognizing.recognize(bundle, np.zeros(10), precision=other)
    assert f"no {other} model" in answer["error"]["message"]


def test_what_was_heard_is_saved_as_it_is(scripts, tmp_path):
    samples = np.concatenate([speech_like(0.3), np.float32([1.5, -2.0, 1e-9])])
    assert scripts.ask("wav", samples, sampleRateHz=44100, output=str(tmp_path / "heard.wav")) == {}
    found, rate = soundfile.read(tmp_path / "heard.wav", dtype="float32")
    assert rate == 44100
    assert np.array_equal(found, samples)
