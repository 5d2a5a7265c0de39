"""The comparison with sherpa-onnx: what counts as a difference, what it is put down to, and what is written."""

import json

import numpy as np
import pytest
import soundfile

from benchmarks import sherpa, sherpa_differences, sherpa_ours
from lottery_train.corpora import Utterance, write_manifest
from runtime.recognizer import Recognizer
from runtime.synthetic import speech_like
from tests.tiny_bundle import speak, write_tiny_bundle


def clip(tokens, *, times=None, margins=()):
    times = [0.04 * index for index in range(len(tokens))] if times is None else times
    return {"tokens": list(tokens), "times": times, "margins": list(margins)}


def test_counts():
    expected = [clip("abc"), clip([" a", "b"]), clip("ab"), clip("")]
    found = [clip("abc"), clip(["a", "b", "b"]), clip("ab", times=[0.0, 0.08]), clip("")]
    assert sherpa_differences.count(found, expected) == {
        "clips": 4,
        "clips_with_other_tokens": 1,
        "clips_with_other_times": 2,
        "tokens": 7,
        "token_edits": 2,
    }


@pytest.mark.parametrize(
    ("theirs", "time_s", "margin"),
    [
        (clip("abx", times=[0.0, 0.08, 0.12]), 0.12, 0.3),
        (clip("ab", times=[0.0, 0.08]), 0.12, 0.3),
        (clip("xabc", times=[0.0, 0.04, 0.08, 0.12]), 0.0, 0.0),
        (clip("abc", times=[0.0, 0.04, 0.12]), 0.04, 0.1),
    ],
    ids=["substituted", "missing", "inserted", "earlier"],
)
def test_where_and_how_undecided(theirs, time_s, margin):
    ours = clip("abc", times=[0.0, 0.08, 0.12], margins=[0.0, 0.1, 0.2, 0.3])
    assert sherpa_differences.undecided(ours, theirs) == {"time_s": time_s, "margin": margin}


@pytest.mark.parametrize(
    ("agreeing", "cause"),
    [
        ({("theirs", "ours"), ("theirs", "kaldi")}, "build of onnxruntime"),
        ({("ours", "kaldi"), ("theirs", "kaldi")}, "last digit of the features"),
        ({("theirs", "kaldi")}, "last digit of the features and build of onnxruntime"),
        (set(), sherpa_differences.UNEXPLAINED),
    ],
)
def test_a_difference_is_put_down_to_what_makes_it_vanish(agreeing, cause):
    ours, theirs = clip("ab", margins=[0.5, 0.25]), clip("ac")
    keys = [("ours", "kaldi"), ("theirs", "ours"), ("theirs", "kaldi")]
    again = {key: [clip("aa"), theirs if key in agreeing else ours] for key in keys}
    (record,) = sherpa_differences.explain(
        ["same", "other"], ours=[clip("aa"), ours], theirs=[clip("aa"), theirs], again=again
    )
    assert record == {
        "clip": "other",
        "time_s": 0.04,
        "margin": 0.25,
        "cause": cause,
        "ours": "ab",
        "sherpa_onnx": "ac",
    }


def test_no_cause_is_named_where_none_was_looked_for():
    ours, theirs = [clip("ab", margins=[0.5, 0.25])], [clip("ac")]
    (record,) = sherpa_differences.explain(["a"], ours=ours, theirs=theirs, again={("ours", "kaldi"): ours})
    assert record["cause"] == sherpa_differences.NOT_TRIED


