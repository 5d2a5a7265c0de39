"""Every backbone through the same search: settings, levels, controls, resume, tickets; and a fourth in one file."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from export.bundle import export_ticket
from lottery_train import trainer as trainer_module
from lottery_train.cli import main
from lottery_train.config import ModelConfig, RunConfig
from lottery_train.controls import train_control
from lottery_train.distributed import Process
from lottery_train.errors import ConfigError, TicketError
from lottery_train.forecast import forecast
from lottery_train.models import (
    BACKBONES,
    build_model,
    config_from_json,
    count_weights,
    dense_small_config,
    load_backbone,
)
from lottery_train.presets import PRESETS
from lottery_train.pruning import prunable_names
from lottery_train.report import write_report
from lottery_train.run import open_run
from lottery_train.search import search
from lottery_train.settings import with_settings
from lottery_train.start import adopt_weights
from lottery_train.ticket import load_ticket
from tests.lottery_train.tiny import tiny_run

FAKE = "tests.lottery_train.fake_backbone:FrameNetwork"
GRANULARITIES = {"cnn-lstm": "unit", "conformer": "weight", "rnnt": "block:1x4", "frame": "unit"}


@pytest.fixture
def fourth(monkeypatch):
    """The one line that a new backbone adds."""
    monkeypatch.setitem(BACKBONES, "frame", FAKE)


def start_run(tones, out, **changes):
    return open_run(out, config=tiny_run(**changes), data_dir=tones, process=Process())


def kill_after(monkeypatch, steps):
    """Let the next trainings make so many steps in all, writing a checkpoint after each."""
    step, done = trainer_module.Trainer._step, []

    def counted(trainer, *arguments):
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(None)
        return step(trainer, *arguments)

    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    monkeypatch.setattr(trainer_module.Trainer, "_step", counted)


@pytest.mark.parametrize("backbone", [*BACKBONES, "frame"])
def test_a_search_that_is_killed_ends_in_the_same_bytes(backbone, tones, tmp_path, fourth):
    """Dense, one ticket, and a control, whole and killed in the middle of level 1: every file is equal."""
    changes = {"backbone": backbone, "granularity": GRANULARITIES[backbone], "rewind": "init", "level_epochs": 2}
    whole, broken = (start_run(tones, tmp_path / name, **changes) for name in ("whole", "broken"))
    search(whole)
    shutil.copytree(whole.level_folder(0), broken.level_folder(0))
    shutil.copy(whole.rewind_path, broken.rewind_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, steps=3)
        with pytest.raises(KeyboardInterrupt):
            search(broken)
    assert not (broken.level_folder(1) / "ticket.json").exists()
    search(start_run(tones, tmp_path / "broken", **changes))
    for name in ("ticket.json", "mask.safetensors", "weights.safetensors"):
        first, second = ((run.level_folder(1) / name).read_bytes() for run in (whole, broken))
        assert first == second, name
    ticket = load_ticket(whole.level_folder(1))
    assert ticket.record["model"]["backbone"] == ticket.config.backbone == backbone
    assert config_from_json(ticket.record["model"]) == ticket.config
    assert 0.3 < ticket.mask.density < 0.7
    small = load_ticket(train_control(whole, "dense-small", level=1))
    assert small.config.backbone == backbone
    assert small.record["sizes"]["num_weights"] <= ticket.record["sizes"]["num_nonzeros"]
    assert write_report(whole.out).exists()


@pytest.mark.parametrize("granularity", ["weight", "block:4x4", "unit"])
@pytest.mark.parametrize("changes", [
    {"backbone": "cnn-lstm"}, {"backbone": "cnn-lstm", "is_bidirectional": True}, {"backbone": "rnnt"},
    {"backbone": "rnnt", "encoder": "lstm", "predictor": "lstm"},
])  # fmt: skip
@pytest.mark.parametrize("schedule", ["constant", "layerwise"])
def test_every_granularity_reaches_what_it_aims_at(changes, granularity, schedule):
    """Also where two units own one weight: what leaves is counted once, so that a round removes what it should."""
    run = tiny_run(granularity=granularity, schedule=schedule, rate=0.25, rounds=2, rewind="init")
    # Wide enough that a bundle of eight units is a small part.
    widths = {"lstm_width": 96, "cnn_channels": (16, 16)} if "lstm" in str(changes) else {"ff": 128, "conv": 64}
    run = replace(run, model=ModelConfig(**changes | widths))
    densities = forecast(run, vocab_size=20).densities
    tolerance = 0.025 if granularity == "unit" else 1e-4
    assert densities == pytest.approx((1.0, 0.75, 0.75**2), abs=tolerance)


def test_recurrent_matrices_are_prunable_in_both_scopes():
    for changes in ({"backbone": "cnn-lstm", "is_bidirectional": True}, {"backbone": "rnnt", "predictor": "lstm"}):
        model = build_model(ModelConfig(**changes).config(vocab_size=6), seed=0)
        matrices = {name for name, value in model.named_parameters() if "weight_ih" in name or "weight_hh" in name}
        assert matrices
        for scope in ("linear", "pointwise"):
            names = prunable_names(model, scope=scope)
            assert matrices <= set(names)
            assert len(set(names)) == len(names)


def test_another_backbone_starts_from_its_own_settings(fourth):
    config = with_settings(PRESETS["an4"](), {"model.lstm_width": "64", "model.backbone": "cnn-lstm"})
    assert config.model == ModelConfig(backbone="cnn-lstm", lstm_width=64)
    assert with_settings(config, {"model.lstm_layers": "2"}).model.lstm_width == 64
    assert with_settings(config, {"model.backbone": "frame"}).model == load_backbone("frame").Settings()
    with pytest.raises(ConfigError, match="no setting 'model.ff'"):
        with_settings(config, {"model.ff": "3"})
    with pytest.raises(ConfigError, match="model.backbone is 'dnn', expected cnn-lstm or conformer or rnnt"):
        with_settings(config, {"model.backbone": "dnn"})
    for wrong in ({"cnn_bins": (4, 5)}, {"cnn_frames": (1, 3)}, {"lstm_width": 0}, {"cnn_channels": (1, 2, 3)}):
        with pytest.raises(ConfigError, match=rf"model\.{next(iter(wrong))} is .* expected"):
            ModelConfig(backbone="cnn-lstm", **wrong)
    with pytest.raises(ConfigError, match="model.encoder is 'gru', expected conformer or lstm"):
        ModelConfig(backbone="rnnt", encoder="gru")


def test_settings_from_before_there_was_a_choice_are_the_conformer_s():
    value = PRESETS["an4"]().to_json()
    assert value["model"].pop("backbone") == "conformer"
    assert RunConfig.from_json(json.loads(json.dumps(value))) == PRESETS["an4"]()


@pytest.mark.parametrize("name", [name for name, make in PRESETS.items() if make().data.corpus == "an4"])
def test_the_presets_of_one_corpus_are_of_one_size(name):
    config = PRESETS[name]().model.config(vocab_size=100)
    assert 1e6 < count_weights(config) < 1.6e6
    small = dense_small_config(config, num_weights=300_000)
    assert 280_000 <= count_weights(small) <= 300_000
    assert type(config).from_json(json.loads(json.dumps(config.to_json()))) == config


def test_help_and_forecast_know_a_fourth_backbone(fourth, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "frame: A network without a memory" in text
    assert "model.width neurons (default: 32)" in text
    assert main(["--set", "model.backbone=frame", "--rounds", "1", "--dry-run"]) == 0
    assert "up " in capsys.readouterr().out


@pytest.fixture(scope="module")
def finished(tones, tmp_path_factory):
    """A dense ticket of every backbone, after one epoch."""
    folders = {}
    for backbone in BACKBONES:
        config = tiny_run(backbone=backbone, rounds=0)
        config = replace(config, train=replace(config.train, epochs=1))
        out = tmp_path_factory.mktemp("run") / backbone
        search(open_run(out, config=config, data_dir=tones, process=Process()))
        folders[backbone] = out / "level_00"
    return folders


def test_a_ticket_rebuilds_its_model(finished):
    for backbone, folder in finished.items():
        ticket = load_ticket(folder)
        assert type(ticket.build_model()) is load_backbone(backbone)
        assert ticket.config.vocab_size == len(ticket.tokenizer)


def test_a_ticket_without_a_backbone_is_a_conformer_s(finished, tmp_path):
    folder = shutil.copytree(finished["conformer"], tmp_path / "old")
    record = json.loads((folder / "ticket.json").read_text())
    del record["model"]["backbone"]
    (folder / "ticket.json").write_text(json.dumps(record))
    old, new = load_ticket(folder), load_ticket(finished["conformer"])
    assert old.config == new.config
    assert torch.equal(old.build_model().head.weight, new.build_model().head.weight)


@pytest.mark.parametrize("model", [{"backbone": "dnn"}, {"backbone": ["rnnt"]}, {"backbone": "rnnt"}, 3])
def test_a_ticket_of_an_unknown_model_is_named(finished, tmp_path, model):
    folder = shutil.copytree(finished["rnnt"], tmp_path / "odd")
    record = json.loads((folder / "ticket.json").read_text()) | {"model": model}
    (folder / "ticket.json").write_text(json.dumps(record))
    with pytest.raises(TicketError, match=r"ticket\.json: (not a ticket|model is an integer)"):
        load_ticket(folder)


@pytest.mark.parametrize("backbone", ["cnn-lstm", "rnnt"])
def test_export_says_what_it_does_not_support(finished, tmp_path, backbone):
    with pytest.raises(
        ConfigError, match=f"supports the conformer backbone only; this ticket's is {backbone}"
    ) as caught:
        export_ticket(load_ticket(finished[backbone]), tmp_path / "bundle")
    assert "model.backbone=conformer" in caught.value.hint
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("source", "target"), [("conformer", "rnnt"), ("rnnt", "conformer")])
def test_ctc_model_and_transducer_lend_each_other_the_encoder(source, target):
    tiny = {name: tiny_run(backbone=name).model.config(vocab_size=9) for name in (source, target)}
    theirs, model = build_model(tiny[source], seed=1), build_model(tiny[target], seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ticket = SimpleNamespace(weights=theirs.state_dict(), config=tiny[source], folder="theirs")
    adopt_weights(model, ticket)
    inner = {name: module.encoder if name == "rnnt" else module for name, module in ((source, theirs), (target, model))}
    encoders = {name: dict(module.named_parameters()) for name, module in inner.items()}
    shared = encoders[source].keys() & encoders[target].keys() - {"head.weight", "head.bias"}
    assert len(shared) > 20
    assert all(torch.equal(encoders[source][name], encoders[target][name]) for name in shared)
    outer = {"rnnt": ("joiner.out.weight", "predictor.embedding.weight"), "conformer": ("head.weight", "head.bias")}
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in outer[target])


def test_a_run_can_start_from_another_corpus_s_transducer(finished, tones, tmp_path, monkeypatch):
    starts = []

    def stop(trainer):
        starts.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("lottery_train.trainer.Trainer.run", stop)
    config = tiny_run(backbone="rnnt", rounds=0)
    config = replace(config, train=replace(config.train, init_from=str(finished["rnnt"]), seed=7))
    with pytest.raises(KeyboardInterrupt):
        search(open_run(tmp_path / "run", config=config, data_dir=tones, process=Process()))
    pretrained = load_ticket(finished["rnnt"]).weights
    same = {name for name, value in starts[0].items() if torch.equal(value, pretrained[name])}
    assert "encoder.blocks.0.ff1.up.weight" in same
    assert "joiner.encoder.weight" in same
    assert not {"joiner.out.weight", "predictor.embedding.weight"} & same
