"""The search for tickets: train, score, mask, rewind, and again; or score and mask while training, once.

Every level writes its ticket and is skipped when it is there: a run that was killed, or is asked for more rounds,
goes on where it stood. Source: Frankle & Carbin 2019, strategy 2 (iterative pruning with resetting); Renda et al. 2020
(rewinding). The methods of one training are in `lottery_train.pruner`.
"""

import shutil
import sys
from dataclasses import replace

from lottery_train.distillation import Distillation
from lottery_train.errors import ConfigError
from lottery_train.evaluate import evaluate
from lottery_train.models.build import build_model
from lottery_train.outcome import HINT, failure_note
from lottery_train.pruner import Pruner, Rounds, make_pruner
from lottery_train.rewinding import check_rewind_step
from lottery_train.start import Start, adopt_weights, continue_ticket, first_mask, first_start
from lottery_train.ticket import is_ticket, load_ticket, save_ticket
from lottery_train.trainer import Trainer
from lottery_train.vocabulary import describe_vocabulary
from runtime.files import read_json, sha256_file

_FINE_TUNING_SHARE = 0.1


def search(run):
    """Find the run's tickets as its method says; finished ones are skipped.

    Returns:
        list of ticket folders: of every level, level 0 first; a method of one training has level 0 where it needs it,
        and the level of `config.search.rounds`.
    """
    settings = run.config.search
    if not settings.is_one_training:
        return search_iteratively(run)
    if settings.rounds == 0:
        return [train_dense(run)]
    folders = [train_dense(run)] if settings.distillation else []
    return [*folders, prune_on_the_way(run)]


def search_iteratively(run):
    """Find a ticket of every level, from dense to `config.search.rounds`, each in a training of its own."""
    rounds, dense_mask = rounds_of(run)
    check_rewind_step(run)
    train_dense(run)
    for level in range(1, run.config.search.rounds + 1):
        if is_ticket(run.level_folder(level)):
            _warn_of_failure(run, run.level_folder(level))
        else:
            parent = load_ticket(run.level_folder(level - 1))
            # A level 0 taken from another run carries the mask of that run's granularity.
            before = parent.mask if level > 1 else dense_mask
            mask = rounds.make(parent.weights, before, first=level, last=level)
            train_ticket(
                run,
                run.level_folder(level),
                level=level,
                config=parent.config,
                pruner=Pruner(mask),
                start=rewound(run, parent),
                epochs=level_epochs(run),
            )
    return [run.level_folder(level) for level in range(run.config.search.rounds + 1)]


def train_dense(run):
    """Train level 0, dense or under a transferred mask, and return its folder."""
    folder = run.level_folder(0)
    model = build_model(run.dense_config(), seed=run.config.train.seed)
    train_ticket(
        run,
        folder,
        level=0,
        config=run.dense_config(),
        pruner=Pruner(first_mask(run.config, model, dense_mask=run.dense_mask(model))),
        start=first_start(run),
        epochs=run.config.train.epochs,
        keeps_rewind_point=not run.config.search.is_one_training,
    )
    return folder


def prune_on_the_way(run):
    """Find the ticket of the last level in one training as long as the dense one, and return its folder."""
    search, epochs = run.config.search, run.config.train.epochs
    folder = run.level_folder(search.rounds)
    rounds, dense_mask = rounds_of(run)
    train_ticket(
        run,
        folder,
        level=search.rounds,
        config=run.dense_config(),
        pruner=make_pruner(dense_mask, rounds=rounds, search=search, epochs=epochs),
        start=first_start(run),
        epochs=epochs,
    )
    return folder


def rounds_of(run, *, criterion=None):
    """Return the Rounds of a run, and the dense Mask that they begin with.

    Args:
        criterion: name of another one than the run's.
    """
    model = build_model(run.dense_config(), seed=run.config.train.seed)
    criterion, granularity, schedule = run.pruning(model, criterion=criterion)
    rounds = Rounds(criterion=criterion, granularity=granularity, schedule=schedule, count=run.config.search.rounds)
    return rounds, run.dense_mask(model)


def level_epochs(run):
    """Return the length of every training after the dense one."""
    return run.config.search.level_epochs or run.config.train.epochs


def rewound(run, parent):
    """Return where the level after `parent` starts, as the run's rewinding says."""
    rewind = run.config.search.rewind
    if rewind in ("init", "step"):
        return Start(rewind=run.rewind_path)
    return Start(weights=parent.weights, is_fine_tuning=rewind == "none")


