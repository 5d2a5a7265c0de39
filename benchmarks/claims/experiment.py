"""One experiment: a lottery-train command as data, the tickets it makes, and what has to be there before it starts."""

import functools
import os
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.results import CHECKOUT
from lottery_train.arguments import build_parser, settings_from
from lottery_train.config import RunConfig
from lottery_train.corpora import find_corpus
from lottery_train.errors import CorpusError
from lottery_train.ticket import control_place, is_ticket, level_place
from runtime.errors import LotteryError
from runtime.files import read_json


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A command of the suite.

    Args:
        name: what people call it.
        claims: which claims need it, such as ("C1", "C3").
        arguments: of lottery-train, but for paths and seed.
        folder: name of its run directory; controls share that of their search.
        dense_from: experiment whose level 0 is reused, or None.
        init_from: folder/ticket that the dense training starts from, such as "conformer/level_00", or None.
        is_noisy: trains with the noise pack.
        controls: levels to set controls beside; empty for a search.
        control_names: which.
    """

    name: str
    claims: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: str = ""
    dense_from: str | None = None
    init_from: str | None = None
    is_noisy: bool = False
    controls: tuple[int, ...] = ()
    control_names: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "folder", self.folder or self.name)

    @property
    def control_tickets(self):
        """Place of each of its controls in the run directory -> (name, level)."""
        return {
            control_place(name, level=level): (name, level) for level in self.controls for name in self.control_names
        }

    def makes(self, place):
        """Tell whether it makes what stands at folder/ticket; levels are a search's, controls those that set them."""
        folder, _, ticket = place.partition("/")
        if folder != self.folder:
            return False
        return ticket in self.control_tickets if self.controls else ticket.startswith("level_")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the experiments lie, and what they have in common.

    Args:
        runs: folder of run directories.
        data_dir: folder of packs.
        seeds: every experiment is done once with each.
        adopted: experiment -> run directory elsewhere whose level 0 it reuses.
    """

    runs: Path
    data_dir: Path
    seeds: tuple[int, ...] = (0,)
    adopted: dict[str, Path] = field(default_factory=dict)

    def folder(self, name, *, seed):
        """Return the run directory of an experiment's folder name."""
        return self.runs / (f"{name}_seed{seed}" if seed else name)

    def settings(self, experiment, *, seed):
        """Return the RunConfig that lottery-train makes of an experiment's command."""
        return _settings(tuple(self._settings_arguments(experiment, seed=seed)))

    def _settings_arguments(self, experiment, *, seed):
        arguments = list(experiment.arguments)
        found = _found_config(self.folder(experiment.folder, seed=seed))
        if experiment.is_noisy:
            path = self.data_dir / "noise" / "train.jsonl"
            arguments += ["--noise", _as_spelled(path, found=found and found.data.noise)]
        if experiment.init_from:
            path = self._start(experiment, seed=seed)
            arguments += ["--set", f"train.init_from={_as_spelled(path, found=found and found.train.init_from)}"]
        return [*arguments, "--seed", str(seed)] if seed else arguments

    def command(self, experiment, *, seed):
        """Return the whole command as a list of text."""
        folder = self.folder(experiment.folder, seed=seed)
        command = [sys.executable, "-m", "lottery_train.cli", *self._settings_arguments(experiment, seed=seed)]
        command += ["--data-dir", _spelled(self.data_dir), "--out", _spelled(folder), "--threads", "1"]
        dense_from = self._dense_from(experiment, seed=seed)
        if dense_from is not None:
            command += ["--dense-from", _spelled(dense_from)]
        if experiment.controls:
            command += ["--controls", ",".join(map(str, experiment.controls))]
            command += ["--control-names", ",".join(experiment.control_names)]
        return command

    def _dense_from(self, experiment, *, seed):
        if experiment.folder in self.adopted and not seed:
            return self.adopted[experiment.folder]
        return self.folder(experiment.dense_from, seed=seed) if experiment.dense_from else None

    def _start(self, experiment, *, seed):
        folder, _, ticket = experiment.init_from.partition("/")
        return self.folder(folder, seed=seed) / ticket

    def tickets(self, experiment, *, seed):
        """Return ticket folder -> epochs of its training, for every ticket that the experiment makes."""
        config, folder = self.settings(experiment, seed=seed), self.folder(experiment.folder, seed=seed)
        if not experiment.controls:
            is_reused = self._dense_from(experiment, seed=seed) is not None
            return {
                folder / level_place(level): 0 if is_reused and not level else epochs
                for level, epochs in level_epochs(config).items()
            }
        return {
            folder / place: _control_epochs(name, level=level, config=config)
            for place, (name, level) in experiment.control_tickets.items()
        }

    def requirements(self, experiment, *, seed):
        """Return the ticket folders that have to be there before the experiment starts."""
        needed = []
        dense_from = self._dense_from(experiment, seed=seed)
        if dense_from is not None:
            needed.append(dense_from / "level_00")
        if experiment.init_from:
            needed.append(self._start(experiment, seed=seed))
        if experiment.controls:
            folder = self.folder(experiment.folder, seed=seed)
            needed += [folder / level_place(near) for level in experiment.controls for near in (level - 1, level)]
            last = max(level_epochs(self.settings(experiment, seed=seed)))
            needed.append(folder / level_place(last))
        return list(dict.fromkeys(needed))

    def has_other_settings(self, experiment, *, seed):
        """Tell whether a run with other settings, or unreadable ones, lies in its folder; rounds may differ."""
        folder = self.folder(experiment.folder, seed=seed)
        if not (folder / "config.json").exists():
            return False
        found = _found_config(folder)
        return found is None or _comparable(found) != _comparable(self.settings(experiment, seed=seed))

    def is_finished(self, experiment, *, seed):
        """Tell whether every ticket of the experiment is there and was made with its settings."""
        if self.has_other_settings(experiment, seed=seed):
            return False
        return all(is_ticket(path) for path in self.tickets(experiment, seed=seed))

    def audio_s(self, experiment, *, seed):
        """Return the seconds of audio in one epoch."""
        data = self.settings(experiment, seed=seed).data
        pace = sum(1 / speed for speed in data.speeds) / len(data.speeds)
        return pace * _train_s(data.corpus, self.data_dir)


