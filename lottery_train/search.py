"""The search for tickets: train, score, mask, rewind, and again.

Every level writes its ticket and is skipped when it is there: a run that was killed, or is asked for more rounds,
goes on
where it stood. Source: Frankle & Carbin 2019, strategy 2 (iterative pruning with resetting); Renda et al. 2020
(rewinding).
"""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from lottery_train.errors import ConfigError
from lottery_train.evaluate import evaluate
from lottery_train.models.build import build_model
from lottery_train.pruning import prune
from lottery_train.ticket import Ticket, is_ticket, load_ticket, save_ticket
from lottery_train.trainer import Trainer
from runtime.files import sha256_file

_FINE_TUNING_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a training starts.

    Args:
        rewind: checkpoint with optimiser state and position, or None.
        weights: name -> tensor taken alone, or None; without either the model keeps its drawn weights.
        pretrained: Ticket of another corpus, whose tensors replace the drawn ones where names and shapes agree.
        is_fine_tuning: learn at a tenth of the peak rate, without warm-up.
    """

    rewind: Path | None = None
    weights: dict | None = None
    pretrained: Ticket | None = None
    is_fine_tuning: bool = False


def search(run):
    """Find a ticket of every level, from dense to `config.search.rounds`; finished levels are skipped.

    Returns:
        list of ticket folders, level 0 first.
    """
    model = build_model(run.dense_config(), seed=run.config.train.seed)
    dense_mask = run.dense_mask(model)
    criterion, granularity, schedule = run.pruning(model)
    train_ticket(
        run,
        run.level_folder(0),
        level=0,
        config=run.dense_config(),
        mask=dense_mask,
        start=first_start(run),
        epochs=run.config.train.epochs,
        keeps_rewind_point=True,
    )
    for level in range(1, run.config.search.rounds + 1):
        if not is_ticket(run.level_folder(level)):
            parent = load_ticket(run.level_folder(level - 1))
            # A level 0 taken from another run carries the mask of that run's granularity.
            mask = prune(
                parent.weights,
                parent.mask if level > 1 else dense_mask,
                criterion=criterion,
                granularity=granularity,
                schedule=schedule,
                level=level,
            )
            train_ticket(
                run,
                run.level_folder(level),
                level=level,
                config=parent.config,
                mask=mask,
                start=rewound(run, parent),
                epochs=level_epochs(run),
            )
    return [run.level_folder(level) for level in range(run.config.search.rounds + 1)]


def first_start(run):
    """Return where the dense training starts: from drawn weights, or from another corpus's ticket."""
    source = run.config.train.init_from
    return Start(pretrained=load_ticket(source) if source else None)


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
    run, folder, *, level, config, mask, start, epochs, name="ticket", seed_offset=0, keeps_rewind_point=False
):
    """Train one mask from one start and write its ticket; a finished ticket is left alone.

    Args:
        config: of the model.
        name: `ticket`, or the name of the control.
        seed_offset: added to the seed of the drawn weights (a control with other weights).
        keeps_rewind_point: whether this training writes the run's rewind point.
    """
    work = folder.with_name(f"{folder.name}.work")
    if is_ticket(folder):
        if run.process.is_first:
            # A kill between writing the ticket and clearing up leaves it behind.
            shutil.rmtree(work, ignore_errors=True)
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
        adopt_weights(model, start.pretrained)
    model.to(run.process.device)
    rewind_step = {"init": 0, "step": run.config.search.rewind_steps}.get(run.config.search.rewind)
    trainer = Trainer(
        model=model,
        speech=run.speech,
        config=settings,
        folder=work,
        epochs=epochs,
        mask=mask,
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
    scores = {
        split: evaluate(
            model,
            getattr(run.speech, split),
            tokenizer=run.speech.tokenizer,
            encode=run.speech.encode,
            chunk=settings.eval_chunk_frames,
            device=run.process.device,
        )
        for split in ("dev", "test")
    }
    if run.process.is_first:
        record = {
            "name": name,
            "level": level,
            "chunk_frames": settings.eval_chunk_frames,
            "seed": settings.seed,
            "corpus": run.config.data.corpus,
            "data_fingerprint": run.speech.train.fingerprint,
            "granularity": run.config.search.granularity,
            "epochs": epochs,
            "search": run.config.to_json()["search"],
            "train": run.config.to_json()["train"],
            "pretrained": _origin(start.pretrained),
            "metrics": {split: score.to_json() for split, score in scores.items()},
        }
        save_ticket(folder, config=config, weights=weights, mask=mask, tokenizer=run.speech.tokenizer, record=record)
    trainer.clear()


def _origin(ticket):
    """Return what a ticket's record says of the ticket it started from, or None."""
    if ticket is None:
        return None
    return {"corpus": ticket.record["corpus"], "ticket_sha256": sha256_file(ticket.folder / "ticket.json")}


def adopt_weights(model, ticket):
    """Copy a ticket's parameters into a model where names and shapes agree; what belongs to the tokens stays as it is.

    Raises:
        ConfigError: nothing agrees.
    """
    adopted = {
        name: ticket.weights.get(name)
        for name, _ in model.named_parameters()
        if not name.startswith(model.token_prefixes)
    }
    shapes = {name: value.shape for name, value in model.named_parameters()}
    fitting = {name: value for name, value in adopted.items() if value is not None and value.shape == shapes[name]}
    if not fitting:
        raise ConfigError(f"{ticket.folder}: no tensor has the name and shape of one of this model's")
    model.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(shapes)} tensors start from {ticket.folder}", file=sys.stderr)
