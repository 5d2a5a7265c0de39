"""Training: batches, exact resume, learning rate, and two processes."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from lottery_train import trainer as trainer_module
from lottery_train.batching import collate, epoch_batches
from lottery_train.config import TrainConfig
from lottery_train.dataset import Recipe, Variant, load_dataset
from lottery_train.distributed import Process
from lottery_train.errors import ConfigError
from lottery_train.learning_rate import learning_rate
from lottery_train.metrics import Metrics, read_metrics
from lottery_train.models import build_model
from lottery_train.pruner import Pruner
from lottery_train.pruning import Mask
from lottery_train.speech import prepare_speech
from lottery_train.trainer import Trainer
from runtime.features import PADDING_VALUE, num_chunks, padded_frames
from tests.lottery_train.tiny import timeless_metrics, tiny_config, tiny_run, write_tones


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tones")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOTTERY_CACHE", str(folder / "cache"))
        yield prepare_speech(tiny_run().data, out=folder / "run", seed=0, data_dir=write_tones(folder / "tones"))


def make_trainer(speech, folder, *, mask=None, epochs=3, **fields):
    model = build_model(tiny_config(vocab_size=len(speech.tokenizer), dropout=0.1), seed=1)
    metrics = Metrics(folder)
    settings = tiny_run().train.__dict__ | fields
    return Trainer(
        model=model,
        speech=speech,
        config=TrainConfig(**settings),
        folder=folder / "work",
        epochs=epochs,
        pruner=Pruner(mask),
        metrics=metrics,
        label="level_00",
        process=Process(),
    )


def half_mask(speech):
    model = build_model(tiny_config(vocab_size=len(speech.tokenizer)), seed=1)
    mask = Mask.dense(dict(model.named_parameters()), names=["head.weight", "blocks.0.ff1.up.weight"])
    for name in mask:
        mask[name] = torch.rand(mask[name].shape, generator=torch.Generator().manual_seed(0)) < 0.5
    return mask


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_killed_training_ends_in_the_same_weights(speech, tmp_path, monkeypatch, stop_after):
    mask = half_mask(speech)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = make_trainer(speech, tmp_path / "whole", mask=mask).run()
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    broken = make_trainer(speech, tmp_path / "killed", mask=mask)
    step, done = broken._step, []

    def killed_step(*arguments):
        if len(done) == stop_after:
            raise KeyboardInterrupt
        done.append(None)
        return step(*arguments)

    monkeypatch.setattr(broken, "_step", killed_step)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    resumed = make_trainer(speech, tmp_path / "killed", mask=mask).run()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    curves = [timeless_metrics(tmp_path / name) for name in ("whole", "killed")]
    assert curves[0] == curves[1]
    assert [line["epoch"] for line in curves[0]] == [1, 2, 3]


def test_a_kill_between_an_epoch_s_metrics_and_its_checkpoint_writes_no_line_twice(speech, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    broken = make_trainer(speech, tmp_path)
    save = broken._save

    def killed_save():
        if broken.position.epoch == 2:
            raise KeyboardInterrupt
        save()

    monkeypatch.setattr(broken, "_save", killed_save)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert [line["epoch"] for line in timeless_metrics(tmp_path)] == [1, 2]
    make_trainer(speech, tmp_path).run()
    assert [line["epoch"] for line in timeless_metrics(tmp_path)] == [1, 2, 3]


def test_pruned_weights_stay_zero_through_averaging(speech, tmp_path):
    mask = half_mask(speech)
    weights = make_trainer(speech, tmp_path, mask=mask).run()
    for name, keep in mask.items():
        assert weights[name][~keep].eq(0).all()
        assert weights[name][keep].ne(0).all()


def test_training_learns_the_tones(speech, tmp_path):
    losses = make_trainer(speech, tmp_path, epochs=12, learning_rate=1e-2, join_probability=0.0)
    losses.run()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]


def test_another_number_of_processes_is_refused(speech, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_INTERVAL_S", 0)
    trainer = make_trainer(speech, tmp_path, epochs=1)
    trainer.run()
    again = make_trainer(speech, tmp_path, epochs=1)
    again.process = Process(world_size=2)
    with pytest.raises(ConfigError, match="1 processes, now there are 2"):
        again.run()


def test_steps_without_a_finite_gradient_count_in_no_mean(speech, tmp_path, monkeypatch):
    trainer = make_trainer(speech, tmp_path, epochs=2)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def sometimes_infinite(parameters, limit):
        calls.append(None)
        return torch.tensor(math.inf) if len(calls) % 3 == 0 else clip(parameters, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", sometimes_infinite)
    trainer.run()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert sum(line["skipped_steps"] for line in lines) == len(calls) // 3
    assert trainer.position.best_loss > 1.0


def test_a_diverged_training_says_so(speech, tmp_path):
    trainer = make_trainer(speech, tmp_path, epochs=30)
    with torch.no_grad():
        trainer.model.head.weight.fill_(math.nan)
    with pytest.raises(ConfigError, match="not finite") as caught:
        trainer.run()
    assert "learning rate" in caught.value.hint


def test_learning_rate_warms_up_and_ends_at_zero():
    config = TrainConfig(learning_rate=1.0, warmup_epochs=2.0)
    rates = [learning_rate(config, progress, epochs=10) for progress in np.linspace(0, 10, 101)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.2)), abs=0.01)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert all(later < earlier for earlier, later in zip(rates[21:], rates[22:], strict=False))


def test_an_epoch_uses_every_utterance_once_and_keeps_to_the_batch_size(speech):
    plan = {"batch_s": 6.0, "join_probability": 0.5, "max_utterance_s": 4.0, "seed": 0}
    batches = epoch_batches(speech.train, epoch=0, **plan)
    used = [utterance for batch in batches for example in batch for utterance, _ in example]
    assert sorted(used) == list(range(len(speech.train)))
    assert any(len(example) == 2 for batch in batches for example in batch)
    frames = speech.train.num_frames(0)
    for batch in batches:
        lengths = [sum(frames[utterance] for utterance, _ in example) for example in batch]
        assert max(lengths) <= 400
        assert max(lengths) * len(batch) <= 600 or len(batch) == 1
    assert epoch_batches(speech.train, epoch=0, **plan) == batches
    assert epoch_batches(speech.train, epoch=1, **plan) != batches
    for world_size in (4, 3 * len(batches)):
        shared = epoch_batches(speech.train, epoch=0, world_size=world_size, **plan)
        assert len(shared) % world_size == 0
        assert shared[: len(batches)] == batches


def test_collate_pads_as_the_runtime_does(speech):
    examples = [((0, 0),), ((1, 0), (2, 0))]
    batch = collate(speech.train, examples, encode=speech.encode, chunk=8)
    frames = [speech.train.frames(0), np.concatenate([speech.train.frames(1), speech.train.frames(2)])]
    chunks = [num_chunks(len(part), chunk_frames=8) for part in frames]
    assert batch.features_BTF.shape == (2, padded_frames(max(chunks), chunk_frames=8), 80)
    for row, part, count in zip(batch.features_BTF.numpy(), frames, chunks, strict=True):
        np.testing.assert_array_equal(row[: len(part)], part)
        assert (row[len(part) :] == np.float32(PADDING_VALUE)).all()
        assert count * 8 in batch.input_lengths.tolist()
    text = f"{speech.train.texts[1]} {speech.train.texts[2]}"
    assert speech.tokenizer.decode(batch.targets.ids_BU[1, : batch.targets.lengths[1]].tolist()) == text


def test_features_are_cached_and_bad_recordings_counted(tmp_path, monkeypatch):
    from lottery_train.corpora import read_manifest

    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    folder = write_tones(tmp_path / "tones", num_train=5)
    (folder / "audio" / "train_2.wav").write_bytes(b"RIFF not a sound")
    utterances, _ = read_manifest(folder / "train.jsonl")
    recipe = Recipe(variants=(Variant(), Variant(speed=0.9)), dtype="float16")
    dataset = load_dataset(utterances, recipe=recipe)
    assert len(dataset) == 4
    assert len(dataset.skipped) == 1
    assert "train_2.wav" in dataset.skipped[0]
    slow, normal = dataset.num_frames(1).sum(), dataset.num_frames(0).sum()
    assert slow / normal == pytest.approx(1 / 0.9, rel=0.01)
    monkeypatch.setattr("lottery_train.dataset.fbank", lambda samples: pytest.fail("computed again"))
    again = load_dataset(utterances, recipe=recipe)
    np.testing.assert_array_equal(again.frames(3, variant=1), dataset.frames(3, variant=1))


_TWO_PROCESSES = """
import torch, sys
from lottery_train.distributed import join_process_group
from lottery_train.models import build_model
from torch.nn.parallel import DistributedDataParallel
from tests.lottery_train.tiny import tiny_config

