"""A ticket on disk: `ticket.json`, `mask.safetensors`, `weights.safetensors`; a level of a run is a ticket.

`ticket.json` carries the model's config, its tokens, densities, the three sizes, error rates, and the SHA-256 of its
siblings. Nothing in it depends on when or how fast it was trained: equal trainings give equal bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from lottery_train.checkpoint import read_safetensors
from lottery_train.errors import ConfigError, TicketError
from lottery_train.models.build import make_model
from lottery_train.models.registry import config_from_json, config_to_json
from lottery_train.pruning import Mask
from lottery_train.ticket_record import FILES, SCHEMA_VERSION, read_record
from runtime.files import atomic_directory, sha256_file, write_atomic, write_json
from runtime.foreign import short
from runtime.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A trained sparse (or dense) model with everything that says what it is.

    Args:
        folder: where it lies.
        record: content of ticket.json.
        config: of the backbone that the record names; dense widths.
        weights: name -> float32 tensor, masked.
        mask: Mask; empty for a dense model.
        tokenizer: Tokenizer.
    """

    folder: Path
    record: dict
    config: Any
    weights: dict[str, torch.Tensor]
    mask: Mask
    tokenizer: Tokenizer

    @property
    def level(self):
        """Pruning rounds done."""
        return self.record["level"]

    @property
    def chunk_frames(self):
        """Chunk length (40 ms frames) the ticket was evaluated at."""
        return self.record["chunk_frames"]

    @property
    def vocabulary(self):
        """What describe_vocabulary said of the training; empty for tickets that do not tell."""
        found = self.record.get("vocabulary")
        return found if isinstance(found, dict) and isinstance(found.get("words", []), list) else {}

    def build_model(self):
        """Return the masked model, ready for evaluation."""
        model = make_model(self.config)
        model.load_state_dict(self.weights)
        return model.eval()


def level_place(level):
    """Return where the ticket of a level stands in its run directory."""
    return f"level_{level:02d}"


def control_place(name, *, level):
    """Return where a control beside a level stands in its run directory."""
    return f"controls/{name}_{level:02d}"


def is_ticket(folder):
    """Tell whether a finished ticket lies in a folder."""
    return (Path(folder) / "ticket.json").exists()


def save_ticket(folder, *, config, weights, mask, tokenizer, record):
    """Write a ticket, whole or not at all.

    Args:
        record: further fields of ticket.json: level, name, chunk_frames, metrics, seed, data_fingerprint, search.
    """
    with atomic_directory(folder) as partial:
        mask.save(partial / "mask.safetensors")
        write_atomic(
            partial / "weights.safetensors", save({name: value.contiguous() for name, value in weights.items()})
        )
        parameters = dict(make_model(config).named_parameters())
        num_weights = sum(parameter.numel() for parameter in parameters.values())
        files = {
            name: {"sha256": sha256_file(partial / name), "bytes": (partial / name).stat().st_size} for name in FILES
        }
        write_json(
            partial / "ticket.json",
            {
                "schema_version": SCHEMA_VERSION,
                **record,
                "density": mask.density,
                "layer_density": mask.density_by_layer(),
                "sizes": {
                    "prunable_density": mask.density,
                    "num_weights": num_weights,
                    "num_nonzeros": sum(int(weights[name].count_nonzero()) for name in parameters),
                    "bytes": sum(entry["bytes"] for entry in files.values()),
                },
                "model": config_to_json(config),
                "tokens": list(tokenizer.symbols),
                "files": files,
            },
        )


def load_ticket(folder):
    """Read a ticket and check it against its own record.

    Raises:
        TicketError: missing, damaged, altered (SHA-256), or of another schema version; names the file.
    """
    folder = Path(folder)
    path, record = folder / "ticket.json", read_record(folder)
    _check_files(folder, record["files"])
    try:
        config = config_from_json(record["model"])
        tokenizer = Tokenizer(tuple(record["tokens"]))
    except (ValueError, ConfigError) as error:
        raise TicketError(f"{path}: not a ticket: {short(error)}", hint="train the level again") from error
    weights, _ = read_safetensors(folder / "weights.safetensors")
    _check_weights(folder / "weights.safetensors", weights, config)
    if len(tokenizer) != config.vocab_size:
        raise TicketError(f"{path}: {len(tokenizer)} tokens, the model has {config.vocab_size} outputs")
    return Ticket(
        folder=folder,
        record=record,
        config=config,
        weights=weights,
        mask=Mask.load(folder / "mask.safetensors"),
        tokenizer=tokenizer,
    )


def _check_files(folder, files):
    for name in FILES:
        path, entry = folder / name, files[name]
        if not path.is_file():
            raise TicketError(f"{path}: missing", hint="restore the file, or train the level again")
        if path.stat().st_size != entry["bytes"] or sha256_file(path) != entry["sha256"]:
            raise TicketError(
                f"{path}: not the file that ticket.json describes (size or SHA-256 differs)",
                hint="restore the file, or train the level again",
            )


def _check_weights(path, weights, config):
    with torch.device("meta"):
        expected = _forms(make_model(config).state_dict())
    found = _forms(weights)
    if found != expected:
        name = next(iter(sorted(set(found.items()) ^ set(expected.items()), key=str)))[0]
        raise TicketError(
            f"{path}: tensor {short(name)} is {short(found.get(name))}, the model expects {short(expected.get(name))}",
            hint="restore the file, or train the level again",
        )


def _forms(tensors):
    """Return name -> (shape, dtype as text)."""
    return {name: (tuple(value.shape), str(value.dtype)) for name, value in tensors.items()}
