"""What other synthesisers are given to say, and the corpora made of it."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest
import soundfile

from benchmarks import synthesisers
from benchmarks.synthesiser_engines import SYNTHESISERS, Request
from benchmarks.synthesiser_lines import KINDS, Command, draw_line, is_command, read_commands
from benchmarks.synthesisers import build, draw_lines, finish
from lottery_train.corpora import read_manifest
from lottery_train.corpora.sentences import DIGITS, LETTERS
from lottery_train.errors import CorpusError
from runtime.features import SAMPLE_RATE_HZ

COMMANDS = [
    [Command(text="rubout t a b nine", is_spelled=True), Command(text="fifty nine and a half", is_spelled=True)],
    [Command(text="can i have a small latte", is_spelled=False)],
]
# Letter names in flite's phones, as its own dictionary has them when each letter is spoken alone.
LETTER_PHONES = {
    "a": "ey", "b": "b iy", "c": "s iy", "d": "d iy", "e": "iy", "f": "eh f", "g": "jh iy",
    "h": "ey ch", "i": "ay", "j": "jh ey", "k": "k ey", "l": "eh l", "m": "eh m", "n": "eh n",
    "o": "ow", "p": "p iy", "q": "k y uw", "r": "aa r", "s": "eh s", "t": "t iy", "u": "y uw",
    "v": "v iy", "w": "d ah b ax l y uw", "x": "eh k s", "y": "w ay", "z": "z iy",
}  # fmt: skip


def require(name):
    if missing := SYNTHESISERS[name].missing():
        pytest.skip(f"{', '.join(missing)} is not installed: {SYNTHESISERS[name].package}")


def draw(kind, *, count=300, seed=0):
    rng = np.random.default_rng(seed)
    return [draw_line(rng, kind=kind, commands=COMMANDS) for _ in range(count)]


@pytest.mark.parametrize(("kind", "symbols", "most"), [("letters", LETTERS, 6), ("digits", DIGITS, 7)])
def test_letters_and_digits(kind, symbols, most):
    lines = draw(kind)
    lengths = {len(text.split()) for text, _ in lines}
    assert lengths == set(range(3, most + 1))
    assert {word for text, _ in lines for word in text.split()} == set(symbols)
    for text, spoken in lines:
        said = text.upper() if kind == "letters" else text
        assert spoken.replace(",", "") == said
    shares = [spoken.count(",") / spoken.count(" ") for _, spoken in lines]
    assert min(shares) == 0
    assert max(shares) == 1


def test_commands_come_from_the_grammar_and_from_the_corpora():
    lines = dict(draw("commands"))
    assert all(is_command(text) for text in lines)
    assert {command.text for corpus in COMMANDS for command in corpus} < set(lines)
    assert lines["rubout t a b nine"] == "rubout T A B nine"
    assert lines["fifty nine and a half"] == "fifty nine and a half"
    assert lines["can i have a small latte"] == "can I have a small latte"


@pytest.mark.parametrize(("text", "expected"), [("a b", False), ("oh two", False), ("ten", True), ("enter a", True)])
def test_what_is_a_command(text, expected):
    assert is_command(text) is expected


def test_commands_of_the_packs_are_those_of_train(shared_data):
    for commands, pack in zip(read_commands(shared_data("an4").parent), ("an4", "coffee_commands"), strict=True):
        utterances, _ = read_manifest(shared_data(pack) / "train.jsonl")
        texts = [utterance.text for utterance in utterances]
        assert commands
        assert {command.text for command in commands} == {text for text in texts if is_command(text)}
        assert len({command.text for command in commands}) == len(commands)


@pytest.mark.parametrize(("split", "counts"), [("train", [50, 20, 30]), ("dev", [33, 34, 33])])
def test_a_script_is_a_function_of_its_seed(split, counts):
    arguments = {"voices": ("x", "y"), "split": split, "count": 100, "commands": COMMANDS}
    lines = draw_lines(**arguments, seed=[1, 2])
    assert lines == draw_lines(**arguments, seed=[1, 2])
    assert lines != draw_lines(**arguments, seed=[1, 3])
    assert [sum(line.kind == kind for line in lines) for kind in KINDS] == counts
    assert [line.request.voice for line in lines] == ["x", "y"] * 50
    tracts = {line.tract for line in lines}
    assert (tracts == {1.0}) is (split != "train")


@pytest.mark.parametrize("name", SYNTHESISERS)
def test_respelling_keeps_commas_and_other_words(name):
    synthesiser = SYNTHESISERS[name]
    spoken = synthesiser.spell("B, A, A latte rubout can")
    words = {word: synthesiser.respelled.get(word, word) for word in ("A", "latte", "rubout")}
    assert spoken == f"B, {words['A']}, {words['A']} {words['latte']} {words['rubout']} can"


@pytest.mark.parametrize("separator", [" ", ", "])
def test_flite_spells_every_letter(separator):
    require("flite")
    order = np.random.default_rng(0).permutation(2 * LETTERS)
    for letters in np.split(order, 13):
        spoken = SYNTHESISERS["flite"].spell(separator.join(letters).upper())
        command = ["flite", "-voice", "slt", "-ps", "-t", spoken, "none"]
        phones = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert [phone for phone in phones if phone != "pau"] == " ".join(LETTER_PHONES[x] for x in letters).split()


@pytest.mark.parametrize("name", ["flite", "festival", "pico"])
def test_a_synthesiser_obeys_the_request(name):
    require(name)
    synthesiser = SYNTHESISERS[name]
    requests = [
        Request(spoken="A, B, three", voice=synthesiser.voices[-1], stretch=stretch, pitch=pitch)
        for stretch, pitch in ((1.0, 1.0), (1.0, 1.0), (1.5, 1.0), (1.0, 1.2))
    ]
    plain, again, slow, high = [samples for samples, _ in synthesiser.speak(requests)]
    np.testing.assert_array_equal(plain, again)
    assert 1.25 * len(plain) < len(slow) < 1.75 * len(plain)
    assert len(plain) != len(high) or np.any(plain != high)


def test_a_clean_clip_stands_in_a_noise_floor():
    tone = 0.5 * np.sin(2 * np.pi * 440 / 44100 * np.arange(44100)).astype(np.float32)
    samples = finish(tone, 44100, split="test", tract=1.0, rng=np.random.default_rng(0))
    assert samples.dtype == np.float32
    margin = round(0.2 * SAMPLE_RATE_HZ)
    assert len(samples) == SAMPLE_RATE_HZ + 2 * margin
    for edge in (samples[:margin], samples[-margin:]):
        # 3200 samples of noise: the level is known to 1 / sqrt(2 * 3200), 0.11 dB.
        assert 20 * np.log10(np.sqrt(np.mean(edge**2))) == pytest.approx(-66, abs=0.5)
    spectrum = np.abs(np.fft.rfft(samples[margin:-margin]))
    assert np.argmax(spectrum) == 440


@pytest.fixture
def tones(monkeypatch):
    """Put a synthesiser of sine waves in flite's place."""

    def speak(requests):
        for request in requests:
            yield np.sin(np.arange(round(8000 * request.stretch))).astype(np.float32), 22050

    fake = dataclasses.replace(SYNTHESISERS["flite"], speak=speak, programs=(), sizes={"train": 12, "dev": 6})
    monkeypatch.setitem(synthesisers.SYNTHESISERS, "flite", fake)


