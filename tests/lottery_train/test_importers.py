"""Importers on small trees in the official layouts."""

import csv
import os
import zlib

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import IMPORTERS, import_corpus, load_audio, normalize_transcript, read_manifest
from lottery_train.errors import CorpusError
from lottery_train.torchaudio_import import import_torchaudio


def _record(path, *, seconds=0.5, rate_hz=16000, format=None):
    """Write noise that differs from file to file; return its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    samples = 0.1 * rng.standard_normal(int(seconds * rate_hz))
    soundfile.write(path, samples, rate_hz, format=format)
    return samples


def _write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _imported(name, *, source_dir, out_dir):
    """Return the corpus and {split: [(text, speaker, file name)]} as read back from its manifests."""
    corpus = import_corpus(name, source_dir=source_dir, out_dir=out_dir)
    splits = {}
    for split, path in corpus.splits.items():
        assert path == out_dir / f"{split}.jsonl"
        utterances, skipped = read_manifest(path)
        assert skipped == []
        splits[split] = [(item.text, item.speaker, item.audio_path.name) for item in utterances]
    return corpus, splits


def _an4(root):
    train = {
        "an251-fash-b": "<s> YES </s>",
        "cen1-ffmm-b": "<s> G O R D O N </s>",
        "an4-fash-b": "<s> ENTER SEVENTY EIGHT </s>",
    }
    test = {"an406-fcaw-b": "RUBOUT G M E F THREE NINE"}
    for part, folder, texts in (("an4_train", "an4_clstk", train), ("an4_test", "an4test_clstk", test)):
        ids = [f"{folder}/{name.split('-')[1]}/{name}" for name in texts]
        _write(root / "etc" / f"{part}.fileids", *ids)
        _write(root / "etc" / f"{part}.transcription", *(f"{text} ({name})" for name, text in texts.items()))
        for name in ids:
            _record(root / "wav" / f"{name}.sph", format="NIST")


@pytest.mark.parametrize("inner", ["", "an4"])
def test_an4(tmp_path, inner):
    _an4(tmp_path / "source" / inner)
    corpus, splits = _imported("an4", source_dir=tmp_path / "source", out_dir=tmp_path / "out")
    assert splits == {
        "train": [("yes", "fash", "an251-fash-b.sph"), ("enter seventy eight", "fash", "an4-fash-b.sph")],
        "dev": [("g o r d o n", "ffmm", "cen1-ffmm-b.sph")],
        "test": [("rubout g m e f three nine", "fcaw", "an406-fcaw-b.sph")],
    }
    assert corpus.skipped == ()
    [first, _], _ = read_manifest(corpus.splits["train"])
    assert load_audio(first).shape == (8000,)


def test_an4_counts_what_it_leaves_out(tmp_path):
    _an4(tmp_path / "an4")
    index = tmp_path / "an4" / "etc" / "an4_train.transcription"
    with open(index, "a") as file:
        file.write("<s> NO ID </s>\n\n<s> NO AUDIO </s> (an9-xxxx-b)\n")
    (tmp_path / "an4" / "wav" / "an4_clstk" / "fash" / "an4-fash-b.sph").write_bytes(b"NIST_1A\n   1024\nrubbish")
    corpus, splits = _imported("an4", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert [text for text, _, _ in splits["train"]] == ["yes"]
    assert [(item.file, item.line) for item in corpus.skipped] == [(index, 4), (index, 6), (index, 3)]
    assert "expected `TEXT (id)`" in corpus.skipped[0].reason
    assert "an4-fash-b.sph" in corpus.skipped[2].reason
    assert (tmp_path / "out" / "skipped.txt").read_text().splitlines() == [str(item) for item in corpus.skipped]


def _librispeech(root, *, subsets):
    for subset, speaker in subsets.items():
        folder = root / subset / str(speaker) / "7"
        names = [f"{speaker}-7-{number:04d}" for number in range(2)]
        _write(folder / f"{speaker}-7.trans.txt", f"{names[0]} IT'S THE FIRST", f"{names[1]} AND THE SECOND")
        for name in names:
            _record(folder / f"{name}.flac")


@pytest.mark.parametrize("inner", ["", "LibriSpeech"])
def test_librispeech(tmp_path, inner):
    subsets = {"train-clean-100": 1, "train-other-500": 2, "dev-clean": 3, "test-clean": 4, "test-other": 5}
    _librispeech(tmp_path / "source" / inner, subsets=subsets)
    corpus, splits = _imported("librispeech", source_dir=tmp_path / "source", out_dir=tmp_path / "out")

    def expected(speaker):
        texts = ("it's the first", "and the second")
        return [(text, str(speaker), f"{speaker}-7-{number:04d}.flac") for number, text in enumerate(texts)]

    assert splits == {
        "train": expected(1) + expected(2),
        "dev": expected(3),
        "test": expected(4),
        "test_other": expected(5),
    }
    assert corpus.skipped == ()


def test_librispeech_without_held_out_parts_gets_them_by_speaker(tmp_path):
    for speaker in range(10, 30):
        _librispeech(tmp_path / "LibriSpeech", subsets={"train-clean-100": speaker})
    _, splits = _imported("librispeech", source_dir=tmp_path, out_dir=tmp_path / "out")
    speakers = {split: {speaker for _, speaker, _ in items} for split, items in splits.items()}
    assert {split: len(found) for split, found in speakers.items()} == {"train": 16, "dev": 2, "test": 2}
    assert len(set.union(*speakers.values())) == 20


def test_librispeech_counts_recordings_without_transcript(tmp_path):
    _librispeech(tmp_path, subsets={"train-clean-100": 1, "dev-clean": 3, "test-clean": 4})
    _record(tmp_path / "train-clean-100" / "1" / "7" / "1-7-0009.flac")
    corpus, splits = _imported("librispeech", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert len(splits["train"]) == 2
    [skipped] = corpus.skipped
    assert "1-7-0009" in skipped.reason


def _speech_commands(root):
    words = {"yes": ("a1", "b2", "c3"), "stop": ("a1", "d4")}
    for word, speakers in words.items():
        for speaker in speakers:
            _record(root / word / f"{speaker}_nohash_0.wav")
    _record(root / "_background_noise_" / "running_tap.wav")
    _write(root / "validation_list.txt", "yes/b2_nohash_0.wav")
    _write(root / "testing_list.txt", "yes/c3_nohash_0.wav")


@pytest.mark.parametrize("inner", ["speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02"])
def test_speech_commands(tmp_path, inner):
    _speech_commands(tmp_path / inner)
    _, splits = _imported("speech_commands", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert splits == {
        "train": [
            ("stop", "a1", "a1_nohash_0.wav"),
            ("stop", "d4", "d4_nohash_0.wav"),
            ("yes", "a1", "a1_nohash_0.wav"),
        ],
        "dev": [("yes", "b2", "b2_nohash_0.wav")],
        "test": [("yes", "c3", "c3_nohash_0.wav")],
    }
    again, _ = _imported("speech_commands", source_dir=tmp_path / inner, out_dir=tmp_path / "out2")
    assert read_manifest(again.splits["train"])[0] == read_manifest(tmp_path / "out" / "train.jsonl")[0]


def _tedlium(root, *, parts):
    """Write a release; return {talk: samples}."""
    talks = {}
    for part, lines in parts.items():
        folder = root / part
        for talk in {line.split()[0] for line in lines}:
            talks[talk] = _record(folder / "sph" / f"{talk}.sph", seconds=4, format="NIST")
            _write(folder / "stm" / f"{talk}.stm", *(line for line in lines if line.startswith(f"{talk} ")))
    return talks


_TED_LINES = {
    "train": [
        "Ann_2009 1 Ann_2009 0.00 1.50 <o,f0,female> it 's {BREATH} a tiger(2) <sil> rock",
        "Ann_2009 1 inter_segment_gap 1.50 1.75 <o,,> ignore_time_segment_in_scoring",
        "Ann_2009 1 Ann_2009 1.75 3.00 <o,f0,female> an <unk> word",
        "Ann_2009 1 Ann_2009 3.00 9.00 <o,f0,female> to the end",
        "Ann_2009 1 Ann_2009 9.00 9.50 <o,f0,female> after the end",
    ],
    "dev": ["Bob_2010 1 Bob_2010 0.25 1.25 <NA> don 't"],
    "test": ["Cid_2011 1 Cid_2011 0.50 1.00 <NA> done"],
}


@pytest.mark.parametrize("release", ["TEDLIUM_release1", "TEDLIUM_release-3"])
def test_tedlium(tmp_path, release):
    parts = dict(_TED_LINES)
    if release == "TEDLIUM_release-3":
        # Release 3 keeps every talk in data/ and the held-out ones in legacy/ once more.
        parts = {"data": [*_TED_LINES["train"], *_TED_LINES["dev"]]}
        parts |= {f"legacy/{part}": _TED_LINES[part] for part in ("dev", "test")}
    talks = _tedlium(tmp_path / release, parts=parts)
    corpus, splits = _imported("tedlium", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert splits == {
        "train": [
            ("it's a tiger rock", "Ann_2009", "Ann_2009.sph"),
            ("to the end", "Ann_2009", "Ann_2009.sph"),
        ],
        "dev": [("don't", "Bob_2010", "Bob_2010.sph")],
        "test": [("done", "Cid_2011", "Cid_2011.sph")],
    }
    [first, last], _ = read_manifest(corpus.splits["train"])
    assert (first.offset_s, first.duration_s, last.offset_s, last.duration_s) == (0.0, 1.5, 3.0, 1.0)
    # SPHERE holds 16-bit samples.
    np.testing.assert_allclose(load_audio(first), talks["Ann_2009"][:24000], atol=2**-15)
    np.testing.assert_allclose(load_audio(last), talks["Ann_2009"][48000:], atol=2**-15)
    assert sorted((item.line, item.reason.split()[0]) for item in corpus.skipped) == [(3, "the"), (5, "9.0")]


def _common_voice(root):
    header = ["client_id", "path", "sentence", "up_votes", "locale"]
    rows = {
        "train": [
            ["c1", "cv_1.mp3", "Don\u2019t!", "2", "en"],
            ["c2", "cv_2.mp3", '"Never closed, she said.', "2", "en"],
            ["c3", "cv_3.mp3", 'A "quoted" word', "2", "en"],
        ],
        "dev": [["c4", "cv_4.mp3", "Four", "2", "en"]],
        "test": [["c5", "cv_5.mp3", "Five", "2", "en"]],
    }
    for split, lines in rows.items():
        _write(root / f"{split}.tsv", *("\t".join(line) for line in [header, *lines]))
        for line in lines:
            _record(root / "clips" / line[1], rate_hz=48000, format="MP3")


def test_common_voice(tmp_path):
    _common_voice(tmp_path / "en")
    corpus, splits = _imported("common_voice", source_dir=tmp_path / "en", out_dir=tmp_path / "out")
    assert splits == {
        "train": [
            ("don't", "c1", "cv_1.mp3"),
            ("never closed she said", "c2", "cv_2.mp3"),
            ("a quoted word", "c3", "cv_3.mp3"),
        ],
        "dev": [("four", "c4", "cv_4.mp3")],
        "test": [("five", "c5", "cv_5.mp3")],
    }
    [utterance], _ = read_manifest(corpus.splits["dev"])
    assert utterance.lang == "en"
    assert load_audio(utterance).shape == (8000,)


def test_common_voice_reads_the_rows_that_torchaudio_reads(tmp_path):
    _common_voice(tmp_path)
    rows = [["c1", "x_1.mp3", "Plain."], ["c2", "x_2.mp3", "It's 'this' \u2014 or that"], ["c3", "x_3.mp3", "Three"]]
    _write(tmp_path / "train.tsv", "client_id\tpath\tsentence", *("\t".join(row) for row in rows))
    for row in rows:
        _record(tmp_path / "clips" / row[1], rate_hz=48000, format="MP3")
    dataset = import_torchaudio().datasets.COMMONVOICE(tmp_path, "train.tsv")
    _, splits = _imported("common_voice", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert splits["train"] == [(normalize_transcript(text), client, name) for client, name, text in dataset._walker]


def test_common_voice_counts_rows_and_clips_it_cannot_use(tmp_path):
    _common_voice(tmp_path)
    with open(tmp_path / "train.tsv", "a") as file:
        file.write("c9\tcv_9.mp3\n" + "c8\tcv_8.mp3\tNo clip\t0\ten\n")
    corpus, splits = _imported("common_voice", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert len(splits["train"]) == 3
    assert [(item.line, item.reason[:8]) for item in corpus.skipped] == [(5, "2 fields"), (6, str(tmp_path)[:8])]


def _folder(root, *, columns, rows):
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    for row in rows:
        _record(root / row[0])


def test_folder_with_splits(tmp_path):
    rows = [
        ["a.wav", 'Say "hi", then stop', "train", "s1"],
        ["b/c.wav", "two", "validation", "s2"],
        ["d.wav", "three", "test", ""],
    ]
    _folder(tmp_path / "in", columns=["file", "text", "split", "speaker"], rows=rows)
    _, splits = _imported("folder", source_dir=tmp_path / "in", out_dir=tmp_path / "out")
    assert splits == {
        "train": [("say hi then stop", "s1", "a.wav")],
        "dev": [("two", "s2", "c.wav")],
        "test": [("three", None, "d.wav")],
    }


def test_folder_without_splits_keeps_speakers_apart(tmp_path):
    rows = [[f"s{speaker}/{number}.wav", "a", f"s{speaker}"] for speaker in range(12) for number in range(2)]
    _folder(tmp_path / "in", columns=["file", "text", "speaker"], rows=rows)
    _, splits = _imported("folder", source_dir=tmp_path / "in", out_dir=tmp_path / "out")
    speakers = [{speaker for _, speaker, _ in items} for items in splits.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 12
    again = import_corpus("folder", source_dir=tmp_path / "in", out_dir=tmp_path / "again")
    for split, path in again.splits.items():
        assert path.read_bytes() == (tmp_path / "out" / f"{split}.jsonl").read_bytes()


def test_folder_beside_its_manifests_can_be_moved(tmp_path):
    _folder(tmp_path / "in", columns=["file", "text"], rows=[[f"{number}.wav", "a"] for number in range(5)])
    import_corpus("folder", source_dir=tmp_path / "in", out_dir=tmp_path / "in")
    os.rename(tmp_path / "in", tmp_path / "moved")
    utterances, _ = read_manifest(tmp_path / "moved" / "train.jsonl")
    assert len(utterances) == 3
    with pytest.raises(CorpusError, match="holds a corpus already"):
        import_corpus("folder", source_dir=tmp_path / "moved", out_dir=tmp_path / "moved")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,words\na.wav,yes\n", r"metadata\.csv:1: the header lacks file, text"),
        ("", r"metadata\.csv:1: the header lacks"),
        ('file,text\na.wav,"yes\n', r"metadata\.csv:2: not CSV: .*, in the row that begins here"),
        ('file,text\n"a.wav","yes\nb.wav,"no"\n', r"metadata\.csv:2: not CSV"),
        ("file,text,text\na.wav,yes,no\n", r"metadata\.csv:1: the header names 'text' twice"),
        (b"file,text\na.wav,yes\nb.wav,caf\xe9\n", r"metadata\.csv:3: not UTF-8 text: .* \(0xe9\)"),
        ("file,text,split\na.wav,yes,training set\n", r"metadata\.csv:2: split must be train, dev, test"),
        ("file,text\na.wav,yes\n", r"no utterance for training; 1 left out, the first is .*metadata\.csv:2: .*a\.wav"),
    ],
)
def test_folder_with_a_faulty_table(tmp_path, content, message):
    (tmp_path / "metadata.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError, match=message):
        import_corpus("folder", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", sorted(IMPORTERS))
def test_a_folder_without_the_corpus_is_named(tmp_path, name):
    with pytest.raises(CorpusError, match=str(tmp_path / "nothing")):
        import_corpus(name, source_dir=tmp_path / "nothing", out_dir=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_importer_lists_the_known_ones(tmp_path):
    with pytest.raises(CorpusError) as caught:
        import_corpus("timit", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert "an4, common_voice, folder, librispeech, mini_librispeech, speech_commands, tedlium" in caught.value.hint


def test_speech_commands_counts_a_name_without_its_parts(tmp_path):
    _speech_commands(tmp_path / "speech_commands_v0.02")
    _record(tmp_path / "speech_commands_v0.02" / "yes" / "e5_nohash_first.wav")
    corpus, splits = _imported("speech_commands", source_dir=tmp_path, out_dir=tmp_path / "out")
    assert len(splits["train"]) == 3
    assert [item.file.name for item in corpus.skipped] == ["e5_nohash_first.wav"]


def test_a_talk_that_is_not_utf8_is_an_error(tmp_path):
    _tedlium(tmp_path / "TEDLIUM_release1", parts=_TED_LINES)
    (tmp_path / "TEDLIUM_release1/dev/stm/Bob_2010.stm").write_bytes(b"Bob_2010 1 Bob_2010 0 1 <NA> caf\xe9")
    with pytest.raises(CorpusError, match="part dev: a file in stm is not UTF-8 text"):
        import_corpus("tedlium", source_dir=tmp_path, out_dir=tmp_path / "out")
