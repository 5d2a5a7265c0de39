"""A shrunk ticket: what a ticket keeps, as a small model that training can go on with."""

from pathlib import Path

from export.errors import ExportError
from export.shrink import removable_units, shrink
from lottery_train.models.build import count_weights
from lottery_train.models.registry import require_backbone
from lottery_train.pruning import Mask, prunable_names
from lottery_train.ticket import is_ticket, save_ticket
from runtime.files import sha256_file

_INHERITED = (
    "name", "chunk_frames", "seed", "corpus", "data_fingerprint", "granularity", "method", "epochs", "search",
    "vocabulary",
)  # fmt: skip


def write_shrunk_ticket(ticket, out):
    """Write a ticket without the units that its mask drops, for `lottery-train --tokens init`: faster than masked.

    Args:
        ticket: lottery_train.ticket.Ticket of a Conformer with masked units.
        out: directory to write; in the ticket's run directory the run's sentencepiece model is found beside it.
    Raises:
        ConfigError: the ticket is of another backbone.
        ExportError: nothing to shrink, or `out` holds a ticket already.
        LotteryError: `out` cannot be written.
    """
    require_backbone(ticket.config, "conformer", purpose="lottery-export --as-ticket")
    if is_ticket(out):
        raise ExportError(f"{out}: a ticket is there already", hint="choose another --out")
    masked = ticket.build_model()
    ticket.mask.apply_(masked)
    model = shrink(masked, removable_units(masked, mask=ticket.mask))
    record = {name: ticket.record[name] for name in _INHERITED if name in ticket.record}
    record |= {"level": 0, "metrics": ticket.record.get("metrics", {}), "shrunk": shrunk_from(ticket)}
    parameters = dict(model.named_parameters())
    save_ticket(
        Path(out),
        config=model.config,
        weights=model.state_dict(),
        mask=Mask.dense(parameters, names=prunable_names(model, scope="pointwise")),
        tokenizer=ticket.tokenizer,
        record=record,
    )


def shrunk_from(ticket):
    """Return what the record of a shrunk ticket, and of tickets trained from it, says of the ticket it was cut from."""
    return {
        "level": ticket.level,
        "density": ticket.mask.density,
        "dense_weights": count_weights(ticket.config),
        "ticket_sha256": sha256_file(ticket.folder / "ticket.json"),
    }
