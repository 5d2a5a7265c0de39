"""Runs as lottery-train would leave them, with error counts that a test can add up in its head."""

import json

from benchmarks.claims.registry import Scale
from lottery_train.evaluate import Score
from lottery_train.ticket import is_ticket

WORDS = (4, 4, 4, 4, 4)
# Errors: in no utterance, and one in each.
NONE = (0, 0, 0, 0, 0)
ONE = (1, 1, 1, 1, 1)
# Two rounds on the smallest model: the settings are real, nothing is trained.
SMALL = Scale(
    rounds=2,
    smaller=("--epochs", "10", "--level-epochs", "5"),
    models=(("an4-unstructured", ("num_blocks=1", "model_width=16", "ff=24", "heads=2", "head_width=8", "conv=16")),),
)


def score(errors):
    """Return a Score of five utterances of four words each, with these errors."""
    wer = sum(errors) / sum(WORDS)
    return Score(
        wer=wer,
        wer_interval=(wer, wer),
        cer=wer,
        loss=0.0,
        num_utterances=len(WORDS),
        num_words=sum(WORDS),
        word_errors=tuple(errors),
        word_counts=WORDS,
    )


def write_ticket(bench, experiment, ticket, *, test, dev=None, density=1.0, num_nonzeros=100, seed=0, epochs=None):
    """Write the record of one ticket, and the settings of its run.

    Args:
        ticket: its place in the run directory, such as "level_01" or "controls/dense-small_02".
        test, dev: errors of the five utterances.
    """
    folder = bench.folder(experiment.folder, seed=seed)
    config = bench.settings(experiment, seed=seed)
    (folder / ticket).mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    level = int(ticket[-2:])
    name = "ticket" if ticket.startswith("level") else ticket.removeprefix("controls/")[:-3]
    record = {
        "name": name,
        "level": level,
        "density": density,
        "seed": seed,
        "epochs": epochs or (config.search.level_epochs if level and name == "ticket" else config.train.epochs),
        "sizes": {"num_nonzeros": num_nonzeros},
        "method": config.search.method,
        "search": config.to_json()["search"],
        "train": config.to_json()["train"],
        "metrics": {"test": score(test).to_json(), "dev": score(dev or test).to_json()},
    }
    (folder / ticket / "ticket.json").write_text(json.dumps(record))
    assert is_ticket(folder / ticket)
