"""The negatives corpus: repeatable, outside the domain, nothing held out for a test, and really speech."""

import hashlib
import json
import re

import numpy as np
import pytest

from lottery_train.corpora import load_audio, locate, read_manifest
from lottery_train.corpora.english_sentences import ENGLISH_SENTENCES, ENGLISH_WORDS
from lottery_train.corpora.espeak import Request, synthesise
from lottery_train.corpora.foreign_sentences import FOREIGN_SENTENCES
from lottery_train.corpora.negatives import _PSEUDO_VOICES, _write_script, build
from lottery_train.corpora.sentences import vocabulary
from lottery_train.corpora.voices import VARIANTS
from lottery_train.errors import CorpusError

SIZES = {"num_train": 60, "num_dev": 20}
# Mandarin, Cantonese and Hakka, German and Luxembourgish, French, Spanish: the test of rejection speaks such languages.
HELD_OUT = {"cmn", "yue", "hak", "zh", "de", "lb", "fr", "es"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return build(tmp_path_factory.mktemp("negatives") / "corpus", **SIZES, seed=3)


@pytest.fixture(scope="module")
def utterances(corpus):
    return {split: read_manifest(path, needs_text=False)[0] for split, path in corpus.splits.items()}


@pytest.fixture(scope="module")
def script():
    return _write_script(sizes={"train": 1500, "dev": 150}, seed=0)


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


def test_every_text_is_empty_and_a_reader_that_needs_words_refuses(corpus, utterances):
    assert {split: len(items) for split, items in utterances.items()} == {"train": 60, "dev": 20}
    for path in corpus.splits.values():
        assert all(json.loads(line)["text"] == "" for line in path.read_text().splitlines())
        with pytest.raises(CorpusError, match="'text' is empty"):
            read_manifest(path)


def test_recordings_hold_speech_of_several_levels_and_lengths(utterances):
    peaks_db = []
    for item in utterances["train"] + utterances["dev"]:
        samples = load_audio(item)
        assert len(samples) == pytest.approx(16000 * item.duration_s, abs=1)
        assert 0.4 < item.duration_s < 12
        blocks = samples[: len(samples) // 400 * 400].reshape(-1, 400)
        levels_db = 10 * np.log10(np.mean(blocks.astype(np.float64) ** 2, axis=1) + 1e-10)
        assert levels_db.max() - levels_db[:2].mean() > 10
        peaks_db.append(20 * np.log10(np.abs(samples).max()))
    assert max(peaks_db) < -2.5
    assert max(peaks_db) - min(peaks_db) > 15


def test_held_out_languages_and_voices_are_never_used(script):
    languages = {line.request.voice.partition("+")[0].partition("-")[0] for line in script}
    languages |= {line.lang.partition("-")[0] for line in script}
    assert {"it", "ko", "en", "zxx", "fa"} <= languages
    assert not languages & HELD_OUT
    assert not {line.request.voice.partition("+")[2] for line in script} & set(VARIANTS["test"])


def test_dev_has_other_languages_sentences_words_and_voices_than_train(script):
    assert not set(FOREIGN_SENTENCES["train"]) & set(FOREIGN_SENTENCES["dev"])
    assert set(_PSEUDO_VOICES["dev"]) <= set(FOREIGN_SENTENCES["dev"])
    assert not set(ENGLISH_SENTENCES["train"]) & set(ENGLISH_SENTENCES["dev"])
    assert not set(ENGLISH_WORDS["train"]) & set(ENGLISH_WORDS["dev"])
    heard = {
        split: {line.request.voice.partition("+")[2] for line in script if line.split == split} for split in VARIANTS
    }
    assert heard["train"]
    assert heard["dev"]
    assert not heard["train"] & heard["dev"]


def test_there_is_enough_to_say():
    assert len(FOREIGN_SENTENCES["train"]) >= 14
    assert len(FOREIGN_SENTENCES["dev"]) >= 4
    for voices in FOREIGN_SENTENCES.values():
        assert all(len(set(sentences)) >= 12 for sentences in voices.values())
    assert len(set(ENGLISH_SENTENCES["train"])) >= 120
    assert len(set(ENGLISH_WORDS["train"])) >= 300


def test_no_single_word_is_in_the_embedded_vocabulary():
    assert not {*ENGLISH_WORDS["train"], *ENGLISH_WORDS["dev"]} & set(vocabulary())


def test_words_are_outside_the_domain_of_the_bundled_recogniser(shared_data):
    domain = set(vocabulary())
    for name in ("an4", "fsdd", "coffee_commands"):
        for line in (shared_data(name) / "train.jsonl").read_text().splitlines():
            domain.update(json.loads(line)["text"].lower().split())
    assert not {*ENGLISH_WORDS["train"], *ENGLISH_WORDS["dev"]} & domain
    spoken = {
        word
        for sentences in ENGLISH_SENTENCES.values()
        for sentence in sentences
        for word in re.findall(r"[a-z']+", sentence.lower())
    }
    assert spoken & domain <= {"a", "an", "and", "have", "i", "me", "of", "on", "with"}


def test_words_that_do_not_exist_have_two_syllables_or_more(script):
    pseudo = [line.request.text for line in script if line.lang == "zxx"]
    assert 0.2 < len(pseudo) / len(script) < 0.3
    for text in pseudo:
        counts = [len(re.findall(r"[aeiouIEV0U@A3O]+", word)) for word in re.findall(r"\[\[([^ ]*?)\]\]", text)]
        assert min(counts) >= 2
        assert sum(counts) <= 10


def test_every_voice_speaks_its_own_sentences():
    voices = {**FOREIGN_SENTENCES["train"], **FOREIGN_SENTENCES["dev"]}
    spoken = synthesise(Request(text=sentences[0], voice=f"{voice}+m1") for voice, sentences in voices.items())
    for voice, (samples, rate_hz) in zip(voices, spoken, strict=True):
        # A voice that cannot read a script spells it out, letter by letter, or says nothing.
        assert 1.5 < len(samples) / rate_hz < 8, voice


def test_the_corpus_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path))
    monkeypatch.delenv("LOTTERY_DATA", raising=False)
    monkeypatch.setitem(locate._SYNTHETIC, "negatives", lambda folder: build(folder, num_train=2, num_dev=1))
    corpus = locate.find_corpus("negatives")
    assert corpus.splits["train"] == tmp_path / "corpora" / "negatives" / "train.jsonl"
    assert len(read_manifest(corpus.splits["train"], needs_text=False)[0]) == 2
