"""The recogniser that comes with the package: whole, small, described, and hearing what it says it hears."""

import numpy as np
import pytest
import soundfile

from benchmarks.shipped_card import DATA
from lottery_train.corpora import load_audio, open_corpus, read_manifest
from lottery_train.corpora.embedded import build
from lottery_train.evaluate import score_texts
from runtime.engine import library
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from runtime.shipped import shipped_bundle
from runtime.transcribe import main as transcribe

MAX_BYTES = 2_000_000
BACKENDS = ("onnxruntime", "engine") if library.is_available() else ("onnxruntime",)


def error_rate(utterances, *, backend, gain=1.0):
    recognizer = Recognizer(backend=backend)
    texts = [recognizer.transcribe(load_audio(utterance) * np.float32(gain)).text for utterance in utterances]
    return score_texts([utterance.text for utterance in utterances], texts).wer


def test_it_is_whole_and_small():
    manifest = Manifest.load(shipped_bundle(), verify="all")
    assert sum(path.stat().st_size for path in shipped_bundle().iterdir()) <= MAX_BYTES
    assert set(manifest.files) == {"model_int8", "model_ticket", "tokens", "words", "parity", "card"}
    assert manifest.provenance["structured"]
    assert manifest.provenance["num_weights"] < manifest.provenance["dense_weights"]


def test_its_card_says_what_it_was_trained_on():
    card = Manifest.load(shipped_bundle()).read("card", bundle=shipped_bundle()).decode()
    for name, (_, licence) in DATA.items():
        assert f"| {name} |" in card
        assert licence in card
    assert "95 % interval" in card


def test_it_hears_voices_that_no_training_heard(tmp_path):
    corpus = build(tmp_path / "embedded", num_train=1, num_dev=1, num_test=24, seed=7)
    utterances, _ = read_manifest(corpus.splits["test"])
    for backend in BACKENDS:
        assert error_rate(utterances, backend=backend) < 0.25


def test_it_hears_people(shared_data):
    utterances, _ = read_manifest(open_corpus(shared_data("an4"), name="an4").splits["test"])
    for backend in BACKENDS:
        assert error_rate(utterances[::5], backend=backend) < 0.15


@pytest.mark.parametrize("gain_db", [-40, -30, 20])
def test_it_hears_people_at_any_level(shared_data, gain_db):
    utterances, _ = read_manifest(open_corpus(shared_data("an4"), name="an4").splits["test"])
    for backend in BACKENDS:
        assert error_rate(utterances[::5], backend=backend, gain=10 ** (gain_db / 20)) < 0.2


def test_it_does_not_answer_to_read_english(shared_data):
    utterances, _ = read_manifest(open_corpus(shared_data("mini_librispeech"), name="mini_librispeech").splits["test"])
    recognizer = Recognizer()
    texts = [recognizer.transcribe(load_audio(utterance)).text for utterance in utterances[::10]]
    assert sum(map(bool, texts)) <= 0.1 * len(texts)


def test_the_command_needs_no_bundle(tmp_path, capsys):
    utterances, _ = read_manifest(build(tmp_path / "e", num_train=1, num_dev=1, num_test=1, seed=7).splits["test"])
    soundfile.write(tmp_path / "a.wav", load_audio(utterances[0]), 16000)
    assert transcribe([str(tmp_path / "a.wav")]) == 0
    assert capsys.readouterr().out.split()
