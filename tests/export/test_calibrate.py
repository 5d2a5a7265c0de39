"""Calibration as a command: what it fits, what it writes, and what the runtime then rejects."""

import json

import numpy as np
import pytest
import soundfile

from export.calibrate import HeardSet, calibrate_bundle, fit_calibration, words_right
from export.card import with_confidence
from export.cli import main
from export.errors import ExportError
from runtime.lexicon import LexiconSearch, read_words
from runtime.manifest import CARD_ROLE, FileEntry, Manifest
from runtime.recognizer import Recognizer
from tests.tiny_bundle import speak, write_tiny_bundle

TEXTS = ("cab bad", "dead", "bee", "ace cab", "bad", "dab dead bee", "bead", "cab")


def write_set(folder, name, clips):
    """Write a manifest of (samples, text) and return its path; text None is left out."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number, (samples, text) in enumerate(clips):
        soundfile.write(folder / f"{name}_{number}.wav", samples, 16000)
        line = {"audio_filepath": f"{name}_{number}.wav", "duration": len(samples) / 16000}
        lines.append(json.dumps(line if text is None else line | {"text": text}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.jsonl"


def blurred(text, *, seed):
    """Two texts at once: the model hears words and cannot decide between their letters."""
    first, second = speak(text), speak(text[::-1])
    return 0.5 * first + 0.5 * second + np.random.default_rng(seed).normal(0, 1e-3, len(first)).astype(np.float32)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Return (calibration, negatives): manifests of clear tones, and of blurred ones and silence."""
    folder = tmp_path_factory.mktemp("sets") / "tones"
    kept = [(speak(text), text) for text in TEXTS]
    # One label is wrong: a word that was recognised and does not count as right.
    kept[-1] = (kept[-1][0], "bad")
    negatives = [(blurred(text, seed=number), None) for number, text in enumerate(("abcde", "edcba", "bcd", "aced"))]
    return (
        [write_set(folder, "dev", kept)],
        [write_set(folder, "blurred", negatives), write_set(folder, "silent", [(np.zeros(8000), "")])],
    )


@pytest.fixture
def bundle(tmp_path):
    folder = write_tiny_bundle(tmp_path / "bundle")
    (folder / "README.md").write_text("# bundle\n\nWhat it is.\n\n## Error rates\n\nNone.\n\n## Sizes\n\nSmall.\n")
    manifest = Manifest.load(folder)
    manifest.files[CARD_ROLE] = FileEntry.of("README.md", bundle=folder)
    manifest.write(folder)
    return folder


def test_the_command_makes_a_bundle_reject(bundle, sets, capsys):
    kept, negatives = sets
    before = Recognizer(bundle)
    assert not before.transcribe(blurred("abcde", seed=9)).is_rejected
    arguments = ["calibrate", bundle, "--calibration", *kept, "--negatives", *negatives]
    assert main([str(argument) for argument in arguments]) == 0
    out, err = capsys.readouterr()
    manifest = Manifest.load(bundle, verify="all")
    figures = manifest.provenance["calibration"]
    assert f"min_confidence {figures['min_confidence']:g}: kept 100.0%, rejected 100.0%" in out
    assert "tones/dev.jsonl" in out
    assert "tones/silent.jsonl: 1 utterances heard, 1 of them without a word" in err
    assert manifest.confidence.min_confidence == figures["min_confidence"]
    assert [record["set"] for record in figures["sets"]] == [
        "tones/dev.jsonl",
        "tones/blurred.jsonl",
        "tones/silent.jsonl",
    ]
    after = Recognizer(bundle)
    assert after.transcribe(blurred("abcde", seed=9)).is_rejected
    assert after.transcribe(speak("dead cab")).text == "dead cab"
    card = (bundle / "README.md").read_text()
    assert f"below {figures['min_confidence']:g} is rejected" in " ".join(card.split())
    assert card.index("## Error rates") < card.index("## Confidence") < card.index("## Sizes")


def test_calibrating_again_changes_nothing(bundle, sets):
    kept, negatives = sets
    calibrate_bundle(bundle, calibration=kept, negatives=negatives, progress=lambda line: None)
    first = [(bundle / name).read_bytes() for name in ("manifest.json", "README.md")]
    calibrate_bundle(bundle, calibration=kept, negatives=negatives, progress=lambda line: None)
    assert [(bundle / name).read_bytes() for name in ("manifest.json", "README.md")] == first


