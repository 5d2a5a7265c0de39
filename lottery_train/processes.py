"""Whether a run goes on with as many processes as it began with: each of them adds a batch to every step."""

import json
from pathlib import Path

from lottery_train.errors import ConfigError
from runtime.errors import LotteryError
from runtime.files import read_json

_HINT = "start it with as many processes as before"


def check_processes(out, *, places, num_processes, dense_from=None):
    """Find out, before a corpus is read, whether a run was begun with another number of processes.

    Args:
        out: run directory; may be missing.
        places: where the tickets that are asked for stand in it; nothing is wrong where all are finished.
        num_processes: that this run is started with.
        dense_from: another run whose rewind point is taken, or None.
    Returns:
        list of notes: what finished levels were trained with, where those to come can do without.
    Raises:
        ConfigError: a training in progress, or the rewind point, is of another number of processes.
    """
    out = Path(out)
    if all((out / place / "ticket.json").is_file() for place in places):
        return []
    begun = [path for folder in (out, out / "controls") for path in folder.glob("*.work/checkpoint.safetensors")]
    points = [folder / "rewind.safetensors" for folder in (out, dense_from) if folder is not None]
    for path in (*sorted(begun), *points):
        found = _of_checkpoint(path)
        if found not in (None, num_processes):
            raise ConfigError(f"{path}: {_difference(found, num_processes)}", hint=_HINT)
    for place in places:
        found = _of_ticket(out / place / "ticket.json")
        if found not in (None, num_processes):
            return [f"{out / place}: {_difference(found, num_processes)}; {_HINT} to train all levels alike"]
    return []


def _difference(found, now):
    return f"begun with {found} process{'es' * (found != 1)}, now there {'is' if now == 1 else 'are'} {now}"


def _of_checkpoint(path):
    """Return the number of processes that a checkpoint tells of; None where there is none, or none that can be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return json.loads((file.metadata() or {})["state"])["world_size"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None  # whoever needs it will say what is wrong with it


def _of_ticket(path):
    try:
        return read_json(path).get("num_processes")
    except (LotteryError, AttributeError):
        return None
