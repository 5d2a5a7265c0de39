"""Commands and the Recognizer take the shipped bundle where none is named."""

import pytest
import soundfile

from runtime import listen, shipped, transcribe
from runtime.errors import BundleError
from runtime.recognizer import Recognizer
from tests.tiny_bundle import speak, write_tiny_bundle


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A package whose shipped recogniser is a tiny one, and a sound file."""
    monkeypatch.setattr(shipped, "_FOLDER", write_tiny_bundle(tmp_path / "en"))
    soundfile.write(tmp_path / "a.wav", speak("cab bad"), 16000)
    return tmp_path / "a.wav"


def test_files_alone_are_transcribed_with_it(tiny, capsys):
    assert transcribe.main([str(tiny)]) == 0
    assert transcribe.main([str(tiny), str(tiny)]) == 0
    assert capsys.readouterr().out == f"cab bad\n{tiny}\tcab bad\n{tiny}\tcab bad\n"


def test_a_directory_in_front_is_another_bundle(tiny, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert transcribe.main([str(tmp_path / "empty"), str(tiny)]) == 2
    assert "not a bundle" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        transcribe.main([str(tmp_path / "empty")])


def test_a_misspelled_bundle_does_not_hand_its_files_to_the_shipped_one(tiny, tmp_path, capsys):
    assert transcribe.main([str(tmp_path / "typo"), str(tiny)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {tmp_path / 'typo'}: no such bundle or sound file\nhint: ")


def test_options_stand_anywhere(tiny, tmp_path, capsys):
    assert transcribe.main([str(tmp_path / "en"), "--precision", "fp32", str(tiny), "--timestamps", str(tiny)]) == 0
    assert transcribe.main(["--threads", "2", str(tiny)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "cab bad"


def test_listening_uses_it(tiny, capsys):
    assert listen.main(["--replay", str(tiny), "--speed", "0"]) == 0
    assert capsys.readouterr().out == "cab bad\n"


def test_an_installation_without_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    with pytest.raises(BundleError, match="came without its recogniser") as caught:
        Recognizer()
    assert "lottery-export" in caught.value.hint