def train_ticket(
    run, folder, *, level, config, pruner, start, epochs, name="ticket", seed_offset=0, keeps_rewind_point=False
):
    """Train one ticket from one start and write it; a finished ticket is left alone.

    Args:
        config: of the model.
        pruner: the mask, or how it is found while training.
        name: `ticket`, or the name of the control.
        seed_offset: added to the seed of the drawn weights (a control with other weights).
        keeps_rewind_point: whether this training writes the run's rewind point.
    """
    work = folder.with_name(f"{folder.name}.work")
    if is_ticket(folder):
        if run.process.is_first:
            # A kill between writing the ticket and clearing up leaves it behind.
            shutil.rmtree(work, ignore_errors=True)
        _warn_of_failure(run, folder)
        return
    settings = run.config.train
    if start.is_fine_tuning:
        settings = replace(settings, learning_rate=settings.learning_rate * _FINE_TUNING_SHARE, warmup_epochs=0.0)
    model = build_model(config, seed=settings.seed + seed_offset)
    mean, deviation = run.speech.train.statistics()
    model.set_normalisation(mean=mean, deviation=deviation)
    if start.weights is not None:
        model.load_state_dict(start.weights)
    if start.pretrained is not None:
        adopt = continue_ticket if run.config.data.tokens == "init" else adopt_weights
        adopt(model, start.pretrained)
    model.to(run.process.device)
    rewind_step = {"init": 0, "step": run.config.search.rewind_steps}.get(run.config.search.rewind)
    trainer = Trainer(
        model=model,
        speech=run.speech,
        config=settings,
        folder=work,
        epochs=epochs,
        pruner=pruner,
        distillation=_distillation(run, level=level),
        rewind_step=rewind_step if keeps_rewind_point else None,
        rewind_path=run.rewind_path,
        metrics=run.metrics,
        label=str(folder.relative_to(run.out)),
        process=run.process,
    )
    if start.rewind is not None:
        trainer.start_from(start.rewind)
    weights = trainer.run()
    if keeps_rewind_point and rewind_step is not None and not run.rewind_path.exists():
        raise ConfigError(f"the dense training ended before step {rewind_step}", hint="rewind to an earlier step")
    scores = _scores(run, model)
    if run.process.is_first:
        record = {
            "name": name,
            "level": level,
            "chunk_frames": settings.eval_chunk_frames,
            "seed": settings.seed,
            "corpus": run.config.data.corpus,
            "data_fingerprint": run.speech.train.fingerprint,
            "vocabulary": describe_vocabulary(run.speech.train.texts, run.speech.dev.texts),
            "granularity": run.config.search.granularity,
            "method": run.config.search.method,
            "epochs": epochs,
            "num_processes": run.process.world_size,
            **trainer.record(),
            "search": run.config.to_json()["search"],
            "train": run.config.to_json()["train"],
            "pretrained": _origin(start.pretrained),
            **_shrunk(start.pretrained, config=config),
            "metrics": {split: score.to_json() for split, score in scores.items()},
        }
        mask = trainer.mask.to("cpu")
        save_ticket(folder, config=config, weights=weights, mask=mask, tokenizer=run.speech.tokenizer, record=record)
    trainer.clear()
    _warn_of_failure(run, folder)


def _scores(run, model):
    """Return the Score of a trained model by split."""
    return {
        split: evaluate(
            model,
            getattr(run.speech, split),
            tokenizer=run.speech.tokenizer,
            encode=run.speech.encode,
            chunk=run.config.train.eval_chunk_frames,
            device=run.process.device,
        )
        for split in ("dev", "test")
    }


def _warn_of_failure(run, folder):
    """Say on stderr if a finished ticket's model learnt nothing."""
    if run.process.is_first and (note := failure_note(read_json(folder / "ticket.json"))):
        print(f"warning: {folder.relative_to(run.out)}: {note}\nhint: {HINT}", file=sys.stderr)


def _distillation(run, *, level):
    """Return the Distillation of a training after level 0, or None."""
    share = run.config.search.distillation
    if level == 0 or not share:
        return None
    teacher = load_ticket(run.level_folder(0)).build_model()
    return Distillation(teacher.to(run.process.device), share=share)


def _shrunk(ticket, *, config):
    """Return the entry of a ticket's record that tells what its widths were cut from; none where they never were."""
    was_cut = ticket is not None and ticket.config == config and "shrunk" in ticket.record
    return {"shrunk": ticket.record["shrunk"]} if was_cut else {}


def _origin(ticket):
    """Return what a ticket's record says of the ticket it started from, or None."""
    if ticket is None:
        return None
    return {"corpus": ticket.record.get("corpus"), "ticket_sha256": sha256_file(ticket.folder / "ticket.json")}
