"""One training, from given weights to averaged weights; it can be killed at any moment and goes on where it stood.

Order, augmentation and dropout are functions of (seed, epoch, step), so a resumed training repeats an uninterrupted one
to the bit. Shapes: B batch, T encoder frames, V symbols, U target symbols.
"""

import contextlib
import math
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from lottery_train.batching import Augmentation, collate, epoch_batches
from lottery_train.checkpoint import average_weights, load_checkpoint, save_checkpoint
from lottery_train.distributed import has_fast_bfloat16
from lottery_train.errors import ConfigError
from lottery_train.evaluate import evaluate
from lottery_train.learning_rate import learning_rate
from lottery_train.position import Position, read_position
from lottery_train.pruner import Pruner
from runtime.files import write_atomic

_CHECKPOINT_INTERVAL_S = 30
_MAX_SKIPPED_STEPS = 20


class Trainer:
    """Train a model in a working folder.

    Args:
        model: Backbone on the process's device, holding the first weights.
        speech: `lottery_train.speech.Speech`: datasets and how their texts are spelled.
        config: TrainConfig.
        folder: working folder: checkpoints live here until the training is done.
        epochs: length of the schedule; a training that starts at a later position ends there too.
        pruner: `lottery_train.pruner.Pruner`: its mask is applied after every step. Rounds that it makes on the way
            leave only checkpoints from after the last one to be averaged.
        distillation: `lottery_train.distillation.Distillation`, or None.
        rewind_step, rewind_path: after this many steps (None: never) the state is saved there.
        metrics, label: where the curves go, and under which name.
        process: `lottery_train.distributed.Process`.
    """

    def __init__(
        self,
        *,
        model,
        speech,
        config,
        folder,
        epochs,
        pruner=None,
        distillation=None,
        rewind_step=None,
        rewind_path=None,
        metrics,
        label,
        process,
    ):
        self.model, self.speech, self.config, self.process = model, speech, config, process
        self.folder, self.epochs, self.metrics, self.label = Path(folder), epochs, metrics, label
        self.pruner = (pruner or Pruner()).to(process.device)
        self.rewind_step, self.rewind_path = rewind_step, rewind_path
        self.objective = model.objective(
            num_characters=len(speech.characters),
            character_weight=config.character_weight,
            seed=config.seed,
            distillation=distillation,
        ).to(process.device)
        self._last_wer = "-"
        self.optimizer = torch.optim.AdamW(
            self.objective.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.position = Position(best=[], world_size=process.world_size)
        is_bfloat16 = config.precision == "bfloat16" or config.precision == "auto" and has_fast_bfloat16(process.device)
        self._autocast_dtype = torch.bfloat16 if is_bfloat16 else None
        self._forward = DistributedDataParallel(self.objective) if process.world_size > 1 else self.objective

    @property
    def _checkpoint(self):
        return self.folder / "checkpoint.safetensors"

    def start_from(self, path):
        """Take weights, optimiser moments and position from a rewind point.

        Raises:
            ConfigError: the point lies at or beyond the end of this training's schedule.
        """
        self._restore(path)
        self.position.begin_here()
        if self.position.epoch >= self.epochs:
            raise ConfigError(
                f"{self.label}: the rewind point lies in epoch {self.position.epoch}, the level ends at {self.epochs}",
                hint="rewind to fewer steps (--rewind-steps), or train levels longer (--level-epochs)",
            )

    def _restore(self, path):
        state = load_checkpoint(path, model=self.objective, optimizer=self.optimizer)
        self.position = read_position(path, state=state)
        if self.position.world_size != self.process.world_size:
            raise ConfigError(
                f"{path}: begun with {self.position.world_size} processes, now there are {self.process.world_size}",
                hint="start it with as many processes as before",
            )

    def run(self):
        """Train to the end, resuming from the folder's checkpoint where there is one, and average the best checkpoints.

        Returns:
            name -> float32 tensor: the averaged weights, also loaded into the model.
        Raises:
            ConfigError: the loss stays non-finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._restore(self._checkpoint)
            self.pruner.restore(self.folder, self.position)
        self.metrics.rewind(level=self.label, step=self.position.step)
        self._apply_mask()
        self._save_rewind_point()
        with self._progress_bar() as bar:
            while self.position.epoch < self.epochs:
                self._run_epoch(bar)
        weights = average_weights([self.folder / name for _, _, name in self.position.best])
        self.model.load_state_dict(weights)
        self._apply_mask()
        return {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def record(self):
        """Return what the ticket's record says of this training: its length, and the rounds made on its way."""
        position = self.position
        return {
            "trained_epochs": round(position.progress - position.first_epoch, 6),
            "trained_steps": position.step - position.first_step,
            **self.pruner.record(position),
        }

    def clear(self):
        """Remove the working folder, once its result is safe elsewhere."""
        self.process.barrier()
        if self.process.is_first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run_epoch(self, bar):
        position, config = self.position, self.config
        batches = epoch_batches(
            self.speech.train,
            batch_s=config.batch_s,
            join_probability=config.join_probability * self._augmentation_share(),
            max_utterance_s=self.speech.max_utterance_s,
            seed=config.seed,
            epoch=position.epoch,
            is_sorted=position.epoch < config.sorted_epochs,
            world_size=self.process.world_size,
            negatives_share=self.speech.negatives_share,
        )
        mine = batches[self.process.rank :: self.process.world_size]
        position.num_batches = len(mine)
        saved_at, started_at, audio_s = time.monotonic(), time.monotonic(), 0.0
        self.model.train()
        while position.batch < len(mine):
            progress = position.progress
            *losses, batch_audio_s = self._step(mine[position.batch], progress)
            # One sum keeps every process at the same position, augmentation included; the first one's clock decides.
            is_due = self.process.is_first and time.monotonic() - saved_at > _CHECKPOINT_INTERVAL_S
            *losses, batch_audio_s, is_due = self.process.sum([*losses, batch_audio_s, is_due])
            self._count(losses)
            self._prune()
            audio_s += batch_audio_s
            self._save_rewind_point()
            bar.update(progress - bar.n)
            bar.set_postfix(
                loss=f"{position.loss_sum / max(position.num_steps, 1):.3f}",
                wer=self._last_wer,
                speed=f"{audio_s / (time.monotonic() - started_at):.0f}x",
                refresh=False,
            )
            # The epoch's own save follows its last step; between the two its line of metrics could come twice.
            if is_due and position.batch < len(mine):
                self._save()
                saved_at = time.monotonic()
        self._finish_epoch(audio_s / max(time.monotonic() - started_at, 1e-9))
        self._save()

    def _count(self, losses):
        """Move on by one step, with the sums over processes of its losses."""
        position = self.position
        position.batch, position.step = position.batch + 1, position.step + 1
        if position.num_bad:
            position.num_skipped += 1
            return
        loss, character_loss = (value / self.process.world_size for value in losses)
        position.loss_sum += loss
        position.character_loss_sum += character_loss
        position.num_steps += 1

    def _finish_epoch(self, audio_s_per_s):
        position = self.position
        if not position.num_steps:
            raise self._not_finite(f"in all {position.batch} steps of epoch {position.epoch + 1}")
        loss = position.loss_sum / position.num_steps
        position.best_loss = min(position.best_loss, position.character_loss_sum / position.num_steps)
        values = {"epoch": position.epoch + 1, "loss": loss, "audio_s_per_s": round(audio_s_per_s, 1)}
        if position.num_skipped:
            values["skipped_steps"] = position.num_skipped
        if position.round_epochs:
            values["density"] = self.mask.density
        position.epoch, position.batch, position.num_steps, position.num_skipped = position.epoch + 1, 0, 0, 0
        position.loss_sum = position.character_loss_sum = 0.0
        every = max(1, round(self.epochs / (2 * self.config.num_evaluations)))
        if position.epoch == self.epochs or position.epoch % every == 0:
            score = evaluate(
                self.model,
                self.speech.dev,
                tokenizer=self.speech.tokenizer,
                encode=self.speech.encode,
                chunk=self.config.eval_chunk_frames,
                device=self.process.device,
            )
            values |= {"dev_wer": score.wer, "dev_cer": score.cer, "dev_loss": score.loss}
            self._last_wer = f"{score.wer:.1%}"
            self._keep_best(score)
            if self.process.is_first and not sys.stderr.isatty():
                print(
                    f"{self.label} epoch {position.epoch}/{self.epochs} loss {loss:.3f} dev WER {score.wer:.1%} "
                    f"{audio_s_per_s:.0f} audio-s/s",
                    file=sys.stderr,
                    flush=True,
                )
        self.metrics.add(level=self.label, step=position.step, **values)

    def _keep_best(self, score):
        name = f"epoch_{self.position.epoch:04d}.safetensors"
        if self.process.is_first:
            weights = {key: value.detach().cpu().contiguous() for key, value in self.model.state_dict().items()}
            write_atomic(self.folder / name, save(weights))
        self.process.barrier()
        ranked = sorted([*self.position.best, [score.wer, score.loss, name]])
        self.position.best = ranked[: self.config.average_best]

    def _step(self, examples, progress):
        config, position = self.config, self.position
        seed = [config.seed, position.step, self.process.rank]
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(rng.integers(2**62)))
        # Every process draws the same chunk: their batches then cost alike.
        chunk = int(np.random.default_rng([config.seed, position.step]).choice(config.chunk_frames))
        batch = collate(
            self.speech.train,
            examples,
            encode=self.speech.encode,
            encode_characters=self.speech.characters.encode,
            chunk=chunk,
            rng=rng,
            augmentation=Augmentation(
                gain_range_db=config.gain_range_db,
                perturb_probability=config.perturb_probability,
                has_spec_augment=bool(rng.random() < self._augmentation_share() * config.spec_augment_probability),
            ),
        ).to(self.process.device)
        loss, character_loss = self._forward(batch, autocast_dtype=self._autocast_dtype)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), config.max_gradient_norm)
        if torch.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(config, progress, epochs=self.epochs)
            self.optimizer.step()
            self._apply_mask()
            position.num_bad = 0
        else:
            position.num_bad += 1
            if position.num_bad > _MAX_SKIPPED_STEPS:
                raise self._not_finite(f"in the last {position.num_bad} steps")
        return float(loss.detach()), float(character_loss), batch.audio_s

    def _not_finite(self, when):
        return ConfigError(
            f"{self.label}: the gradient was not finite {when}",
            hint="lower the learning rate, or train with precision float32",
        )

    def _augmentation_share(self):
        high, low = self.config.augmentation_loss
        if self.position.best_loss == math.inf:
            return 0.0
        return min(1.0, max(0.0, (high - self.position.best_loss) / (high - low)))

    @property
    def mask(self):
        """The mask in force, or None."""
        return self.pruner.mask

    def _prune(self):
        """Make the rounds that are due. What was good before them was another network: it is no part of the mean."""
        if self.pruner.advance(
            self.model, self.position, folder=self.folder, is_writer=self.process.is_first, label=self.label
        ):
            self.position.best = []
            self._apply_mask()

    def _apply_mask(self):
        if self.mask is not None:
            self.mask.apply_(self.model)

    def _save_rewind_point(self):
        if self.position.step == self.rewind_step and self.process.is_first and not self.rewind_path.exists():
            self._write(self.rewind_path)

    def _save(self):
        if self.process.is_first:
            self._write(self._checkpoint)
            kept = {name for _, _, name in self.position.best}
            for path in self.folder.glob("epoch_*.safetensors"):
                if path.name not in kept:
                    path.unlink()
        self.process.barrier()

    def _write(self, path):
        save_checkpoint(path, model=self.objective, optimizer=self.optimizer, state=vars(self.position))

    @contextlib.contextmanager
    def _progress_bar(self):
        is_hidden = not self.process.is_first or not sys.stderr.isatty()
        form = "{desc}: {percentage:3.0f}%|{bar}| epoch {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]"
        with tqdm(
            total=self.epochs,
            initial=self.position.epoch,
            desc=self.label,
            bar_format=form,
            file=sys.stderr,
            disable=is_hidden,
        ) as bar:
            yield bar
