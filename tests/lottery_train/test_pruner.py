"""Rounds made while a model trains: when they fall, what they leave, and that a killed training makes the same ones."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lottery_train import trainer as trainer_module
from lottery_train.config import SearchConfig, TrainConfig
from lottery_train.distributed import Process
from lottery_train.metrics import Metrics
from lottery_train.models import build_model
from lottery_train.position import Position
from lottery_train.pruner import NUM_COMPARED, EarlyBirdPruner, GradualPruner, Rounds, make_pruner
from lottery_train.pruning import (
    SCHEDULES,
    Mask,
    cubic_times,
    make_criterion,
    make_granularity,
    make_schedule,
    prunable_names,
    prune,
)
from lottery_train.speech import prepare_speech
from lottery_train.trainer import Trainer
from runtime.files import write_atomic
from tests.lottery_train.tiny import random_model, timeless_metrics, tiny_config, tiny_run


def rounds_for(model, *, count, schedule="constant", granularity="weight", rate=0.3):
    granularity = make_granularity(granularity, groups=model.unit_groups())
    mask = granularity.dense_mask(dict(model.named_parameters()), names=prunable_names(model))
    rounds = Rounds(
        criterion=make_criterion("magnitude"),
        granularity=granularity,
        schedule=make_schedule(schedule, rate=rate),
        count=count,
    )
    return rounds, mask


def at(progress):
    """Return the Position after so many epochs of ten steps."""
    epoch = math.ceil(progress) - 1
    return Position(best=[], epoch=epoch, batch=round((progress - epoch) * 10), num_batches=10)


def advance(pruner, model, position, folder):
    return pruner.advance(model, position, folder=folder, is_writer=True, label="level_05")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rounds_fall_when_the_cubic_ramp_reaches_their_density(schedule):
    model = random_model(tiny_config())
    rounds, mask = rounds_for(model, count=6, schedule=schedule, rate=0.2)
    densities = rounds.densities(mask)
    times = cubic_times(densities)
    final = 1 - densities[-1]
    for time, density in zip(times, densities[1:], strict=True):
        # Zhu & Gupta, eq. 1, with s_i = 0, t_0 = 0 and n dt = 1.
        assert final + (0 - final) * (1 - time) ** 3 == pytest.approx(1 - density)
    assert times[-1] == 1
    assert all(earlier < later for earlier, later in itertools.pairwise([0, *times]))
    search = SearchConfig(method="gradual", ramp=(0.2, 0.6))
    pruner = make_pruner(mask, rounds=rounds, search=search, epochs=50)
    np.testing.assert_allclose(pruner.times, 10 + 20 * np.array(times))


@pytest.mark.parametrize("granularity", ["weight", "block:1x4", "unit"])
def test_weights_that_stand_still_give_the_iterative_search_s_masks(granularity, tmp_path):
    model = random_model(tiny_config(ff=64, conv=64))
    rounds, dense = rounds_for(model, count=3, granularity=granularity)
    pruner = GradualPruner(dense, rounds=rounds, times=(0.5, 0.55, 1.2))
    expected, weights, position = [dense], dict(model.named_parameters()), Position(best=[])
    for level in range(1, 4):
        parts = {"criterion": rounds.criterion, "granularity": rounds.granularity, "schedule": rounds.schedule}
        expected.append(prune(weights, expected[-1], level=level, **parts))
    found = []
    for tenths in range(1, 21):
        stand = at(tenths / 10)
        position.epoch, position.batch, position.num_batches = stand.epoch, stand.batch, stand.num_batches
        before = pruner.mask
        is_new = advance(pruner, model, position, tmp_path)
        assert is_new == (pruner.mask is not before)
        assert pruner.mask.is_subset_of(before)
        found.append(len(position.round_epochs))
    assert found == [0] * 4 + [1] + [2] * 6 + [3] * 9
    assert position.round_epochs == pytest.approx([0.5, 0.6, 1.2])
    assert pruner.mask == expected[3]
    for number in (1, 2, 3):
        assert Mask.load(tmp_path / f"mask_{number:04d}.safetensors") == expected[number]


def test_an_early_bird_is_drawn_when_the_mask_is_near_those_of_five_epochs(tmp_path, capsys):
    """Random walks of falling step length; the distances are computed from the masks' bits in numpy."""
    model = random_model(tiny_config())
    rounds, dense = rounds_for(model, count=2)
    pruner = EarlyBirdPruner(dense, rounds=rounds, distance=0.05, latest=100)
    names, position = dense.prunable, Position(best=[])
    generator = torch.Generator().manual_seed(0)
    bits, expected = [], None
    for epoch in range(1, 30):
        with torch.no_grad():
            for name in names:
                weight = model.get_parameter(name)
                weight.add_(torch.randn(weight.shape, generator=generator) * weight.std() * 0.5**epoch)
        drawn = rounds.make(dict(model.named_parameters()), dense, first=1, last=2)
        bits.append(np.concatenate([m.numpy().ravel() for _, m in drawn.items()]))
        far = max((float(np.mean(bits[-1] != other)) for other in bits[-1 - NUM_COMPARED : -1]), default=None)
        if len(bits) > NUM_COMPARED and far < 0.05:
            expected = (epoch, far)
        position.epoch, position.batch, position.num_batches = epoch - 1, 5, 10
        assert not advance(pruner, model, position, tmp_path), "half an epoch"
        position.batch = 10
        is_drawn = advance(pruner, model, position, tmp_path)
        assert position.mask_distances[-1] == [epoch, pytest.approx(far)]
        assert is_drawn == (expected is not None)
        if is_drawn:
            break
        assert pruner.mask is dense
    assert expected is not None, "never drawn"
    assert expected[0] > NUM_COMPARED + 1, "not at once"
    np.testing.assert_array_equal(np.concatenate([keep.numpy().ravel() for keep in pruner.mask.values()]), bits[-1])
    assert position.round_epochs == [expected[0]] * 2
    assert pruner.record(position)["is_settled"] is True
    assert f"early-bird mask drawn after epoch {expected[0]}: distance {expected[1]:.4f}" in capsys.readouterr().err
    assert len(list(tmp_path.glob("candidate_*"))) <= NUM_COMPARED + 1


