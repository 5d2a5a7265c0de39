"""Mini LibriSpeech in its official layout, and where it comes from."""

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import IMPORTERS, find_corpus, import_corpus, read_manifest
from lottery_train.corpora.download import Archive
from lottery_train.errors import CorpusError
from lottery_train.presets import PRESETS


def _part(folder, *, speakers):
    for speaker in speakers:
        chapter = folder / str(speaker) / "7"
        chapter.mkdir(parents=True)
        (chapter / f"{speaker}-7.trans.txt").write_text(f"{speaker}-7-0000 IT'S THE FIRST\n{speaker}-7-0001 SECOND\n")
        for number in range(2):
            soundfile.write(chapter / f"{speaker}-7-000{number}.flac", np.zeros(1600), 16000)


@pytest.mark.parametrize("inner", ["", "LibriSpeech"])
def test_the_development_part_is_divided_by_speaker(tmp_path, inner):
    source = tmp_path / "source"
    _part(source / inner / "train-clean-5", speakers=(1, 2))
    _part(source / inner / "dev-clean-2", speakers=range(10, 20))
    (source / inner / "dev-clean-2" / "10" / "7" / "10-7-0001.flac").unlink()
    corpus = import_corpus("mini_librispeech", source_dir=source, out_dir=tmp_path / "out")
    found = {split: read_manifest(path)[0] for split, path in corpus.splits.items()}
    speakers = {split: {utterance.speaker for utterance in utterances} for split, utterances in found.items()}
    assert speakers["train"] == {"1", "2"}
    assert len(speakers["dev"]) == len(speakers["test"]) == 5
    assert speakers["dev"] | speakers["test"] == {str(speaker) for speaker in range(10, 20)}
    assert {utterance.text for utterance in found["train"]} == {"it's the first", "second"}
    [skipped] = corpus.skipped
    assert (skipped.file.name, skipped.line) == ("10-7.trans.txt", 2)


def test_names_that_lead_elsewhere_are_skipped_with_their_line(tmp_path):
    _part(tmp_path / "train-clean-5", speakers=(1,))
    _part(tmp_path / "dev-clean-2", speakers=(2, 3))
    index = tmp_path / "train-clean-5" / "1" / "7" / "1-7.trans.txt"
    index.write_text("../../secret A\n1-7-0000 B\n. C\n\x1b[2J D\n")
    corpus = import_corpus("mini_librispeech", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert [(skipped.file, skipped.line) for skipped in corpus.skipped] == [(index, 1), (index, 3), (index, 4)]
    assert all(str(skipped).isprintable() for skipped in corpus.skipped)
    assert [utterance.text for utterance in read_manifest(corpus.splits["train"])[0]] == ["b"]


def test_a_missing_part_is_named(tmp_path):
    _part(tmp_path / "train-clean-5", speakers=(1,))
    with pytest.raises(CorpusError, match="dev-clean-2 missing") as caught:
        import_corpus("mini_librispeech", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert "openslr.org/31" in caught.value.hint


def test_the_preset_s_corpus_is_looked_for_at_its_official_address(tmp_path, monkeypatch):
    name = PRESETS["mini_librispeech"]().data.corpus
    importer = IMPORTERS[name]
    addresses = [archive.url for archive in importer.ARCHIVES]
    assert addresses == [f"https://www.openslr.org/resources/31/{part}.tar.gz" for part in importer._SUBSETS]
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path))
    monkeypatch.delenv("LOTTERY_DATA", raising=False)
    # Port 9 (discard) of this machine: nothing listens, the connection is refused at once.
    monkeypatch.setattr(
        importer, "ARCHIVES", (Archive(url="http://127.0.0.1:9/train-clean-5.tar.gz", sha256="0" * 64),)
    )
    with pytest.raises(CorpusError, match="cannot download http://127.0.0.1:9/train-clean-5"):
        find_corpus(name)
