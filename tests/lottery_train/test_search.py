"""Tickets, the search loop, and controls."""

import json
from dataclasses import replace

import pytest
import torch

from lottery_train.checkpoint import read_safetensors
from lottery_train.config import RunConfig
from lottery_train.controls import CONTROLS, train_control
from lottery_train.distributed import Process
from lottery_train.errors import ConfigError, TicketError
from lottery_train.evaluate import paired_difference, score_texts
from lottery_train.models import build_model
from lottery_train.rewinding import _fewest_steps, check_rewind_step
from lottery_train.run import open_run, reuse_dense
from lottery_train.search import search
from lottery_train.ticket import load_ticket
from tests.lottery_train.tiny import tiny_run, write_tones


def start_run(tones, out, **changes):
    return open_run(out, config=tiny_run(**changes), data_dir=tones, process=Process())


@pytest.fixture(scope="module")
def finished(tones, tmp_path_factory):
    run = start_run(tones, tmp_path_factory.mktemp("run") / "weight", rounds=2)
    search(run)
    return run


def test_levels_start_from_the_rewind_point_under_their_mask(finished, monkeypatch):
    """The start weights of every level are rewind * mask: Frankle's own test of open_lth."""
    tensors, _ = read_safetensors(finished.rewind_path)
    starts = []

    def stop(trainer):
        trainer._apply_mask()
        starts.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("lottery_train.trainer.Trainer.run", stop)
    more = replace(finished.config, search=replace(finished.config.search, rounds=3))
    with pytest.raises(KeyboardInterrupt):
        search(replace(finished, config=more))
    parent = load_ticket(finished.level_folder(2))
    kept = 0
    for name, value in starts[0].items():
        expected = tensors[f"weights.model.{name}"]
        assert torch.equal(value, torch.where(value != 0, expected, 0)), name
        kept += int((value != 0).sum()) if name in parent.mask else 0
    assert kept == pytest.approx(parent.mask.num_kept * 0.5, abs=1)


def test_tickets_shrink_monotonously_and_hold_what_they_say(finished):
    tickets = [load_ticket(finished.level_folder(level)) for level in range(3)]
    for earlier, later in zip(tickets, tickets[1:], strict=False):
        assert later.mask.is_subset_of(earlier.mask)
        assert later.mask.num_kept == earlier.mask.num_kept - round(0.5 * earlier.mask.num_kept)
    for ticket in tickets:
        parameters = dict(ticket.build_model().named_parameters())
        nonzeros = sum(int(value.count_nonzero()) for value in parameters.values())
        assert ticket.record["sizes"]["num_nonzeros"] == nonzeros
        assert ticket.record["sizes"]["bytes"] == sum(
            (ticket.folder / name).stat().st_size for name in ("mask.safetensors", "weights.safetensors")
        )
        low, high = ticket.record["metrics"]["test"]["wer_interval"]
        assert low <= ticket.record["metrics"]["test"]["wer"] <= high


def test_a_finished_level_is_not_trained_again(finished, monkeypatch):
    monkeypatch.setattr("lottery_train.trainer.Trainer.run", lambda trainer: pytest.fail("trained again"))
    assert [folder.name for folder in search(finished)] == ["level_00", "level_01", "level_02"]


def test_other_settings_are_refused_but_more_rounds_are_not(finished, tones):
    other = replace(finished.config, train=replace(finished.config.train, epochs=9))
    with pytest.raises(ConfigError, match="other settings") as caught:
        open_run(finished.out, config=other, data_dir=tones, process=Process())
    assert "--out" in caught.value.hint
    assert RunConfig.from_json(json.loads((finished.out / "config.json").read_text())) == finished.config


def test_controls_share_the_tickets_size(finished):
    ticket = load_ticket(finished.level_folder(2))
    names = [name for name in CONTROLS if name != "dense-longer"]
    found = {name: load_ticket(train_control(finished, name, level=2)) for name in names}
    with pytest.raises(ConfigError, match="dense-longer: rewind step trains no weight longer"):
        train_control(finished, "dense-longer", level=2)
    assert found["random-ticket"].mask == ticket.mask
    assert found["no-rewinding"].mask == ticket.mask
    assert found["random-pruning"].mask.num_kept == ticket.mask.num_kept
    assert found["random-pruning"].mask != ticket.mask
    assert found["dense-small"].mask.density == 1.0
    small = found["dense-small"].record["sizes"]["num_weights"]
    assert 0.5 * ticket.record["sizes"]["num_nonzeros"] < small <= ticket.record["sizes"]["num_nonzeros"]
    with pytest.raises(ConfigError, match="level 0"):
        train_control(finished, "random-ticket", level=0)
    with pytest.raises(TicketError, match="level_07"):
        train_control(finished, "random-ticket", level=7)


