"""The command line of lottery-train: kill -9 and resume, starting over, refusals, help."""

import os
import signal
import subprocess
import sys
import time

import pytest

from lottery_train.cli import main
from lottery_train.config import CONTROLS, DataConfig, RunConfig, SearchConfig, TrainConfig
from lottery_train.corpora import IMPORTERS
from lottery_train.models import BACKBONES, load_backbone
from lottery_train.presets import PRESETS
from lottery_train.settings import setting_types


@pytest.fixture
def started(monkeypatch):
    """Instead of training: what `_train` is called with."""
    calls = []
    monkeypatch.setattr("lottery_train.cli._train", lambda arguments, config: calls.append((arguments, config)))
    return calls


def command_line(tones, out, *, cache, more=()):
    flags = ["--corpus", "tones", "--data-dir", str(tones), "--out", str(out), "--rounds", "1", "--epochs", "12"]
    flags += ["--level-epochs", "6", "--batch-s", "6", "--threads", "1", "--rewind", "step", "--rewind-steps", "3"]
    flags += ["--rate", "0.5", "--granularity", "weight"]
    for setting in ("num_blocks=1", "model_width=16", "ff=16", "heads=1", "conv=16"):
        flags += ["--set", f"model.{setting}"]
    environment = os.environ | {"LOTTERY_CACHE": str(cache), "PYTHONPATH": os.getcwd()}
    return [sys.executable, "-m", "lottery_train.cli", *flags, *more], environment


KILLS = {
    "iterative": ("level_00.work/checkpoint.safetensors", "level_01.work/checkpoint.safetensors"),
    # Beside other masks, and with the drawn one on.
    "early-bird": ("level_01.work/candidate_0003.safetensors", "level_01.work/mask_0001.safetensors"),
}


@pytest.mark.parametrize("method", KILLS)
def test_kill_9_and_start_again_gives_the_same_ticket(tones, tmp_path, method):
    more = ("--method", method, "--set", "search.early_bird_distance=0.9")
    command, environment = command_line(tones, tmp_path / "whole", cache=tmp_path / "cache", more=more)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "whole" / "report.html").exists()
    assert str(tmp_path / "whole" / "report.html") in result.stdout
    command, environment = command_line(tones, tmp_path / "killed", cache=tmp_path / "cache", more=more)
    for place in KILLS[method]:
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while not (tmp_path / "killed" / place).exists() and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert subprocess.run(command, env=environment, capture_output=True, timeout=300).returncode == 0
    for name in ("ticket.json", "mask.safetensors", "weights.safetensors"):
        for level in sorted(path.name for path in (tmp_path / "whole").glob("level_*")):
            files = [(tmp_path / run / level / name).read_bytes() for run in ("whole", "killed")]
            assert files[0] == files[1], f"{level}/{name}"
    assert (tmp_path / "killed" / "level_00").exists() == (method == "iterative")
    assert not list((tmp_path / "killed").glob("*.work"))


def test_dry_run_prints_levels_layers_and_asymptote(capsys):
    assert (
        main(["--preset", "an4-unstructured", "--schedule", "decaying", "--rate", "0.2", "--rounds", "3", "--dry-run"])
        == 0
    )
    output = capsys.readouterr().out
    assert "12.05%" in output
    assert "80.00%" in output
    assert f"{0.8 * (1 - 0.18):.2%}" in output
    assert "blocks.3.convolution.pointwise_out" in output


@pytest.mark.parametrize(
    ("settings", "is_noted"),
    [
        (["--rounds", "7"], True),
        (["--rounds", "6"], False),
        (["--rounds", "7", "--set", "search.early_bird_distance=0.05"], False),
        (["--rounds", "1", "--rate", "0.02"], True),
        (["--rounds", "7", "--method", "gradual"], False),
    ],
)
def test_an_early_bird_that_settles_whatever_was_learned_is_noted(settings, is_noted, capsys):
    assert main(["--preset", "an4-unstructured", "--method", "early-bird", *settings, "--dry-run"]) == 0
    noted = capsys.readouterr().err
    assert ("note: two masks that keep" in noted) == is_noted
    if is_noted and settings == ["--rounds", "7"]:
        assert "keep 4.40% differ in 8.80% of the weights at most" in noted
        assert "a tenth of what can differ, 0.0088, asks" in noted