def test_manifests(tones, tmp_path):
    folder = build(tmp_path / "out", name="flite", commands=COMMANDS)
    assert folder == tmp_path / "out" / "flite"
    for split, count in (("train", 12), ("dev", 6)):
        utterances, skipped = read_manifest(folder / f"{split}.jsonl")
        assert len(utterances) == count
        assert not skipped
        records = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        for utterance, record in zip(utterances, records, strict=True):
            assert record["kind"] in KINDS
            assert record["audio_filepath"].startswith(f"audio/{split}/")
            assert utterance.speaker in {"flite_awb", "flite_rms", "flite_slt"}
            info = soundfile.info(utterance.audio_path)
            assert (info.samplerate, info.channels, info.format) == (SAMPLE_RATE_HZ, 1, "FLAC")
            assert utterance.duration_s == pytest.approx(info.frames / info.samplerate, abs=1e-6)


def test_the_same_seed_gives_the_same_files(tones, tmp_path):
    folders = [build(tmp_path / name, name="flite", commands=COMMANDS, seed=3) for name in ("first", "second")]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in folders]
    assert files[0] == files[1]
    assert len(files[0]) == 20
    for path in files[0]:
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes()


def test_a_missing_synthesiser_says_what_to_install(tones, monkeypatch, tmp_path):
    absent = dataclasses.replace(synthesisers.SYNTHESISERS["flite"], programs=("no-such-synthesiser",))
    monkeypatch.setitem(synthesisers.SYNTHESISERS, "flite", absent)
    with pytest.raises(CorpusError, match="no-such-synthesiser") as caught:
        build(tmp_path, name="flite", commands=COMMANDS)
    assert "Debian package flite" in caught.value.hint
    assert not (tmp_path / "flite").exists()


def test_silence_of_a_synthesiser_is_an_error(tones, monkeypatch, tmp_path):
    def silent(requests):
        yield from ((np.zeros(800, np.float32), 16000) for _ in requests)

    mute = dataclasses.replace(synthesisers.SYNTHESISERS["flite"], speak=silent)
    monkeypatch.setitem(synthesisers.SYNTHESISERS, "flite", mute)
    with pytest.raises(CorpusError, match="no sound"):
        build(tmp_path, name="flite", commands=COMMANDS)
    assert not (tmp_path / "flite").exists()