process = join_process_group()
model = build_model(tiny_config(), seed=0)
forward = DistributedDataParallel(model)
batches = [torch.randn(2, 67, 80, generator=torch.Generator().manual_seed(rank)) for rank in range(2)]
forward(batches[process.rank], chunk=8)[..., 1].mean().backward()
found = [p.grad.clone() for p in model.parameters()]
model.zero_grad()
(sum(model(x, chunk=8)[..., 1].mean() for x in batches) / 2).backward()
expected = [p.grad for p in model.parameters()]
difference = max(float((a - b).abs().max()) for a, b in zip(found, expected))
open(f"{sys.argv[1]}/difference_{process.rank}", "w").write(str(difference))
"""


def torchrun(arguments, **environment):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=0",
        "--standalone",
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_two_processes_average_their_gradients(tmp_path):
    script = tmp_path / "gradients.py"
    script.write_text(_TWO_PROCESSES)
    result = torchrun([str(script), str(tmp_path)])
    assert result.returncode == 0, result.stderr[-2000:]
    differences = [float((tmp_path / f"difference_{rank}").read_text()) for rank in range(2)]
    assert max(differences) < 1e-6


@pytest.mark.parametrize("method", ["iterative", "gradual"])
def test_a_run_on_two_processes_writes_one_ticket(tmp_path, method):
    folder = write_tones(tmp_path / "tones")
    flags = [
        "--corpus",
        "tones",
        "--data-dir",
        str(folder),
        "--out",
        str(tmp_path / "run"),
        "--rounds",
        "1",
        "--epochs",
        "2",
        "--level-epochs",
        "1",
        "--batch-s",
        "6",
        "--threads",
        "1",
        "--method",
        method,
    ]
    for setting in ("num_blocks=1", "model_width=16", "ff=16", "heads=1", "conv=16"):
        flags += ["--set", f"model.{setting}"]
    # Augmentation at half strength from the first loss on: processes that disagree about it would plan other epochs.
    flags += ["--set", "train.augmentation_loss=[9.0,0.1]"]
    result = torchrun(["-m", "lottery_train.cli", *flags], LOTTERY_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    levels = {"iterative": [0, 1], "gradual": [1]}[method]
    for level in levels:
        record = json.loads((tmp_path / "run" / f"level_{level:02d}" / "ticket.json").read_text())
        assert record["level"] == level
    assert not list((tmp_path / "run").glob("*.work"))
    epochs = [line["epoch"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert epochs == {"iterative": [1, 2, 1], "gradual": [1, 2]}[method]