def test_our_answer_is_the_recognizers_with_either_features(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    samples = speak("ab cd e")
    samples.tofile(tmp_path / "clip.f32")
    recognizer = Recognizer(bundle, backend="onnxruntime", precision="fp32")
    expected = recognizer.transcribe(samples)
    request = {"bundle": bundle, "backend": "onnxruntime", "precision": "fp32", "clips": [tmp_path / "clip.f32"]}
    for features in sherpa_ours.FEATURES:
        (found,) = sherpa_ours.answer({**request, "features": features})["clips"]
        assert "".join(found["tokens"]) == expected.text == "ab cd e"
        assert found["times"][0] == pytest.approx(expected.words[0].start_s)
        assert len(found["margins"]) >= len(samples) / 640
        assert min(found["margins"]) >= 0


class EchoEnvironment:
    """Stands in for another sherpa-onnx: says what our runtime says, but for the first clip in int8."""

    is_installed = False

    def __init__(self, version, *, folder):
        self.version, self.precision = version, None

    def install_onnxruntime(self, version):
        self.onnxruntime = version

    def theirs(self, *, model, tokens, clips):
        precision = "int8" if "int8" in model else "fp32"
        bundle = model.rpartition("/")[0]
        request = {"bundle": bundle, "backend": "onnxruntime", "precision": precision, "features": "kaldi"}
        found = sherpa_ours.answer({**request, "clips": clips})["clips"]
        if precision == "int8":
            found[0]["tokens"][-1] = "x"
        return {"sherpa_onnx": self.version, "onnxruntime": "1.2.3", "clips": found}

    def ours(self, request):
        answer = sherpa_ours.answer(request)
        if request["features"] == "kaldi":
            answer["clips"][0]["tokens"][-1] = "x"
        return answer


@pytest.fixture
def tones(tmp_path, monkeypatch):
    """The folder of a pack of three clips, of which two are compared with EchoEnvironments."""
    utterances = []
    for index, text in enumerate(("ab", "c d", "e")):
        path = tmp_path / "data" / "tones" / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = speak(text)
        soundfile.write(path, samples, 16000, subtype="FLOAT")
        utterances.append(Utterance(audio_path=path, duration_s=len(samples) / 16000, text=text))
    write_manifest(tmp_path / "data" / "tones" / "test.jsonl", utterances=utterances)
    monkeypatch.setattr(sherpa, "CLIPS", {"tones/test": 2})
    monkeypatch.setattr(sherpa, "Environment", EchoEnvironment)
    return tmp_path / "data"


def test_command(tones, tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    arguments = [str(bundle), "--data-dir", str(tones), "--versions", "1.0", "newest"]
    assert sherpa.main([*arguments, "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "sherpa.json").read_text())
    assert written["summary"] == {
        "sherpa_clips": 2,
        "sherpa_token_mismatches": 0,
        "timestamp_mismatches": 0,
        "versions": ["1.0", "newest"],
        "sherpa_int8_clips_that_differ": 1,
        "sherpa_int8_token_edits_percent": written["summary"]["sherpa_int8_token_edits_percent"],
        "int8_largest_margin": written["summary"]["int8_largest_margin"],
        "int8_unexplained": 0,
        "int8_same_features_and_onnxruntime_mismatches": 0,
    }
    (record,) = written["versions"][0]["int8"]["differences"]
    assert record["cause"] == "last digit of the features and build of onnxruntime"
    assert record["clip"].startswith("tones/test/")
    assert "theirs onnxruntime kaldi features" in capsys.readouterr().out


def test_the_bundle_that_comes_along_has_int8_alone(tones, tmp_path, monkeypatch, capsys):
    bundle = write_tiny_bundle(tmp_path / "shipped", has_fp32=False)
    monkeypatch.setattr(sherpa, "shipped_bundle", lambda: bundle)
    assert sherpa.main(["--data-dir", str(tones), "--versions", "1.0", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "sherpa.json").read_text())
    assert written["summary"]["sherpa_clips"] == 2
    assert written["summary"]["sherpa_int8_clips_that_differ"] == 1
    assert "sherpa_token_mismatches" not in written["summary"]
    assert "fp32" not in written["versions"][0]
    assert written["our_int8_beside_our_fp32"] is None
    assert "fp32" not in capsys.readouterr().out


def test_a_bundle_with_float32_alone(tones, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "fp32", has_int8=False)
    assert sherpa.main([str(bundle), "--data-dir", str(tones), "--versions", "1.0", "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "sherpa.json").read_text())["summary"]
    assert summary == {
        "sherpa_clips": 2,
        "versions": ["1.0"],
        "sherpa_token_mismatches": 0,
        "timestamp_mismatches": 0,
    }


def test_clips_are_the_same_each_time_and_end_in_silence(tmp_path, monkeypatch):
    path = tmp_path / "pack" / "clip.wav"
    path.parent.mkdir()
    soundfile.write(path, speech_like(0.5), 8000)
    utterances = [Utterance(audio_path=path, duration_s=1.0, text=str(index)) for index in range(9)]
    write_manifest(tmp_path / "pack" / "dev.jsonl", utterances=utterances)
    monkeypatch.setattr(sherpa, "CLIPS", {"pack/dev": 3})
    (names, paths), (again, _) = (sherpa.choose_clips(tmp_path, folder=tmp_path) for _ in range(2))
    assert names == again == ["pack/dev/clip.wav"] * 3
    samples = np.fromfile(paths[0], np.float32)
    # 8000 samples at 8 kHz are resampled to 16000; a second of silence follows.
    assert len(samples) == 32000
    assert not samples[16000:].any()
    assert samples[:16000].any()
