"""Names that a shell hands over: not UTF-8, beginning with dashes, `-` for standard input, a file for a bundle."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import soundfile

from runtime import bench, listen, transcribe
from runtime.events import file_json, unicode_name
from tests.tiny_bundle import speak, write_tiny_bundle

BYTES_NAME = os.fsdecode(b"caf\xe9.wav")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with clips under awkward names, and a bundle whose name is not UTF-8."""
    folder = tmp_path_factory.mktemp("names")
    try:
        write_tiny_bundle(folder / "bundle").rename(folder / os.fsdecode(b"bundle\xff"))
    except OSError as error:
        pytest.skip(f"this file system takes no name that is not UTF-8: {error}")
    for name, text in ((BYTES_NAME, "cab"), ("-x.wav", "bad"), ("plain.wav", "dead")):
        with open(folder / name, "wb") as file:
            soundfile.write(file, speak(text), 16000, format="WAV")
    return folder


def run(module, *arguments, folder, **options):
    """Run a command in the folder; return (status, stdout, stderr) as bytes."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def test_every_name_is_printed_as_it_was_given(folder):
    bundle = os.fsdecode(b"bundle\xff")
    with open(folder / "plain.wav", "rb") as stdin:
        found = run(
            "runtime.transcribe", "--", bundle, BYTES_NAME, "-", "-x.wav", "--debug", folder=folder, stdin=stdin
        )
    assert found[:2] == (2, b"caf\xe9.wav\tcab\n-\tdead\n-x.wav\tbad\n")
    assert found[2] == b"error: --debug: no such file\n"


def test_sound_through_a_pipe(folder):
    data = (folder / "plain.wav").read_bytes()
    bundle = os.fsdecode(b"bundle\xff")
    found = run("runtime.listen", bundle, "--replay", "-", "--speed", "0", folder=folder, input=data)
    assert found[:2] == (0, b"dead\n")


def test_a_clip_through_a_pipe_is_read_by_every_measuring_process(folder):
    read, write = os.pipe()
    with os.fdopen(write, "wb") as pipe:
        pipe.write((folder / "plain.wav").read_bytes())
    with bench._readable_again(f"/dev/fd/{read}") as audio:
        for _ in range(2):
            assert soundfile.info(audio).samplerate == 16000
    assert not os.path.exists(audio)
    os.close(read)


def test_json_names_files_in_unicode(folder, capsys):
    path = str(folder / BYTES_NAME)
    assert transcribe.main([str(folder / os.fsdecode(b"bundle\xff")), "--json", path]) == 0
    value = json.loads(capsys.readouterr().out)
    # What a strict parser refuses is a half of a surrogate pair.
    value["file"].encode()
    assert value["file"].endswith("caf\ufffd.wav")
    assert bytes.fromhex(value["file_bytes"]) == os.fsencode(path)
    assert file_json("ä.wav") == {"file": "ä.wav"}


def test_events_name_the_source_in_unicode(folder, capsys):
    path = str(folder / BYTES_NAME)
    assert listen.main([str(folder / os.fsdecode(b"bundle\xff")), "--replay", path, "--speed", "0", "--jsonl"]) == 0
    start = json.loads(capsys.readouterr().out.splitlines()[0])
    assert start["source"] == unicode_name(path)
    start["source"].encode()


def test_a_bundle_whose_replacement_was_killed_is_found(folder, tmp_path, capsys):
    for command, *options in ((transcribe.main,), (listen.main, "--speed", "0", "--replay")):
        write_tiny_bundle(tmp_path / "new").rename(tmp_path / ".bundle.abcdefgh.partial")
        write_tiny_bundle(tmp_path / "old").rename(tmp_path / ".bundle.abcdefgh.partial.old")
        assert command([str(tmp_path / "bundle"), *options, str(folder / "plain.wav")]) == 0
        assert capsys.readouterr().out == "dead\n"
        assert os.listdir(tmp_path) == ["bundle"]
        shutil.rmtree(tmp_path / "bundle")


@pytest.mark.parametrize("command", [listen.main, bench.main])
def test_a_sound_file_in_the_place_of_a_bundle(folder, capsys, command):
    path = str(folder / "plain.wav")
    assert command([path]) == 2
    err = capsys.readouterr().err
    assert f"error: {path}: a file, not a bundle" in err
    assert f"lottery-listen --replay {path}" in err


def test_a_sound_file_behind_the_bundle(folder, capsys):
    with pytest.raises(SystemExit):
        listen.main([str(folder), "clip.wav"])
    assert "a sound file is given as --replay FILE" in capsys.readouterr().err