def test_an_export_calibrates_what_it_writes_with_its_words(exported, sets, tmp_path, capsys):
    kept, negatives = sets
    (tmp_path / "list.txt").write_text("a\nb\nc\nd\ne\nab\n")
    arguments = [exported.ticket.folder, "--structured", "--out", tmp_path / "b", "--calibration", *kept]
    arguments += ["--negatives", *negatives, "--words-from", tmp_path / "list.txt"]
    assert main([str(each) for each in arguments]) == 0
    out, err = capsys.readouterr()
    assert "min_confidence" in out
    assert "closed vocabulary: 6 words" in err
    manifest = Manifest.load(tmp_path / "b", verify="all")
    assert manifest.confidence is not None
    assert "## Confidence" in (tmp_path / "b" / "README.md").read_text()
    assert "Not calibrated" not in (tmp_path / "b" / "README.md").read_text()
    assert manifest.vocabulary == "closed"
    assert read_words(manifest.read("words", bundle=tmp_path / "b"), source="") == ("a", "ab", "b", "c", "d", "e")
    assert "It says 6 words and no other" in (tmp_path / "b" / "README.md").read_text()
    assert isinstance(Recognizer(tmp_path / "b").start_search(), LexiconSearch)
    assert (Manifest.load(exported.folder).confidence, Manifest.load(exported.folder).vocabulary) == (None, "open")
    assert "Not calibrated" in (exported.folder / "README.md").read_text()


def test_one_kind_alone_is_refused(bundle, sets, tmp_path, capsys):
    mute = write_set(tmp_path, "mute", [(np.zeros(8000), "cab")])
    with pytest.raises(ExportError, match="both kinds"):
        calibrate_bundle(bundle, calibration=sets[0], negatives=[])
    with pytest.raises(ExportError, match="no word in the dev sets"):
        calibrate_bundle(bundle, calibration=[mute], negatives=sets[1])
    with pytest.raises(SystemExit):
        main(["calibrate", str(bundle), "--calibration", str(sets[0][0])])
    assert "--negatives" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path), "--calibration", "a", "--negatives", "b"]) == 2
    assert "not a bundle" in capsys.readouterr().err


def test_recordings_that_cannot_be_read_are_counted(bundle, sets, tmp_path):
    path = write_set(tmp_path, "mixed", [(speak("cab"), "cab"), (speak("bad"), "bad")])
    (tmp_path / "mixed_1.wav").write_bytes(b"RIFFnonsense")
    lines = []
    figures = calibrate_bundle(bundle, calibration=[path], negatives=sets[1], progress=lines.append)
    assert figures["sets"][0]["num_utterances"] == 1
    assert any("1 left out, the first: " in line and "mixed_1.wav" in line for line in lines)


def test_a_recogniser_that_is_silent_on_the_rest_still_gets_a_slope():
    kept = HeardSet(name="dev", log_entropies=(-2.0, -1.0, 0.0), logits=(3.0, 2.0), is_right=(True, True))
    found = fit_calibration([kept], [HeardSet(name="other", log_entropies=(None, None))])
    assert found.utterance.weight < 0
    assert all(found.utterance(x) >= found.min_confidence for x in kept.log_entropies)
    assert found.utterance(3.0) < found.min_confidence


@pytest.mark.parametrize(
    ("reference", "words", "expected"),
    [
        ("one two three", ["one", "two", "three"], [True, True, True]),
        ("one two three", ["one", "three"], [True, True]),
        ("one two", ["one", "nine", "two"], [True, False, True]),
        ("one", [], []),
        ("go", ["no"], [False]),
    ],
)
def test_words_are_right_where_the_alignment_says_so(reference, words, expected):
    assert words_right(reference, words) == expected


def test_a_card_without_other_sections_gets_one():
    figures = {"min_confidence": 0.5, "kept": 1.0, "rejected": 0.9, "sets": []}
    card = with_confidence("# name\n\nText.\n", figures)
    assert card.startswith("# name\n\nText.\n\n## Confidence\n\n")
    assert with_confidence(card, figures) == card


def test_the_section_is_replaced():
    figures = {"min_confidence": 0.25, "kept": 1.0, "rejected": 0.9, "sets": []}
    card = with_confidence("# a\n\n## Error rates\n\nx\n\n## Known limits\n\ny\n", figures)
    again = with_confidence(card, figures | {"min_confidence": 0.75})
    assert again.count("## Confidence") == 1
    assert "0.75" in again
    assert "0.25" not in again
    assert again.endswith("## Known limits\n\ny\n")
