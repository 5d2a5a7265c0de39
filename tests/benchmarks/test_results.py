"""Result files say what was measured, on what, and by which command, and nothing of where the checkout lies."""

import json
import os
import sys
from types import SimpleNamespace

import pytest

from benchmarks.results import CHECKOUT, relative, write_result
from benchmarks.train_speed import compare


def test_result_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["whatever", "--bundle", str(CHECKOUT / "bundles" / "an4"), "--name", "a b"])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=SimpleNamespace(name="benchmarks.parity")))
    path = write_result("name", summary={"figure": 0.5}, details={"rows": [1]}, threads=2, folder=tmp_path)
    value = json.loads(path.read_text())
    assert path.name == "name.json"
    assert list(value) == ["summary", "rows", "machine", "command"]
    assert value["summary"] == {"figure": 0.5}
    assert value["machine"]["threads"] == 2
    assert value["command"] == "python -m benchmarks.parity --bundle bundles/an4 --name 'a b'"
    assert str(CHECKOUT) not in path.read_text()


def test_paths_outside_the_checkout_are_relative_too():
    assert relative(str(CHECKOUT.parent / "shared" / "clip.wav")) == os.path.join("..", "shared", "clip.wav")
    assert relative("--threads") == "--threads"
    assert relative(f"--adopt=libri={CHECKOUT / 'runs' / 'x'}") == f"--adopt=libri={os.path.join('runs', 'x')}"
    assert relative("a=b") == "a=b"


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_training_speeds_are_compared_at_default_and_equal_precisions(has_bfloat16, monkeypatch):
    monkeypatch.setattr("benchmarks.train_speed.has_fast_bfloat16", lambda device: has_bfloat16)
    speeds = {
        ("ours", "bfloat16"): 90.0,
        ("torchaudio", "bfloat16"): 45.0,
        ("ours", "float32"): 60.0,
        ("torchaudio", "float32"): 30.0,
    }
    fixed = {"threads": 1, "utterances": 6, "utterance_s": 3.8}
    rows = [
        {"name": name, "precision": precision, "audio_s_per_s": speed, **fixed}
        for (name, precision), speed in speeds.items()
    ]
    (found,) = compare(rows)
    assert found["speedup_default_precisions"] == pytest.approx(3.0 if has_bfloat16 else 2.0)
    assert found["speedup_both_bfloat16"] == pytest.approx(2.0)
    assert found["speedup_both_float32"] == pytest.approx(2.0)
