"""A run directory: its settings, its data, and where its levels lie."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lottery_train.config import RunConfig
from lottery_train.distributed import Process
from lottery_train.errors import ConfigError, TicketError
from lottery_train.metrics import Metrics
from lottery_train.pruning import make_criterion, make_granularity, make_schedule, prunable_names
from lottery_train.speech import Speech, prepare_speech
from lottery_train.start import first_config
from lottery_train.ticket import is_ticket, level_place, load_ticket
from runtime.files import atomic_directory, read_json, write_atomic, write_json


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory and everything that its levels share.

    Args:
        config: RunConfig.
        out: run directory.
        speech: Speech.
        metrics: Metrics.
        process: Process.
    """

    config: RunConfig
    out: Path
    speech: Speech
    metrics: Metrics
    process: Process

    @property
    def rewind_path(self):
        """The rewind point that every level starts from."""
        return self.out / "rewind.safetensors"

    def level_folder(self, level):
        """Where a level's ticket lies."""
        return self.out / level_place(level)

    def dense_config(self):
        """Return the config of level 0."""
        return first_config(self.config, vocab_size=len(self.speech.tokenizer))

    def pruning(self, model, *, criterion=None):
        """Return (criterion, granularity, schedule) of this run for a model."""
        search = self.config.search
        return (
            make_criterion(criterion or search.criterion, seed=self.config.train.seed),
            make_granularity(search.granularity, groups=model.unit_groups(), **search.unit_options()),
            make_schedule(search.schedule, rate=search.rate, decay=search.decay),
        )

    def dense_mask(self, model):
        """Return the mask that keeps all prunable weights of a model."""
        _, granularity, _ = self.pruning(model)
        names = prunable_names(model, scope=self.config.search.scope)
        return granularity.dense_mask(dict(model.named_parameters()), names=names)


def settle_config(out, *, config, process):
    """Write a run's settings, or check that the run there was made with the same ones (more rounds are fine).

    Raises:
        ConfigError: the directory holds a run with other settings.
    """
    path = Path(out) / "config.json"
    if path.exists():
        found = RunConfig.from_json(read_json(path))
        if not _same_dense(found, config) or replace(found.search, rounds=0) != replace(config.search, rounds=0):
            raise ConfigError(
                f"{path}: this run was made with other settings",
                hint="choose another --out, or start over with --no-resume",
            )
    process.barrier()
    if process.is_first:
        write_json(path, config.to_json())


def open_run(out, *, config, data_dir=None, process):
    """Make or reopen a run: settings first, then tokens and features.

    Raises:
        ConfigError: the directory holds a run with other settings, or of other data.
        CorpusError: no such corpus, or nothing in it can be used.
    """
    settle_config(out, config=config, process=process)
    prepare = {"out": out, "seed": config.train.seed, "data_dir": data_dir, "init_from": config.train.init_from}
    # The first process downloads and computes; the others then find everything in place.
    speech = prepare_speech(config.data, is_first=True, **prepare) if process.is_first else None
    process.barrier()
    speech = speech or prepare_speech(config.data, is_first=False, **prepare)
    run = Run(
        config=config, out=Path(out), speech=speech, process=process, metrics=Metrics(out, is_writer=process.is_first)
    )
    # Any will do: they are all of the same data, and a method of one training may have no level 0.
    finished = next((path.parent for path in sorted(run.out.glob("level_*/ticket.json"))), None)
    if finished is not None:
        _require_same_data(run, load_ticket(finished))
    return run


def _require_same_data(run, ticket):
    """Refuse a ticket of other recordings or other tokens than the run's."""
    if ticket.tokenizer != run.speech.tokenizer:
        raise ConfigError(f"{ticket.folder}: its tokens are not those of {run.out}", hint="train level 0 here")
    if ticket.record["data_fingerprint"] != run.speech.train.fingerprint:
        raise ConfigError(
            f"{ticket.folder}: was trained on other data than the corpus is now (fingerprints differ)",
            hint="choose another --out for the new data",
        )


def _same_dense(first, second):
    """Tell whether two RunConfigs train the same level 0."""
    return (first.data, first.model, first.train) == (second.data, second.model, second.train)


def reuse_dense(run, source):
    """Take level 0 and the rewind point of another run with the same data, model and training.

    Raises:
        TicketError: the other run has no finished level 0, or was made with other settings.
    """
    source = Path(source)
    if not is_ticket(source / "level_00"):
        raise TicketError(f"{source}: has no finished level 0", hint="name a run that has one, or train it here")
    _require_same_data(run, load_ticket(source / "level_00"))
    found = RunConfig.from_json(read_json(source / "config.json"))
    if not _same_dense(found, run.config):
        raise TicketError(f"{source}: its dense model was trained with other settings", hint="train level 0 here")
    rewinds = [(search.rewind, search.rewind_steps) for search in (found.search, run.config.search)]
    needs_point = run.config.search.rewind in ("init", "step") and not run.config.search.is_one_training
    if needs_point and rewinds[0] != rewinds[1]:
        raise TicketError(f"{source}: its rewind point is another one", hint="train level 0 here")
    if needs_point and found.search.is_one_training:
        raise TicketError(
            f"{source}: method {found.search.method} keeps no rewind point",
            hint="train level 0 here, or choose a --rewind that needs none: learning-rate, none",
        )
    if run.process.is_first and not is_ticket(run.level_folder(0)):
        if needs_point:
            write_atomic(run.rewind_path, (source / "rewind.safetensors").read_bytes())
        with atomic_directory(run.level_folder(0)) as partial:
            for path in (source / "level_00").iterdir():
                shutil.copy(path, partial)
    run.process.barrier()