def test_random_pruning_starts_from_weights_that_no_mask_has_zeroed(tones, tmp_path, finished, monkeypatch):
    run = start_run(tones, tmp_path / "run", rewind="learning-rate", rounds=2, level_epochs=1)
    reuse_dense(run, finished.out)
    search(run)
    starts = []

    def stop(trainer):
        trainer._apply_mask()
        starts.append(trainer)
        raise KeyboardInterrupt

    monkeypatch.setattr("lottery_train.trainer.Trainer.run", stop)
    with pytest.raises(KeyboardInterrupt):
        train_control(run, "random-pruning", level=2)
    weights = dict(starts[0].model.named_parameters())
    for name, keep in starts[0].mask.items():
        assert weights[name][keep].ne(0).all(), name
    assert starts[0].epochs == 2, "as many epochs as the two levels had together"
    with pytest.raises(KeyboardInterrupt):
        train_control(run, "dense-longer", level=2)
    assert starts[1].mask.density == 1.0
    assert starts[1].epochs == 2
    dense = load_ticket(run.level_folder(0)).weights
    assert all(torch.equal(value, dense[name]) for name, value in starts[1].model.state_dict().items())


@pytest.mark.parametrize(("rewind_steps", "level_epochs"), [(10**6, None), (7, 1), (None, None), (None, 2)])
def test_a_rewind_point_beyond_the_training_is_refused_before_it(
    tones, tmp_path, monkeypatch, rewind_steps, level_epochs
):
    """None: exactly as many steps as there are, behind which nothing of a level would be left to train."""
    monkeypatch.setattr("lottery_train.trainer.Trainer.run", lambda trainer: pytest.fail("trained"))
    if rewind_steps is None:
        few = start_run(tones, tmp_path / "few", level_epochs=level_epochs)
        rewind_steps = _fewest_steps(few, epochs=level_epochs or few.config.train.epochs, enough=10**6)
    run = start_run(tones, tmp_path / "run", rewind_steps=rewind_steps, level_epochs=level_epochs)
    with pytest.raises(ConfigError, match=f"--rewind-steps is {rewind_steps}, expected less than") as caught:
        search(run)
    assert "--rewind-steps" in caught.value.hint
    one_less = start_run(tones, tmp_path / "less", rewind_steps=min(rewind_steps - 1, 2), level_epochs=level_epochs)
    check_rewind_step(one_less)


def test_the_steps_counted_before_a_training_are_those_it_makes(finished):
    made = load_ticket(finished.level_folder(0)).record["trained_steps"]
    counted = _fewest_steps(finished, epochs=finished.config.train.epochs, enough=10**6)
    assert made - finished.config.train.epochs <= counted <= made


@pytest.mark.parametrize(("limit", "is_said"), [(-0.01, True), (99.0, False)])
def test_a_ticket_that_learnt_nothing_says_so(finished, monkeypatch, capsys, limit, is_said):
    monkeypatch.setattr("lottery_train.outcome.MAX_USEFUL_WER", limit)
    search(finished)
    said = capsys.readouterr().err
    for level in range(3):
        assert (f"warning: level_{level:02d}: dev WER is " in said) == is_said
    assert ("hint: see whether texts and recordings belong together" in said) == is_said


def test_other_data_under_the_same_run_is_refused(finished, tmp_path):
    other = write_tones(tmp_path / "tones", seed=5)
    with pytest.raises(ConfigError, match="other data"):
        open_run(finished.out, config=finished.config, data_dir=other, process=Process())


@pytest.mark.parametrize("rewind", ["init", "learning-rate", "none"])
def test_every_rewinding_and_granularity_searches(tones, tmp_path, rewind, finished):
    granularity = {"init": "block:1x4", "learning-rate": "unit", "none": "block:4x4"}[rewind]
    run = start_run(tones, tmp_path / "run", rewind=rewind, granularity=granularity, level_epochs=1)
    if rewind == "init":
        with pytest.raises(TicketError, match="rewind point"):
            reuse_dense(run, finished.out)
    else:
        reuse_dense(run, finished.out)
    search(run)
    ticket = load_ticket(run.level_folder(1))
    assert 0.3 < ticket.mask.density < 0.7
    if rewind == "init":
        tensors, _ = read_safetensors(run.rewind_path)
        drawn = build_model(run.dense_config(), seed=0).state_dict()
        for name in (name for name in drawn if not name.startswith("subsampling.")):
            assert torch.equal(tensors[f"weights.model.{name}"], drawn[name]), name


