"""lottery-transcribe on real files, good and bad."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from runtime import transcribe
from runtime.recognizer import Recognizer
from tests.tiny_bundle import speak, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("transcribe") / "bundle")


def write(path, text, *, rate=16000, **options):
    soundfile.write(path, speak(text, sample_rate_hz=rate), rate, **options)
    return str(path)


def run(*arguments):
    return transcribe.main([str(argument) for argument in arguments])


def test_one_file_is_one_line_of_text(bundle, tmp_path, capsys):
    assert run(bundle, write(tmp_path / "a.wav", "cab bad")) == 0
    assert capsys.readouterr() == ("cab bad\n", "")


def test_several_files_are_named(bundle, tmp_path, capsys):
    first, second = write(tmp_path / "a.wav", "cab", rate=44100), write(tmp_path / "b.flac", "bad dead", rate=8000)
    assert run(bundle, first, second) == 0
    assert capsys.readouterr().out == f"{first}\tcab\n{second}\tbad dead\n"


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (8000, {}),
        (48000, {"subtype": "PCM_24"}),
        (16000, {"subtype": "PCM_U8"}),
        (22050, {"subtype": "FLOAT"}),
        (44100, {"subtype": "ULAW"}),
    ],
)
def test_any_rate_and_format(bundle, tmp_path, capsys, rate, options):
    assert run(bundle, write(tmp_path / "a.wav", "cab bad", rate=rate, **options)) == 0
    assert capsys.readouterr().out == "cab bad\n"


def test_stereo(bundle, tmp_path, capsys):
    samples = speak("cab bad", sample_rate_hz=44100)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, 0.5 * samples], axis=1), 44100)
    assert run(bundle, tmp_path / "a.wav") == 0
    assert capsys.readouterr().out == "cab bad\n"


def test_silence_is_an_empty_line(bundle, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    assert run(bundle, tmp_path / "a.wav") == 0
    assert capsys.readouterr().out == "\n"


def test_one_bad_file_does_not_end_the_others(bundle, tmp_path, capsys):
    good = [write(tmp_path / f"{name}.wav", "cab") for name in "ab"]
    (tmp_path / "bad.wav").write_bytes(b"")
    assert run(bundle, good[0], tmp_path / "bad.wav", tmp_path / "gone.wav", good[1]) == 2
    out, err = capsys.readouterr()
    assert out == f"{good[0]}\tcab\n{good[1]}\tcab\n"
    assert f"error: {tmp_path / 'bad.wav'}: the file is empty" in err
    assert f"error: {tmp_path / 'gone.wav'}: no such file" in err
    assert "hint:" in err
    assert "Traceback" not in err


def test_what_was_heard_before_the_damage_is_printed(bundle, tmp_path, capsys):
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, 160000)
    samples = np.concatenate([speak("cab bad"), np.zeros(16000), noise])
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: round(0.8 * len(content))])
    assert run(bundle, tmp_path / "a.flac") == 2
    out, err = capsys.readouterr()
    assert out == "cab bad\n"
    assert err.startswith(f"error: {tmp_path / 'a.flac'}: ")


def test_timestamps_are_one_word_a_line(bundle, tmp_path, capsys):
    path = write(tmp_path / "a.wav", "cab bad")
    assert run(bundle, path, "--timestamps") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    words = Recognizer(bundle).transcribe(soundfile.read(path, dtype="float32")[0]).words
    assert [(float(row[0]), float(row[1]), row[3]) for row in rows] == [(w.start_s, w.end_s, w.text) for w in words]
    assert all(0 < float(row[2]) <= 1 for row in rows)


def test_json_is_one_object_a_file(bundle, tmp_path, capsys):
    paths = [write(tmp_path / "a.wav", "cab bad"), write(tmp_path / "b.wav", "dead")]
    assert run(bundle, *paths, "--json", "--precision", "fp32", "--threads", 2) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["file"], each["text"]) for each in objects] == [(paths[0], "cab bad"), (paths[1], "dead")]
    assert [word["word"] for word in objects[0]["words"]] == ["cab", "bad"]
    assert objects[0]["duration_s"] == pytest.approx(len(speak("cab bad")) / 16000, abs=1e-3)


@pytest.mark.parametrize("option", [[], ["--json"], ["--timestamps"]])
def test_a_long_file_has_the_same_words_as_one_shot(bundle, tmp_path, capsys, option):
    text = " ".join(["cab bad dead bee ace"] * 20)
    path = write(tmp_path / "long.wav", text)
    assert soundfile.info(path).duration > 60
    assert run(bundle, path, *option) == 0
    out = capsys.readouterr().out
    if option == ["--timestamps"]:
        assert [line.split("\t")[3] for line in out.splitlines()] == text.split()
    else:
        assert (json.loads(out)["text"] if option else out.removesuffix("\n")) == text


def test_a_damaged_bundle_is_one_error(bundle, tmp_path, capsys):
    copy = write_tiny_bundle(tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"altered")
    assert run(copy, write(tmp_path / "a.wav", "cab")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == (
        f"error: {copy / 'model.onnx'}: truncated: 7 bytes, the manifest says {(bundle / 'model.onnx').stat().st_size}"
    )
    assert err.splitlines()[1].startswith("hint: ")


def test_wrong_arguments_are_explained(bundle, capsys):
    for arguments in ([], [bundle], [bundle, "a.wav", "--threads", "0"], [bundle, "a.wav", "--json", "--timestamps"]):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 2
    assert "0 is not 1 or more" in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    assert "examples:\n  lottery-transcribe clip.wav" in capsys.readouterr().out


def test_the_command_in_a_process_of_its_own(bundle, tmp_path):
    path = write(tmp_path / "a.wav", "cab bad")
    done = subprocess.run(
        [sys.executable, "-m", "runtime.transcribe", bundle, path, tmp_path / "gone.wav"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stdout == f"{path}\tcab bad\n"
    assert "progress" not in done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / 'gone.wav'}: no such file")
