"""Methods of one training, distillation and transferred masks, as whole runs; and what their tickets cost."""

import json
from dataclasses import replace

import pytest
import torch

from lottery_train.arguments import build_parser, controls_from
from lottery_train.config import RunConfig, SearchConfig
from lottery_train.controls import train_control
from lottery_train.cost import training_costs
from lottery_train.distributed import Process
from lottery_train.errors import ConfigError, TicketError
from lottery_train.forecast import forecast
from lottery_train.pruning import Mask
from lottery_train.report import read_records, size_table, write_report
from lottery_train.run import open_run, reuse_dense
from lottery_train.search import search, train_dense
from lottery_train.start import transferred_mask
from lottery_train.ticket import load_ticket
from tests.lottery_train.tiny import tiny_run, write_tones


def start_run(tones, out, *, train=None, tokens="char", **changes):
    config = tiny_run(**changes)
    config = replace(
        config,
        data=replace(config.data, tokens=tokens),
        model=replace(config.model, num_blocks=1),
        train=replace(config.train, **train or {}),
    )
    return open_run(out, config=config, data_dir=tones, process=Process())


@pytest.fixture(scope="module")
def gradual(tones, tmp_path_factory):
    run = start_run(tones, tmp_path_factory.mktemp("gradual"), method="gradual", rounds=2)
    search(run)
    return run


@pytest.fixture(scope="module")
def iterative(tones, tmp_path_factory):
    run = start_run(tones, tmp_path_factory.mktemp("iterative"), rounds=1, rewind="learning-rate", level_epochs=1)
    search(run)
    return run


def test_one_training_makes_one_ticket_and_no_dense_model(gradual):
    assert sorted(path.name for path in gradual.out.glob("level_*")) == ["level_02"]
    assert not gradual.rewind_path.exists()
    ticket = load_ticket(gradual.level_folder(2))
    assert ticket.mask.density == pytest.approx(0.25, abs=1e-3)
    record = ticket.record
    assert (record["method"], record["trained_epochs"], len(record["round_epochs"])) == ("gradual", 3, 2)
    assert all(0.3 <= time <= 3 for time in record["round_epochs"])
    assert "level_02" in write_report(gradual.out).read_text()
    assert size_table(read_records(gradual.out)[0]).rows[0][-2:] == ("3", "1.00")


def test_another_number_of_rounds_is_another_ticket_beside_it(gradual, monkeypatch):
    more = replace(gradual, config=replace(gradual.config, search=replace(gradual.config.search, rounds=1)))
    before = (gradual.level_folder(2) / "ticket.json").read_bytes()
    assert [folder.name for folder in search(more)] == ["level_01"]
    assert load_ticket(more.level_folder(1)).mask.density == pytest.approx(0.5, abs=1e-3)
    assert (gradual.level_folder(2) / "ticket.json").read_bytes() == before
    assert training_costs(read_records(gradual.out)[0]) == {1: 1.0, 2: 1.0}


def test_other_data_is_refused_though_there_is_no_level_0(gradual, tmp_path):
    other = write_tones(tmp_path / "tones", seed=5)
    with pytest.raises(ConfigError, match=r"level_0\d: was trained on other data"):
        open_run(gradual.out, config=gradual.config, data_dir=other, process=Process())


def test_controls_of_one_training_share_its_cost(gradual):
    ticket = load_ticket(gradual.level_folder(2))
    control = load_ticket(train_control(gradual, "random-pruning", level=2))
    assert control.mask.num_kept == ticket.mask.num_kept
    assert control.mask != ticket.mask
    for name in ("round_epochs", "trained_epochs", "trained_steps"):
        assert control.record[name] == ticket.record[name]
    assert sorted(path.name for path in gradual.out.glob("level_*.work")) == []
    for name in ("no-rewinding", "dense-longer"):
        with pytest.raises(ConfigError, match=f"control {name}: method gradual"):
            train_control(gradual, name, level=2)