def test_a_run_can_start_from_another_corpus_s_ticket(finished, tones, tmp_path, monkeypatch):
    starts = []

    def stop(trainer):
        starts.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("lottery_train.trainer.Trainer.run", stop)
    source = finished.level_folder(0)
    config = replace(finished.config, train=replace(finished.config.train, init_from=str(source), seed=7))
    config = replace(config, data=replace(config.data, tokens="bpe:8"))
    with pytest.raises(KeyboardInterrupt):
        search(open_run(tmp_path / "run", config=config, data_dir=tones, process=Process()))
    pretrained = load_ticket(source).weights
    for name, value in starts[0].items():
        is_adopted = not name.startswith(("head.", "subsampling.mean", "subsampling.inverse_std"))
        assert not is_adopted or torch.equal(value, pretrained[name]), name
    assert starts[0]["head.bias"].shape == (8,)


def test_a_run_can_go_on_with_a_whole_ticket(finished, tones, tmp_path, monkeypatch):
    """Its own widths, output layer and statistics: a shrunk ticket has no settings that name its shape."""
    starts = []

    def stop(trainer):
        starts.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr("lottery_train.trainer.Trainer.run", stop)
    source = finished.level_folder(1)
    train = replace(finished.config.train, init_from=str(source), seed=7)
    config = replace(finished.config, train=train, data=replace(finished.config.data, tokens="init"))
    config = replace(config, model=replace(config.model, ff=40))
    with pytest.raises(KeyboardInterrupt):
        search(open_run(tmp_path / "run", config=config, data_dir=tones, process=Process()))
    ticket = load_ticket(source)
    assert starts[0].keys() == ticket.weights.keys()
    assert all(torch.equal(value, ticket.weights[name]) for name, value in starts[0].items())
    assert (tmp_path / "run" / "tokens.txt").read_bytes() == (finished.out / "tokens.txt").read_bytes()


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove", "schema", "json", "tokens", "shape"])
def test_a_damaged_ticket_is_named(finished, tmp_path, damage):
    import shutil

    folder = tmp_path / "level_01"
    shutil.copytree(finished.level_folder(1), folder)
    weights, record = folder / "weights.safetensors", folder / "ticket.json"
    value = json.loads(record.read_text())
    if damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "alter":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    elif damage == "remove":
        (folder / "mask.safetensors").unlink()
    elif damage == "json":
        record.write_text("{")
    else:
        changes = {
            "schema": ("schema_version", 99),
            "tokens": ("tokens", ["<blk>", "a"]),
            "shape": ("model", value["model"] | {"model_width": 8}),
        }[damage]
        record.write_text(json.dumps(value | {changes[0]: changes[1]}))
    with pytest.raises(TicketError) as caught:
        load_ticket(folder)
    named = {
        "truncate": "weights.safetensors",
        "alter": "weights.safetensors",
        "remove": "mask.safetensors",
        "shape": "weights.safetensors",
    }.get(damage, "ticket.json")
    assert str(folder / named) in str(caught.value)
    if damage == "schema":
        assert "schema version 99" in str(caught.value)


def test_scores_agree_with_jiwer_and_pairs_with_arithmetic():
    import jiwer

    references = ["a b c", "d", "e f", "g h i j"]
    first, second = ["a b c", "d", "e", "g x i"], ["a c", "d d", "e f", "g h i j"]
    scores = [score_texts(references, texts) for texts in (first, second)]
    for score, texts in zip(scores, (first, second), strict=True):
        assert score.wer == pytest.approx(jiwer.wer(references, texts))
        assert score.cer == pytest.approx(jiwer.cer(references, texts))
        assert score.wer_interval[0] <= score.wer <= score.wer_interval[1]
    difference, low, high = paired_difference(*scores)
    assert difference == pytest.approx(scores[1].wer - scores[0].wer)
    assert low <= difference <= high
    assert paired_difference(scores[0], scores[0]) == (0.0, 0.0, 0.0)