def test_a_mask_that_never_settles_is_drawn_at_the_end_of_the_ramp(tmp_path, capsys):
    model = random_model(tiny_config())
    rounds, dense = rounds_for(model, count=2)
    search = SearchConfig(method="early-bird", ramp=(0.1, 0.7), early_bird_distance=1e-6)
    pruner = make_pruner(dense, rounds=rounds, search=search, epochs=10)
    position = Position(best=[])
    for epoch in range(1, 8):
        torch.manual_seed(epoch)
        for name in dense.prunable:
            torch.nn.init.normal_(model.get_parameter(name))
        position.epoch, position.batch, position.num_batches = epoch - 1, 10, 10
        assert advance(pruner, model, position, tmp_path) == (epoch == 7)
    assert not position.is_settled
    assert "without having settled" in capsys.readouterr().err


@pytest.fixture(scope="module")
def speech(tones, tmp_path_factory):
    return prepare_speech(tiny_run().data, out=tmp_path_factory.mktemp("run"), seed=0, data_dir=tones)


def make_trainer(speech, folder, *, method, epochs=8):
    folder.mkdir(exist_ok=True)
    model = build_model(tiny_config(num_blocks=1, vocab_size=len(speech.tokenizer), dropout=0.1), seed=1)
    rounds, dense = rounds_for(model, count=3)
    # Far above what a mask of 34 % can differ by: drawn as soon as there are five others, after epoch 6.
    search = SearchConfig(method=method, early_bird_distance=1.0, ramp=(0.1, 0.9))
    # As many are averaged as there are: a dense one among them would be the best or not, but never left out by chance.
    settings = {"num_evaluations": 4, "average_best": epochs}
    return Trainer(
        model=model,
        speech=speech,
        config=TrainConfig(**tiny_run().train.__dict__ | settings),
        folder=folder / "work",
        epochs=epochs,
        pruner=make_pruner(dense, rounds=rounds, search=search, epochs=epochs),
        metrics=Metrics(folder),
        label="level_03",
        process=Process(),
    )


@pytest.fixture(scope="module")
def whole(speech, tmp_path_factory):
    """Trainings that nothing interrupted: method -> (weights, trainer, metrics, steps after which rounds came)."""
    found = {}
    for method in ("gradual", "early-bird"):
        folder = tmp_path_factory.mktemp(method)
        trainer, changes = make_trainer(speech, folder, method=method), []
        make_rounds = trainer.pruner.advance

        def watched(model, position, trainer=trainer, changes=changes, make_rounds=make_rounds, **rest):
            is_new = make_rounds(model, position, **rest)
            changes.extend([position.step] * is_new)
            return is_new

        trainer.pruner.advance = watched
        weights = trainer.run()
        found[method] = weights, trainer, timeless_metrics(folder), changes
    return found


def require_same(whole, weights, trainer, folder):
    """Assert that a training which was killed left what the uninterrupted one left."""
    expected, other, lines, _ = whole
    assert trainer.mask == other.mask
    assert trainer.record() == other.record()
    assert timeless_metrics(folder) == lines
    for name, value in expected.items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("method", ["gradual", "early-bird"])
