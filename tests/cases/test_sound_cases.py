"""The sound files of ../shared/cases through lottery-transcribe, with the bundled recogniser.

test_sound_siblings.py holds the same kinds, made there.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lottery_train.corpora import measure_duration_s
from lottery_train.errors import CorpusError
from runtime.transcribe import main as transcribe

_CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDERS = (_CHECKOUT.parent / "shared" / "cases", _CHECKOUT / "shared" / "cases")
# Seconds of the two clips.
_FIRST_S, _SECOND_S = 4.0, 4.1
NAMES = (
    "FLOAT.wav", "ab_cat.flac", "ab_chain.ogg", "ab_chain.opus", "antiphase.wav", "base.wav", "stream_0.wav",
    "stream_ff.wav", "trunc.wav", "unknown.flac",
)  # fmt: skip


@pytest.fixture(scope="module")
def cases():
    """Return (folder of the files, what is right for each)."""
    for folder in _FOLDERS:
        if (folder / "audio").is_dir():
            return folder / "audio", json.loads((folder / "expected.json").read_text())
    pytest.skip("the cases are not at ../shared/cases beside the checkout")


@pytest.fixture(scope="module")
def outcomes(cases):
    """Return name -> (status, text, stderr) of each file on its own."""
    folder, _ = cases
    command = [sys.executable, "-c", _EACH, *(str(folder / name) for name in NAMES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=_CHECKOUT)
    assert done.returncode == 0, done.stderr
    return dict(zip(NAMES, json.loads(done.stdout), strict=True))


# One process for all files: to load a recogniser takes longer than to run it.
_EACH = """
import contextlib, io, json, sys
from runtime.transcribe import main
outcomes = []
for path in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([path])
    outcomes.append((status, out.getvalue().rstrip("\\n"), err.getvalue()))
print(json.dumps(outcomes))
"""


def test_every_case_is_covered(cases):
    folder, expected = cases
    assert {path.name for path in folder.iterdir()} == set(expected) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_read_as_it_should_be(cases, outcomes, name):
    folder, expected = cases
    status, text, stderr = outcomes[name]
    assert status == expected[name]["status"]
    assert "Traceback" not in stderr
    if status:
        assert stderr.startswith(f"error: {folder / name}: truncated: ")
        assert "\nhint: " in stderr
    else:
        # The recogniser may change; that all forms of a sound are the same may not.
        said, heard = expected["base.wav"]["text"], outcomes["base.wav"][1]
        assert text == expected[name]["text"].replace(said, heard)
    if name == "base.wav":
        assert (text, stderr) == (expected[name]["text"], "")


def test_what_is_not_obvious_is_said(outcomes):
    assert "its channels cancel each other" in outcomes["antiphase.wav"][2]
    assert "its header tells of no sound" in outcomes["stream_0.wav"][2]
    for name in ("base.wav", "FLOAT.wav", "ab_chain.opus", "stream_ff.wav", "unknown.flac"):
        assert outcomes[name][2] == ""


def test_a_file_of_text_and_one_of_status_2_in_one_command(cases, capsys):
    folder, expected = cases
    assert transcribe([str(folder / "trunc.wav"), str(folder / "unknown.flac")]) == 2
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert lines[str(folder / "unknown.flac")]
    assert expected["base.wav"]["text"].startswith(lines[str(folder / "trunc.wav")])


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_a_pipe_is_a_sound_file(cases, outcomes, path):
    if path != "-" and not Path(path).exists():
        pytest.skip(f"no {path} here")
    command = [sys.executable, "-m", "runtime.transcribe", path]
    sound = (cases[0] / "stream_ff.wav").read_bytes()
    done = subprocess.run(command, input=sound, capture_output=True, timeout=120, cwd=_CHECKOUT)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, outcomes["base.wav"][1] + "\n", "")


def test_the_importers_measure_what_is_there(cases):
    folder, _ = cases
    for name in NAMES:
        if name == "trunc.wav":
            with pytest.raises(CorpusError, match=r"trunc\.wav: truncated"):
                measure_duration_s(folder / name)
            continue
        seconds = _FIRST_S + (_SECOND_S if name.startswith("ab_") else 0)
        assert measure_duration_s(folder / name) == pytest.approx(seconds, abs=1e-3)