def level_epochs(config):
    """Return level -> epochs of every ticket that a search with these settings writes."""
    search, dense = config.search, config.train.epochs
    if search.is_one_training:
        return ({0: dense} if search.distillation else {}) | {search.rounds: dense}
    return {0: dense} | dict.fromkeys(range(1, search.rounds + 1), search.level_epochs or dense)


def _control_epochs(name, *, level, config):
    """Return how long a control of `lottery_train.controls` trains."""
    levels = level_epochs(config)
    if name in ("random-ticket", "dense-small"):
        return config.train.epochs
    if name == "dense-longer" or (name == "random-pruning" and config.search.rewind not in ("init", "step")):
        return level * levels[level]
    return levels[level]


@functools.cache
def _settings(arguments):
    return settings_from(build_parser().parse_args(list(arguments)))


@functools.cache
def _train_s(corpus, data_dir):
    try:
        path = find_corpus(corpus, data_dir=data_dir).splits["train"]
    except CorpusError:  # its experiments will say so; the others can still be forecast
        return 0.0
    return sum(float(text) for text in re.findall(r'"duration": *([0-9.]+)', Path(path).read_text()))


def _found_config(folder):
    path = folder / "config.json"
    if not path.exists():
        return None
    try:
        return RunConfig.from_json(read_json(path))
    except LotteryError:  # damaged, or written by another version: nobody knows what its tickets are
        return None


def _comparable(config):
    """Return a config without what may differ in one run: the number of rounds, and how paths are spelled."""
    data = replace(config.data, noise=config.data.noise and str(_resolved(config.data.noise)))
    train = replace(config.train, init_from=config.train.init_from and str(_resolved(config.train.init_from)))
    return replace(config, data=data, train=train, search=replace(config.search, rounds=0))


def _resolved(path):
    return (CHECKOUT / path).resolve()


def _spelled(path):
    """Return a path relative to the checkout, where every command runs: the same on every machine."""
    return os.path.relpath(_resolved(path), CHECKOUT)


def _as_spelled(path, *, found):
    """Return a path as the run there spells it, since a run's settings must not change."""
    return found if found and _resolved(found) == _resolved(path) else _spelled(path)
