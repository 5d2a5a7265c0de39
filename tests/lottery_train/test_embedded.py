"""The embedded corpus: repeatable, voices held out, and really speech."""

import hashlib
import json

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import load_audio, read_manifest
from lottery_train.corpora.embedded import build
from lottery_train.corpora.espeak import Request, synthesise
from lottery_train.corpora.sentences import draw_sentence, spoken_form, vocabulary
from lottery_train.corpora.voices import VARIANTS
from lottery_train.errors import CorpusError
from runtime.features import fbank

SIZES = {"num_train": 60, "num_dev": 12, "num_test": 12}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return build(tmp_path_factory.mktemp("embedded") / "corpus", **SIZES, seed=3)


@pytest.fixture(scope="module")
def utterances(corpus):
    return {split: read_manifest(path)[0] for split, path in corpus.splits.items()}


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_files_and_another_seed_others(corpus, tmp_path):
    folder = corpus.splits["train"].parent
    build(tmp_path / "again", **SIZES, seed=3)
    assert _digests(tmp_path / "again") == _digests(folder)
    build(tmp_path / "other", **SIZES, seed=4)
    other, this = _digests(tmp_path / "other"), _digests(folder)
    assert all(other[name] != this[name] for name in this if name.endswith(".flac"))


def test_a_finished_corpus_is_reused_and_one_with_other_parameters_replaced(tmp_path):
    sizes = {"num_train": 2, "num_dev": 1, "num_test": 1}
    corpus = build(tmp_path / "c", **sizes, seed=0)
    marked = corpus.splits["train"].parent / "audio" / "train" / "00000.flac"
    marked.write_bytes(b"mark")
    assert build(tmp_path / "c", **sizes, seed=0) == corpus
    assert marked.read_bytes() == b"mark"
    build(tmp_path / "c", **sizes, seed=1)
    assert marked.read_bytes() != b"mark"
    assert json.loads((tmp_path / "c" / "corpus.json").read_text())["seed"] == 1


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CorpusError, match="not an embedded corpus"):
        build(tmp_path, **SIZES, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_failed_build_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("lottery_train.corpora.embedded.draw_voice", lambda rng, *, split: "en-us+nobody")
    with pytest.raises(CorpusError, match="no voice variant 'nobody'"):
        build(tmp_path / "c", **SIZES, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_splits_have_the_sizes_asked_for(utterances):
    assert {split: len(items) for split, items in utterances.items()} == {"train": 60, "dev": 12, "test": 12}


def test_no_voice_variant_is_in_two_splits(utterances):
    heard = {split: {item.speaker.partition("+")[2] for item in items} for split, items in utterances.items()}
    for split, variants in heard.items():
        assert variants
        assert variants <= set(VARIANTS[split])
    listed = [variant for variants in VARIANTS.values() for variant in variants]
    assert len(listed) == len(set(listed))


def test_every_listed_voice_exists(tmp_path):
    requests = [Request(text="go", voice=f"en-us+{variant}") for variants in VARIANTS.values() for variant in variants]
    spoken = [samples.tobytes() for samples, _ in synthesise(requests)]
    assert len(set(spoken)) == len(requests)


def test_recordings_are_as_the_manifest_says(utterances):
    for item in (item for items in utterances.values() for item in items):
        info = soundfile.info(item.audio_path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert item.duration_s == pytest.approx(info.frames / 16000, abs=1e-6)
        assert 0.4 < item.duration_s < 6.0
        # From the slowest spelling to the fastest command; CTC needs more than one 40 ms frame a symbol on average.
        assert 1.5 < len(item.text) / item.duration_s < 25


def test_speech_stands_above_the_noise_and_never_clips(utterances):
    for item in utterances["test"]:
        samples = load_audio(item)
        assert 10 ** (-24.5 / 20) < np.abs(samples).max() < 10 ** (-2.5 / 20)
        blocks = samples[: len(samples) // 400 * 400].reshape(-1, 400)
        levels_db = 10 * np.log10(np.mean(blocks.astype(np.float64) ** 2, axis=1) + 1e-10)
        assert levels_db.max() - levels_db[:2].mean() > 10


def test_sentences_stay_within_the_vocabulary_and_use_all_of_it():
    rng = np.random.default_rng(0)
    sentences = [draw_sentence(rng) for _ in range(4000)]
    assert {word for sentence in sentences for word in sentence.split()} == set(vocabulary())
    assert len(vocabulary()) == 79
    assert all(sentence == " ".join(sentence.split()) for sentence in sentences)


def test_a_lone_a_is_the_letter_and_not_the_article():
    assert spoken_form("a x turn nine") == "[['eI]] X turn nine"
    letter, name, article = (
        samples for samples, _ in synthesise([Request(text=text, voice="en-us") for text in ("[['eI]]", "ay", "a one")])
    )
    assert len(letter) == pytest.approx(len(name), rel=0.1)
    assert len(article) > len(letter)


def _distance(left_TF, right_TF):
    """Dynamic time warping between two utterances, per step of the path."""
    costs = np.linalg.norm(left_TF[:, None] - right_TF[None], axis=2)
    totals = np.full((len(left_TF) + 1, len(right_TF) + 1), np.inf)
    totals[0, 0] = 0
    for i in range(len(left_TF)):
        for j in range(len(right_TF)):
            totals[i + 1, j + 1] = costs[i, j] + min(totals[i, j], totals[i, j + 1], totals[i + 1, j])
    return totals[-1, -1] / (len(left_TF) + len(right_TF))


def test_words_can_be_told_apart_across_voices():
    """A template matcher that knows two training voices recognises words of two voices it never heard."""
    words = ("stop", "repeat", "volume", "seven", "left", "nine", "yes", "help")

    def templates(voice):
        spoken = synthesise([Request(text=word, voice=voice) for word in words])
        features = [fbank(samples[: len(samples) // 2 * 2].reshape(-1, 2).mean(axis=1))[::4] for samples, _ in spoken]
        return [(feature_TF - feature_TF.mean(axis=0)) for feature_TF in features]

    known = [templates(voice) for voice in ("en-us+m1", "en-us+f1")]
    hits = 0
    for heard in [templates(voice) for voice in ("en-us+m4", "en-us+f4")]:
        for number, feature_TF in enumerate(heard):
            distances = [min(_distance(feature_TF, voice[word]) for voice in known) for word in range(len(words))]
            hits += int(np.argmin(distances)) == number
    # Chance is 2 of 16.
    assert hits >= 12
