"""The story: the real command lines, from a corpus to the transcript of a shrunk ticket, and its latency."""

import json
import os
import subprocess
import sys

import pytest

from lottery_train.corpora import read_manifest
from lottery_train.dataset import load_dataset
from lottery_train.evaluate import recognise
from lottery_train.ticket import load_ticket
from runtime.engine.library import is_available
from tests.lottery_train.tiny import write_tones

MODULES = {
    "lottery-train": "lottery_train.cli",
    "lottery-export": "export.cli",
    "lottery-transcribe": "runtime.transcribe",
    "lottery-listen": "runtime.listen",
    "lottery-bench": "runtime.bench",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    write_tones(folder / "tones", num_train=60)
    return folder


def run(world, name, *arguments):
    environment = os.environ | {
        "LOTTERY_CACHE": str(world / "cache"),
        "PYTHONPATH": os.getcwd(),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", MODULES[name], *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert result.returncode == 0, f"{name}: {result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def trained(world):
    flags = ["--corpus", "tones", "--data-dir", world / "tones", "--out", world / "run", "--threads", 1]
    flags += [
        "--epochs",
        40,
        "--batch-s",
        8,
        "--learning-rate",
        0.01,
        "--rounds",
        1,
        "--rate",
        0.5,
        "--level-epochs",
        12,
    ]
    flags += ["--tokens", "char", "--granularity", "unit", "--rewind", "learning-rate"]
    sizes = {"num_blocks": 2, "model_width": 32, "stem_width": 16, "ff": 32, "heads": 2, "head_width": 8, "conv": 32}
    for field, value in sizes.items():
        flags += ["--set", f"model.{field}={value}"]
    run(world, "lottery-train", *flags, "--set", "train.join_probability=0", "--set", "data.speeds=[1.0]")
    return world / "run"


@pytest.fixture(scope="module")
def bundles(world, trained):
    forms = {"dense": ("level_00", []), "masked": ("level_01", []), "shrunk": ("level_01", ["--structured"])}
    for name, (level, options) in forms.items():
        # Open: torch's greedy texts, which they are compared with, know no list of words.
        run(world, "lottery-export", trained / level, *options, "--vocabulary", "open", "--out", world / name)
    return {name: world / name for name in forms}


def test_the_shrunk_ticket_says_what_the_masked_torch_model_says(world, trained, bundles, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(world / "cache"))
    utterances, _ = read_manifest(world / "tones" / "test.jsonl")
    ticket = load_ticket(trained / "level_01")
    expected, _ = recognise(
        ticket.build_model(),
        load_dataset(utterances),
        tokenizer=ticket.tokenizer,
        encode=ticket.tokenizer.encode,
        chunk=ticket.chunk_frames,
    )
    assert len(set(expected)) > 1, "a model that always says the same proves nothing"
    clips = [utterance.audio_path for utterance in utterances]
    for name in ("masked", "shrunk"):
        lines = run(world, "lottery-transcribe", bundles[name], "--precision", "fp32", "--json", *clips).splitlines()
        assert [json.loads(line)["text"] for line in lines] == expected, name


def test_listening_to_a_replayed_file_gives_its_transcript(world, bundles):
    clip = next(iter(read_manifest(world / "tones" / "test.jsonl")[0])).audio_path
    written = run(world, "lottery-transcribe", bundles["shrunk"], clip)
    heard = run(world, "lottery-listen", bundles["shrunk"], "--replay", clip)
    assert heard.split() == written.split()


def test_the_benchmark_times_masked_and_shrunk_and_draws(world, bundles):
    output = world / "latency.json"
    flags = ["--repeats", 2, "--json", output, "--plot", world / "latency.png", "--html", world / "latency.html"]
    table = run(world, "lottery-bench", *bundles.values(), *flags)
    rows = json.loads(output.read_text())["rows"]
    expected = {
        ("onnxruntime", kind, precision) for kind in ("dense", "masked", "shrunk") for precision in ("fp32", "int8")
    }
    if is_available():
        # The engine skips the zeros that onnxruntime multiplies.
        expected |= {("engine", kind, "int8") for kind in ("dense", "sparse", "shrunk")}
    assert {(row["backend"], row["kind"], row["precision"]) for row in rows} == expected
    shrunk = next(row for row in rows if row["kind"] == "shrunk")
    assert shrunk["num_weights"] < next(row for row in rows if row["kind"] == "dense")["num_weights"]
    assert all(row["speedup"] is None for row in rows if row["kind"] == "masked")
    assert "masked" in table
    assert (world / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (world / "latency.html").read_text()


def test_the_report_is_one_self_contained_page(trained):
    page = (trained / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
