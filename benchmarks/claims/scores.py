"""Rows of results: what finished tickets say, seeds pooled, always compared over the same seeds and utterances.

A seed counts once it finished the whole search: nobody waits for the others, half a search gives no number.
"""

from dataclasses import dataclass, replace

from lottery_train.cost import trained_epochs, training_costs
from lottery_train.errors import TicketError
from lottery_train.evaluate import Score, paired_difference, pool_scores
from lottery_train.ticket import control_place, is_ticket, level_place
from runtime.files import read_json

# Controls that need another ticket of the run, for its weights or for the mask that is found in them: its level.
_PARENTS = {
    "random-pruning": lambda level: 0,
    "dense-longer": lambda level: 0,
    "no-rewinding": lambda level: level - 1,
    "random-ticket": lambda level: level - 1,
}
# Non-zeros that differ by less are equal.
EQUAL_SHARE = 0.05
_AGAIN = "train the older one again with the data that is there now"


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A ticket or a control, once for every seed.

    Args:
        path: of the ticket below the suite's runs, such as "conformer/controls/dense-small_05".
        name: `ticket`, or that of the control.
        level: of the ticket, or of the ticket that the control stands beside.
        density: kept share of the prunable weights, mean over seeds.
        num_nonzeros: of the whole model, mean over seeds.
        epochs: of this training alone.
        cost: all trainings it needed, in multiples of the dense one; None where a record is missing.
        dev, test: seed -> Score.
    """

    path: str
    name: str
    level: int
    density: float
    num_nonzeros: int
    epochs: float
    cost: float | None
    dev: dict[int, Score]
    test: dict[int, Score]

    @property
    def label(self):
        """Experiment and ticket, such as "conformer/level_05"."""
        return self.path.replace("/controls/", "/")

    @property
    def seeds(self):
        """Seeds that finished."""
        return sorted(self.test)

    @property
    def dev_wer(self):
        """WER on dev, which choices are made on."""
        return pool_scores(list(self.dev.values())).wer

    @property
    def wer(self):
        """WER on test."""
        return pool_scores(list(self.test.values())).wer

    def common_seeds(self, other):
        """Return the seeds that finished both rows: what compares them."""
        return sorted(self.test.keys() & other.test.keys())

    def over(self, seeds):
        """Return the Row tested with some of its seeds alone; what is a mean over all of them stays."""
        return replace(self, test={seed: self.test[seed] for seed in seeds})

    def minus(self, other, *, split="test"):
        """Return {"minus", "interval", "seeds"}: WER of this minus other's, paired, over the seeds of both; or None.

        Raises:
            TicketError: the two were not tested on the same utterances, so that nothing can be paired.
        """
        mine, others = getattr(self, split), getattr(other, split)
        seeds = self.common_seeds(other)
        if not seeds:
            return None
        if len({tuple(scores[seed].word_counts) for scores in (mine, others) for seed in seeds}) > 1:
            raise TicketError(
                f"{self.label} and {other.label} were tested on other utterances ({split}): they cannot be compared",
                hint=_AGAIN,
            )
        pooled = [pool_scores([scores[seed] for seed in seeds]) for scores in (others, mine)]
        difference, low, high = paired_difference(*pooled)
        return {"minus": difference, "interval": [low, high], "seeds": seeds}

    def to_json(self, *, dense=None, **others):
        """Return the row of a result file, with what it is minus dense and minus each of `others`."""
        pooled = pool_scores(list(self.test.values()))
        row = {
            "ticket": self.label,
            "name": self.name,
            "level": self.level,
            "density": self.density,
            "num_nonzeros": self.num_nonzeros,
            "wer": pooled.wer,
            "interval": list(pooled.wer_interval),
            "dev_wer": self.dev_wer,
            "epochs": self.epochs,
            "cost": self.cost,
            "seeds": self.seeds,
            "wer_by_seed": {str(seed): score.wer for seed, score in sorted(self.test.items())},
        }
        for name, other in ({"dense": dense} | others).items():
            found = other and self.minus(other)
            row[f"minus_{name}"] = found and found["minus"]
            row[f"minus_{name}_interval"] = found and found["interval"]
            row[f"minus_{name}_seeds"] = found and found["seeds"]
        return row


def of_equal_size(row, others, *, share=EQUAL_SHARE):
    """Return the Row among others with as many non-zeros as a row, to a share of them, the nearest; or None."""
    fitting = [other for other in others if abs(other.num_nonzeros / row.num_nonzeros - 1) <= share]
    return min(fitting, key=lambda other: abs(other.num_nonzeros - row.num_nonzeros), default=None)


class Reader:
    """Rows of the experiments of a bench; what is not finished, or was made with other settings, is not there.

    Args:
        bench: Bench.
        experiments: name -> Experiment.
    """

    def __init__(self, bench, experiments):
        self.bench, self.experiments = bench, experiments

    def missing(self, names):
        """Return name -> why, for every experiment among `names` that no seed has finished."""
        return {name: self._why(self.experiments[name]) for name in names if not self.seeds(name)}

    def _why(self, experiment):
        seed = self.bench.seeds[0]
        if self.bench.has_other_settings(experiment, seed=seed):
            return "its folder holds a run with other settings"
        tickets = self.bench.tickets(experiment, seed=seed)
        return f"{sum(map(is_ticket, tickets))} of {len(tickets)} trainings finished"

    def seeds(self, name):
        """Return the seeds that finished an experiment."""
        experiment = self.experiments[name]
        return [seed for seed in self.bench.seeds if self.bench.is_finished(experiment, seed=seed)]

    def over_shared_seeds(self, names):
        """Return a Reader of the seeds that finished every experiment among `names`; what no seed finished aside.

        Seeds differ as methods do: a curve of three beside one of the first would show both. Where the experiments
        share no seed it is this Reader.
        """
        finished = [seeds for seeds in map(self.seeds, names) if seeds]
        shared = tuple(seed for seed in self.bench.seeds if all(seed in seeds for seeds in finished))
        return Reader(replace(self.bench, seeds=shared), self.experiments) if shared else self

    def counted_in(self, row, name):
        """Return a Row whose cost is in whole trainings of another experiment; its own may be longer or shorter."""
        if row is None or row.cost is None:
            return row
        folder = row.path.partition("/")[0]
        own, other = (
            self.bench.settings(self.experiments[each], seed=self.bench.seeds[0]).train.epochs
            for each in (folder, name)
        )
        return replace(row, cost=row.cost * own / other)

    def level(self, name, level):
        """Return the Row of a level of an experiment, or None."""
        return self._row(self.experiments[name], level_place(level), seeds=self.seeds(name))

    def last(self, name):
        """Return the Row of the sparsest level of an experiment, or None."""
        rows = self.levels(name)
        return rows[-1] if rows else None

    def levels(self, name):
        """Return the Rows of an experiment, level 0 first; none where no seed finished it."""
        experiment, seeds = self.experiments[name], self.seeds(name)
        tickets = sorted(self.bench.tickets(experiment, seed=seeds[0])) if seeds else []
        return [self._row(experiment, path.name, seeds=seeds) for path in tickets]

    def controls(self, folder):
        """Return the Rows of the controls in a run directory, of experiments of the suite, as far as they finished.

        A control counts by itself, once the search that it stands beside has finished.
        """
        paths = [
            path.name
            for experiment in self.experiments.values()
            if experiment.folder == folder and experiment.controls
            for path in self.bench.tickets(experiment, seed=self.bench.seeds[0])
        ]
        rows = [
            self._row(self.experiments[folder], f"controls/{name}", seeds=self.seeds(folder))
            for name in dict.fromkeys(paths)
        ]
        return [row for row in rows if row is not None]

    def control_places(self, folder):
        """Return (control, level) of what the suite sets beside a search, in its order."""
        beside = (each.control_tickets.values() for each in self.experiments.values() if each.folder == folder)
        return list(dict.fromkeys(place for places in beside for place in places))

    def control(self, folder, name, *, level):
        """Return the Row of one control, or None."""
        return self._row(self.experiments[folder], control_place(name, level=level), seeds=self.seeds(folder))

    def _row(self, experiment, ticket, *, seeds):
        """Return the Row of a ticket below a run directory, over those of the seeds that finished it, or None."""
        records = {}
        for seed in seeds:
            path = self.bench.folder(experiment.folder, seed=seed) / ticket
            if is_ticket(path) and not self.bench.has_other_settings(experiment, seed=seed):
                records[seed] = _read_record(path / "ticket.json")
        if not records:
            return None
        first = next(iter(records.values()))
        for split in ("dev", "test"):
            if len({tuple(record["metrics"][split].word_counts) for record in records.values()}) > 1:
                raise TicketError(
                    f"{experiment.folder}/{ticket}: its seeds were tested on other utterances ({split})", hint=_AGAIN
                )
        costs = [self._cost(experiment, record, seed=seed) for seed, record in records.items()]
        return Row(
            path=f"{experiment.folder}/{ticket}",
            name=first["name"],
            level=first["level"],
            density=_mean(record["density"] for record in records.values()),
            num_nonzeros=round(_mean(record["sizes"]["num_nonzeros"] for record in records.values())),
            epochs=_mean(trained_epochs(record) for record in records.values()),
            cost=None if None in costs else _mean(costs),
            dev={seed: record["metrics"]["dev"] for seed, record in records.items()},
            test={seed: record["metrics"]["test"] for seed, record in records.items()},
        )

    def _cost(self, experiment, record, *, seed):
        """Return all the training that one ticket needed, in multiples of the run's dense training."""
        folder = self.bench.folder(experiment.folder, seed=seed)
        costs = training_costs([_read_record(path) for path in sorted(folder.glob("level_*/ticket.json"))])
        if record["name"] == "ticket":
            return costs.get(record["level"])
        own = trained_epochs(record) / self.bench.settings(experiment, seed=seed).train.epochs
        if record["name"] not in _PARENTS:
            return own
        parent = costs.get(_PARENTS[record["name"]](record["level"]))
        return None if parent is None else own + parent


def _read_record(path):
    """Return the content of a ticket.json, its scores as Score.

    Raises:
        TicketError: it does not say what the suite has to know; names the file.
    """
    record = read_json(path)
    try:
        scores = {split: Score(**record["metrics"][split]) for split in ("dev", "test")}
        sizes = {len(score.word_errors) - len(score.word_counts) for score in scores.values()}
        numbers = [record["level"], record["density"], record["sizes"]["num_nonzeros"], trained_epochs(record)]
        is_whole = sizes == {0} and all(isinstance(number, int | float) for number in numbers)
        if not is_whole or record["sizes"]["num_nonzeros"] < 1 or not isinstance(record["search"], dict):
            raise ValueError("a number is missing or impossible")
        return record | {"name": str(record["name"]), "metrics": scores}
    except (KeyError, TypeError, ValueError) as error:
        raise TicketError(f"{path}: not a ticket of the suite: {error!r}", hint="train the level again") from error


def _mean(values):
    values = list(values)
    return sum(values) / len(values)
