"""Where a corpus is looked for, and in which order."""

import json
import pwd

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import an4, cache_dir, embedded, find_corpus, read_manifest
from lottery_train.corpora.download import Archive
from lottery_train.errors import CorpusError
from runtime.errors import LotteryError


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """An empty cache, no LOTTERY_DATA, and no way out to the network."""
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LOTTERY_DATA", raising=False)
    # Port 9 (discard) of this machine: nothing listens, the connection is refused at once.
    monkeypatch.setattr(an4, "ARCHIVES", (Archive(url="http://127.0.0.1:9/an4_sphere.tar.gz", sha256="0" * 64),))


def _pack(folder):
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    line = json.dumps({"audio_filepath": "a.wav", "duration": 0.1, "text": "a"})
    for split in ("test", "train", "dev"):
        (folder / f"{split}.jsonl").write_text(line + "\n")
    return folder


def test_data_dir_is_the_corpus_or_its_parent(tmp_path):
    pack = _pack(tmp_path / "data" / "an4")
    expected = {split: pack / f"{split}.jsonl" for split in ("train", "dev", "test")}
    assert find_corpus("an4", data_dir=pack).splits == expected
    assert find_corpus("an4", data_dir=str(pack.parent)).splits == expected
    assert list(find_corpus("anything", data_dir=pack).splits) == ["train", "dev", "test"]


def test_data_dir_goes_before_the_environment_and_is_final(tmp_path, monkeypatch):
    named = _pack(tmp_path / "named" / "an4")
    monkeypatch.setenv("LOTTERY_DATA", str(_pack(tmp_path / "environment" / "an4").parent))
    assert find_corpus("an4", data_dir=named.parent).splits["train"].parent == named
    assert find_corpus("an4").splits["train"].parent == tmp_path / "environment" / "an4"
    with pytest.raises(CorpusError, match="neither train.jsonl nor an4/train.jsonl") as caught:
        find_corpus("an4", data_dir=tmp_path / "typo")
    assert "lottery-train import an4" in caught.value.hint


def test_data_dir_without_the_embedded_corpus_says_where_that_comes_from(tmp_path):
    with pytest.raises(CorpusError, match="neither") as caught:
        find_corpus("embedded", data_dir=tmp_path)
    assert f"LOTTERY_DATA={tmp_path}" in caught.value.hint


def test_the_environment_may_name_the_corpus_itself_but_not_another_one(tmp_path, monkeypatch):
    pack = _pack(tmp_path / "environment" / "an4")
    monkeypatch.setenv("LOTTERY_DATA", str(pack))
    assert find_corpus("an4").splits["train"].parent == pack
    with pytest.raises(CorpusError, match="corpus 'mine' was not found"):
        find_corpus("mine")


def test_the_environment_goes_before_the_cache_and_the_cache_before_the_network(tmp_path, monkeypatch):
    cached = _pack(cache_dir() / "corpora" / "an4")
    assert find_corpus("an4").splits["train"].parent == cached
    pack = _pack(tmp_path / "environment" / "an4")
    monkeypatch.setenv("LOTTERY_DATA", str(pack.parent))
    assert find_corpus("an4").splits["train"].parent == pack


def test_without_network_the_message_says_what_to_do():
    with pytest.raises(CorpusError, match="corpus 'an4': cannot download http://127.0.0.1:9/") as caught:
        find_corpus("an4")
    assert "--data-dir" in caught.value.hint
    assert "embedded" in caught.value.hint
    assert [path for path in cache_dir().rglob("*") if path.is_file()] == []


def test_a_corpus_nobody_may_download_names_its_homepage():
    with pytest.raises(CorpusError, match=r"'common_voice' was not found .*commonvoice\.mozilla\.org"):
        find_corpus("common_voice")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CorpusError, match="corpus 'nope' was not found") as caught:
        find_corpus("nope")
    assert "embedded" in caught.value.hint
    assert "librispeech" in caught.value.hint


def test_the_embedded_corpus_is_the_default_and_is_kept(monkeypatch):
    monkeypatch.setattr(embedded.build, "__kwdefaults__", {"num_train": 3, "num_dev": 1, "num_test": 1, "seed": 0})
    corpus = find_corpus()
    assert corpus.name == "embedded"
    assert corpus.splits["train"] == cache_dir() / "corpora" / "embedded" / "train.jsonl"
    assert len(read_manifest(corpus.splits["train"])[0]) == 3
    before = corpus.splits["train"].stat()
    assert find_corpus("embedded") == corpus
    assert corpus.splits["train"].stat() == before


def test_cache_dir_follows_the_environment(tmp_path, monkeypatch):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("LOTTERY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "lottery-asr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "lottery-asr"


def test_without_a_home_directory_the_variable_is_named(monkeypatch):
    def nobody(number):
        raise KeyError(number)

    for name in ("LOTTERY_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(LotteryError, match="no home directory") as caught:
        cache_dir()
    assert "LOTTERY_CACHE" in caught.value.hint