def test_an_early_bird_of_a_short_training_says_that_it_did_not_settle(tones, tmp_path, capsys):
    run = start_run(tones, tmp_path, method="early-bird", rounds=1, granularity="unit")
    search(run)
    record = load_ticket(run.level_folder(1)).record
    assert record["round_epochs"] == [2.0], "the last whole epoch before 0.7 of three"
    assert [epoch for epoch, _ in record["mask_distances"]] == [1, 2]
    assert record["mask_distances"][0][1] is None
    assert not record["is_settled"]
    assert "level_01: early-bird mask drawn after epoch 2, the latest allowed" in capsys.readouterr().err


def test_distillation_leaves_level_0_as_it_is_and_teaches_every_later_one(tones, tmp_path, iterative):
    run = start_run(tones, tmp_path / "run", rounds=1, rewind="learning-rate", level_epochs=1, distillation=0.5)
    search(run)
    plain, taught = (
        [(each.level_folder(level) / "weights.safetensors").read_bytes() for level in (0, 1)]
        for each in (iterative, run)
    )
    assert taught[0] == plain[0]
    assert taught[1] != plain[1]
    costs = training_costs(read_records(run.out)[0])
    assert costs == pytest.approx({0: 1.0, 1: 1 + 1 / 3 * 4 / 3})
    assert training_costs(read_records(iterative.out)[0]) == pytest.approx({0: 1.0, 1: 4 / 3})


def test_one_training_with_a_teacher_trains_or_takes_it_first(tones, tmp_path, iterative):
    run = start_run(tones, tmp_path / "run", rounds=1, method="gradual", distillation=0.3, rewind="learning-rate")
    reuse_dense(run, iterative.out)
    assert [folder.name for folder in search(run)] == ["level_00", "level_01"]
    files = [(each.level_folder(0) / "ticket.json").read_bytes() for each in (run, iterative)]
    assert files[0] == files[1]
    assert training_costs(read_records(run.out)[0]) == pytest.approx({0: 1.0, 1: 1 + 4 / 3})


def test_a_dense_model_without_its_rewind_point_is_no_start_of_levels_that_need_it(tones, tmp_path, gradual):
    """The teacher of a method of one training is a level 0, but nothing was kept of its way."""
    taught = start_run(tones, tmp_path / "taught", rounds=1, method="gradual", distillation=0.3)
    train_dense(taught)
    run = start_run(tones, tmp_path / "run", rounds=1)
    with pytest.raises(TicketError, match="method gradual keeps no rewind point"):
        reuse_dense(run, taught.out)
    with pytest.raises(TicketError, match="has no finished level 0"):
        reuse_dense(run, gradual.out)
    assert not list(run.out.glob("level_*"))


def test_a_ticket_rewound_to_a_step_counts_what_it_trained_itself(tones, tmp_path):
    run = start_run(tones, tmp_path / "run", rounds=1, rewind="step", rewind_steps=2)
    search(run)
    dense, ticket = (load_ticket(run.level_folder(level)).record for level in (0, 1))
    assert dense["trained_epochs"] == 3
    assert ticket["trained_steps"] == dense["trained_steps"] - 2
    num_batches = dense["trained_steps"] / 3
    assert ticket["trained_epochs"] == pytest.approx(3 - 2 / num_batches, abs=0.2)
    assert 2 < ticket["trained_epochs"] < 3


def test_costs_of_records_old_and_incomplete():
    old = [{"level": level, "epochs": 10, "train": {"epochs": 10}, "search": {}} for level in (0, 1, 3)]
    assert training_costs(old) == {0: 1.0, 1: 2.0, 3: None}
    for record in old[:2]:
        del record["train"]
    assert training_costs(old[:2]) == {0: 1.0, 1: 2.0}
    assert training_costs(old[1:2]) == {1: None}
    alone = {
        "level": 4,
        "epochs": 10,
        "trained_epochs": 10,
        "method": "gradual",
        "train": {"epochs": 10},
        "search": {"distillation": 0.5},
    }
    assert training_costs([alone]) == {4: None}