def test_a_training_killed_around_any_round_ends_in_the_same_ticket(speech, tmp_path, monkeypatch, method, whole):
    changes = whole[method][-1]
    assert len(changes) == {"gradual": 3, "early-bird": 1}[method]
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    kills = sorted({step + offset for step in changes for offset in (-1, 0, 1)})
    for kill in kills:
        broken = make_trainer(speech, tmp_path, method=method)
        step = broken._step

        def killed_step(*arguments, broken=broken, step=step, kill=kill):
            if broken.position.step == kill:
                raise KeyboardInterrupt
            return step(*arguments)

        monkeypatch.setattr(broken, "_step", killed_step)
        with pytest.raises(KeyboardInterrupt):
            broken.run()
    last = make_trainer(speech, tmp_path, method=method)
    require_same(whole[method], last.run(), last, tmp_path)


def test_a_kill_between_a_mask_and_its_checkpoint_changes_nothing(speech, tmp_path, monkeypatch, whole):
    changes = whole["gradual"][-1]
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    broken = make_trainer(speech, tmp_path, method="gradual")
    save = broken._save

    def killed_save():
        if broken.position.step == changes[1]:
            raise KeyboardInterrupt
        save()

    monkeypatch.setattr(broken, "_save", killed_save)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert (tmp_path / "work" / "mask_0002.safetensors").exists()
    last = make_trainer(speech, tmp_path, method="gradual")
    require_same(whole["gradual"], last.run(), last, tmp_path)


@pytest.mark.parametrize("method", ["gradual", "early-bird"])
def test_a_training_killed_around_its_files_again_and_again_ends_in_the_same_ticket(
    speech, tmp_path, monkeypatch, method, whole
):
    """Before and after every kind of file, twice; checkpoints are an epoch apart, so that masks are written anew."""
    visits = Counter()

    def come_to(place):
        visits[place] += 1
        if visits[place] in (2, 5):
            raise KeyboardInterrupt

    def interruptible(function, name):
        def interrupted(path, *arguments, **options):
            kind = f"{name} {path.name.partition('_')[0].partition('.')[0]}"
            come_to(f"before {kind}")
            function(path, *arguments, **options)
            come_to(f"after {kind}")

        return interrupted

    for module in ("trainer", "checkpoint", "metrics", "pruning.mask"):
        monkeypatch.setattr(f"lottery_train.{module}.write_atomic", interruptible(write_atomic, "writing"))
    monkeypatch.setattr(Path, "unlink", interruptible(Path.unlink, "removing"))
    num_kills, weights = 0, None
    while weights is None:
        trainer = make_trainer(speech, tmp_path, method=method)
        try:
            weights = trainer.run()
        except KeyboardInterrupt:
            num_kills += 1
    require_same(whole[method], weights, trainer, tmp_path)
    own = {"gradual": {"writing mask"}, "early-bird": {"writing candidate", "removing candidate"}}[method]
    kinds = {"writing checkpoint", "writing epoch", "writing metrics", "removing epoch"} | own
    assert all(visits[f"{when} {kind}"] > 2 for when in ("before", "after") for kind in kinds), visits
    assert num_kills > 2 * len(kinds)


@pytest.mark.parametrize("method", ["gradual", "early-bird"])
def test_no_dense_checkpoint_is_part_of_the_mean(method, whole):
    weights, trainer, lines, _ = whole[method]
    mask, record = trainer.mask, trainer.record()
    for name, keep in mask.items():
        assert weights[name][~keep].eq(0).all(), name
        assert weights[name][keep].ne(0).all(), name
    evaluated, last_round = [line["epoch"] for line in lines if "dev_wer" in line], record["round_epochs"][-1]
    assert min(evaluated) < last_round < max(evaluated), "there were dense checkpoints to leave out"
    names = [f"epoch_{epoch:04d}.safetensors" for epoch in evaluated if epoch >= last_round]
    assert sorted(name for _, _, name in trainer.position.best) == names
    parts = [load_file(trainer.folder / name) for name in names]
    for name, value in weights.items():
        torch.testing.assert_close(value, torch.stack([part[name] for part in parts]).mean(0), msg=name)
    assert mask.num_kept == pytest.approx(mask.num_weights * 0.7**3, abs=2)
    assert record["trained_epochs"] == 8
    densities = [line.get("density", 1.0) for line in lines]
    assert densities == sorted(densities, reverse=True)
    assert densities[-1] == mask.density


def test_positions_of_running_trainings_load():
    old = {"epoch": 3, "batch": 4, "step": 60, "best": [], "best_loss": 0.5, "world_size": 1}
    position = Position(**old)
    assert (position.round_epochs, position.mask_distances, position.num_batches) == ([], [], 0)
    position.begin_here()
    assert (position.first_epoch, position.first_step) == (3.0, 60)