def test_a_dry_run_counts_the_teacher(capsys):
    one = ["--preset", "an4-unstructured", "--method", "gradual", "--rounds", "1", "--dry-run"]
    assert main(one) == 0
    assert "level 1 is found in one training of 70 epochs\n" in capsys.readouterr().out
    assert main([*one, "--distillation", "0.5"]) == 0
    assert "of 70 epochs, after the one of level 0, its teacher\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "none"], "preset is 'none'"),
        (["--set", "train.epoch=3"], "no setting 'train.epoch'"),
        (["--rate", "1.5", "--dry-run"], "rate"),
        (["--rewind", "sideways"], "search.rewind is 'sideways', expected init or learning-rate or none or step"),
        (["--seed", "-1"], "train.seed is -1, expected 0"),
        (["--epochs", "many"], "train.epochs is 'many', expected an integer"),
        (["--granularity", "block:0x4", "--dry-run"], "block"),
        (["--schedule", "decaying", "--rate", "0.2", "--target-density", "0.1", "--dry-run"], "unreachable"),
        (["--corpus", "tones", "--data-dir", "missing", "--out", "run"], "missing"),
    ],
)
def test_wrong_settings_are_explained(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert not list(tmp_path.glob("run/*.json"))


def test_an_unwritable_directory_is_explained(tones, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["--corpus", "tones", "--data-dir", str(tones), "--out", str(tmp_path / "file" / "run")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_help_explains_every_setting_preset_control_and_importer(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for key in setting_types(RunConfig()):
        flag = f"--{key.partition('.')[2].replace('_', '-')} "
        assert flag in text or f"{key} " in text, key
    for name in ("layerwise-modules-decaying", "learning-rate", "lamp", "pointwise", "block:RxC", *CONTROLS):
        assert name in text.replace("- ", "-"), name
    for name, function in PRESETS.items():
        assert f"{name} {' '.join(function.__doc__.split())}" in text
    assert f"lottery-train import {'|'.join(sorted(IMPORTERS))} SOURCE OUT" in text


def test_every_setting_has_a_text():
    from lottery_train.arguments import _explanations, _model_groups

    parts = {"data": DataConfig(), "train": TrainConfig(), "search": SearchConfig()}
    texts = [*parts.items(), *(("model", load_backbone(name).Settings()) for name in BACKBONES)]
    texts = [entry for part, settings in texts for entry in _explanations(part, settings).items()]
    assert [key for key, text in texts if not text or text.startswith(" (default")] == []
    shown = {(key, text) for _, entries in _model_groups() for key, text in entries.items()}
    assert {entry for entry in texts if entry[0].startswith("model.") and entry[0] != "model.backbone"} <= shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--controls", "x"], "--controls is 'x', expected levels from 1 to 2"),
        (["--controls", "0"], "--controls is '0'"),
        (["--controls", "1,3"], "--controls is '1,3'"),
        (["--controls", "1", "--rounds", "0"], "a run without rounds"),
        (["--controls", "1,2", "--control-names", "dense-small,nonsense"], "'nonsense' is no control"),
        (["--control-names", "dense-small"], "not where"),
        (["--rounds", "20"], "unit granularity keeps at least"),
        (["--out", os.fsdecode(b"caf\xe9")], "its name is not UTF-8"),
    ],
)
def test_what_could_fail_after_training_is_refused_before(arguments, message, started, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--out", str(tmp_path / "run"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert started == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["jiwer", "matplotlib", "safetensors", "sentencepiece", "tensorboard", "torch"])
def test_a_missing_package_is_noticed_before_anything_starts(package, started, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["--tokens", "bpe:40", "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr().err
    assert repr(package) in captured
    assert 'pip install "lottery-asr[train]"' in captured
    assert started == []


def test_characters_need_no_sentencepiece(tones, started, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    flags = ["--corpus", "tones", "--data-dir", str(tones), "--tokens", "char"]
    assert main([*flags, "--out", str(tmp_path / "run")]) == 0
    assert len(started) == 1


@pytest.mark.parametrize("flags", [[], ["--resume"], ["--no-resume"]])
def test_only_no_resume_removes_the_old_run(tones, started, tmp_path, flags):
    out = tmp_path / "run"
    (out / "level_00").mkdir(parents=True)
    for name in ("config.json", "notes.txt", "level_00/ticket.json"):
        (out / name).write_text("{}")
    assert main(["--corpus", "tones", "--data-dir", str(tones), "--out", str(out), *flags]) == 0
    left = ["notes.txt"] if flags == ["--no-resume"] else ["config.json", "level_00", "notes.txt"]
    assert sorted(path.name for path in out.iterdir()) == left
    assert len(started) == 1


def test_a_wrong_corpus_does_not_cost_the_old_run(started, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text("{}")
    assert main(["--corpus", "tones", "--data-dir", str(tmp_path), "--out", str(out), "--no-resume"]) == 2
    assert "no corpus here" in capsys.readouterr().err
    assert (out / "config.json").exists()
    assert started == []


def test_the_vocabulary_of_a_forecast_is_named(tmp_path, capsys):
    assert main(["--tokens", "bpe:300", "--dry-run"]) == 0
    of_spec = capsys.readouterr().out
    assert "300 tokens (bpe:300)" in of_spec
    assert main(["--tokens", "char", "--dry-run"]) == 0
    of_characters = capsys.readouterr().out
    assert "28 tokens, a nominal number" in of_characters
    (tmp_path / "tokens.txt").write_text("<blk> 0\na 1\nb 2\n")
    assert main(["--tokens", "char", "--out", str(tmp_path), "--dry-run"]) == 0
    of_run = capsys.readouterr().out
    assert f"3 tokens in {tmp_path / 'tokens.txt'}" in of_run
    sizes = [int(text.split()[0]) for text in (of_spec, of_characters, of_run)]
    width = PRESETS["embedded"]().model.model_width
    # A token is a row and a bias of the last layer.
    assert sizes[0] - sizes[1] == (300 - 28) * (width + 1)
    assert sizes[1] - sizes[2] == (28 - 3) * (width + 1)


def test_a_name_that_tensorboard_does_not_take_is_refused_before_training(tmp_path, capsys, started):
    assert main(["--out", str(tmp_path / os.fsdecode(b"run\xff"))]) == 2
    assert "its name is not UTF-8" in capsys.readouterr().err
    assert (started, os.listdir(tmp_path)) == ([], [])