def test_a_transferred_mask_stays_on_and_leaves_the_tokens_dense(tones, tmp_path, iterative):
    source = iterative.level_folder(1)
    train = {"init_from": str(source), "keeps_init_mask": True, "epochs": 1, "seed": 5}
    run = start_run(tones, tmp_path / "run", train=train, tokens="bpe:8", rounds=0)
    search(run)
    found, given = load_ticket(run.level_folder(0)), load_ticket(source)
    assert found.weights["head.weight"].shape != given.weights["head.weight"].shape
    for name, keep in given.mask.items():
        if name.startswith("head."):
            assert found.mask[name].all()
        else:
            assert torch.equal(found.mask[name], keep)
            assert found.weights[name][~keep].eq(0).all()
            assert found.weights[name][keep].ne(0).all()
    assert found.record["density"] == found.mask.density < 0.6
    assert found.record["level"] == 0
    outlook = forecast(run.config, vocab_size=len(found.tokenizer))
    assert outlook.densities == (found.mask.density,)


def test_a_mask_that_does_not_fit_is_refused_before_training(tones, tmp_path, iterative, monkeypatch):
    monkeypatch.setattr("lottery_train.trainer.Trainer.run", lambda trainer: pytest.fail("trained"))
    train = {"init_from": str(iterative.level_folder(1)), "keeps_init_mask": True}
    wider = start_run(tones, tmp_path / "wider", train=train, rounds=0)
    config = replace(wider.config, model=replace(wider.config.model, ff=32))
    with pytest.raises(ConfigError, match="its mask of .* has shape .* this model's tensor") as caught:
        search(replace(wider, config=config))
    assert "--set model" in caught.value.hint
    with pytest.raises(ConfigError, match="not of the tensors that this run prunes") as caught:
        search(start_run(tones, tmp_path / "scope", train=train, rounds=0, scope="linear"))
    assert "weight, pointwise" in caught.value.hint
    odd = replace(load_ticket(iterative.level_folder(1)), record={"search": "?"})
    with pytest.raises(ConfigError, match="not of the tensors"):
        transferred_mask(odd, Mask({"other": (2, 2)}), token_prefixes=("head.",))
    with pytest.raises(ConfigError, match="1 rounds would prune on") as caught:
        search(start_run(tones, tmp_path / "rounds", train=train, rounds=1))
    assert "--rounds 0" in caught.value.hint


def test_a_run_from_before_these_settings_goes_on(tones, tmp_path, iterative):
    path = iterative.out / "config.json"
    value = json.loads(path.read_text())
    for name in ("method", "ramp", "early_bird_distance", "distillation"):
        del value["search"][name]
    del value["train"]["keeps_init_mask"]
    path.write_text(json.dumps(value))
    open_run(iterative.out, config=iterative.config, data_dir=tones, process=Process())
    assert RunConfig.from_json(json.loads(path.read_text())) == iterative.config


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [
        ({"rewind": "init"}, {"dense-longer"}),
        ({"rewind": "learning-rate"}, set()),
        ({"method": "gradual"}, {"dense-longer", "no-rewinding"}),
    ],
)
def test_controls_that_say_nothing_are_left_out_unless_named(settings, left_out):
    parser, config = build_parser(), SearchConfig(rounds=3, **settings)
    _, names = controls_from(parser.parse_args(["--controls", "3"]), search=config)
    assert left_out.isdisjoint(names)
    assert len(names) == 5 - len(left_out)
    for name in left_out:
        with pytest.raises(ConfigError, match=name):
            controls_from(parser.parse_args(["--controls", "3", "--control-names", name]), search=config)
    if config.is_one_training:
        with pytest.raises(ConfigError, match="expected 3: method gradual finds"):
            controls_from(parser.parse_args(["--controls", "2"]), search=config)
