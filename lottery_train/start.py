"""Where a training starts: from drawn weights, another ticket's, or a rewind point; and under which mask."""

import sys
from dataclasses import dataclass
from pathlib import Path

from lottery_train.errors import ConfigError
from lottery_train.models.build import dense_config
from lottery_train.models.registry import load_backbone
from lottery_train.ticket import Ticket, load_ticket


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


def first_start(run):
    """Return where the dense training starts: from drawn weights, or from another corpus's ticket."""
    source = run.config.train.init_from
    return Start(pretrained=load_ticket(source) if source else None)


def ticket_tokens(folder):
    """Return what `build_tokens` gave the run of a ticket.

    Raises:
        TicketError: the ticket cannot be read.
        ConfigError: its tokens are sentencepiece units, and the model that cuts text into them is not there.
    """
    tokenizer, path = load_ticket(folder).tokenizer, Path(folder).parent / "bpe.model"
    if path.exists():
        return tokenizer, path.read_bytes()
    if any(len(symbol) > 1 for symbol in tokenizer.symbols[1:]):
        raise ConfigError(
            f"{path}: missing, and the tokens of {folder} are sentencepiece units",
            hint="keep a ticket in its run directory, or choose other tokens (--tokens)",
        )
    return tokenizer, None


def first_config(config, *, vocab_size):
    """Return the config of level 0: what the model settings ask for, or the ticket's own where tokens=init goes on.

    A shrunk ticket has widths of its own in every block, which no setting could name.
    """
    if config.data.tokens == "init":
        return load_ticket(config.train.init_from).config
    return dense_config(config.model, vocab_size=vocab_size)


def first_mask(config, model, *, dense_mask):
    """Return the mask of level 0: everything kept, or what the ticket of `train.init_from` keeps.

    Args:
        config: RunConfig.
        model: Backbone of level 0.
        dense_mask: the all-kept Mask of the run's granularity and scope.
    Raises:
        ConfigError: the ticket's mask does not fit the run, or the run prunes on.
        TicketError: the ticket cannot be read.
    """
    if not config.train.keeps_init_mask:
        return dense_mask
    if config.search.rounds:
        raise ConfigError(
            f"train.keeps_init_mask: level 0 is sparse already, and {config.search.rounds} rounds would prune on",
            hint="add --rounds 0; to prune from the ticket's weights, leave its mask: train.keeps_init_mask=false",
        )
    return transferred_mask(load_ticket(config.train.init_from), dense_mask, token_prefixes=model.token_prefixes)


def transferred_mask(ticket, dense_mask, *, token_prefixes):
    """Return a ticket's mask for a model of other tokens; the tensors that belong to these are kept whole.

    Raises:
        ConfigError: the mask is of other tensors than this run prunes, or of tensors of another shape.
    """
    if ticket.mask.prunable != dense_mask.prunable or set(ticket.mask) != set(dense_mask):
        search = ticket.record.get("search")
        scope = search.get("scope") if isinstance(search, dict) else None
        raise ConfigError(
            f"{ticket.folder}: its mask is not of the tensors that this run prunes",
            hint="take the same backbone, depth, --granularity and --scope as the ticket: "
            f"{ticket.record.get('granularity')}, {scope}",
        )
    mask = dense_mask.clone()
    for name, keep in ticket.mask.items():
        if name.startswith(token_prefixes):
            continue
        if keep.shape != mask[name].shape:
            raise ConfigError(
                f"{ticket.folder}: its mask of {name} has shape {tuple(keep.shape)}, this model's tensor "
                f"{tuple(mask[name].shape)}",
                hint="take the model settings that the ticket was trained with (--set model.…)",
            )
        mask[name] = keep
    return mask


def continue_ticket(model, ticket):
    """Load a whole ticket, output layer and feature statistics included, into the model of its `first_config`."""
    model.load_state_dict(ticket.weights)
    print(f"all tensors start from {ticket.folder}", file=sys.stderr)


def adopt_weights(model, ticket):
    """Copy a ticket's parameters into a model where names and shapes agree; what belongs to the tokens stays as it is.

    A CTC ticket gives a transducer its encoder: a small transducer that starts from drawn weights emits nothing but
    blanks for dozens of epochs (Rao, Sak, Prabhavalkar 2017: pre-training with CTC).

    Raises:
        ConfigError: nothing agrees.
    """
    theirs = load_backbone(ticket.config.backbone).encoder_prefix

    def name_there(name):
        is_encoder = name.startswith(model.encoder_prefix)
        return theirs + name.removeprefix(model.encoder_prefix) if is_encoder else name

    adopted = {
        name: ticket.weights.get(name_there(name))
        for name, _ in model.named_parameters()
        if not name.startswith(model.token_prefixes)
    }
    shapes = {name: value.shape for name, value in model.named_parameters()}
    fitting = {name: value for name, value in adopted.items() if value is not None and value.shape == shapes[name]}
    if not fitting:
        raise ConfigError(f"{ticket.folder}: no tensor has the name and shape of one of this model's")
    model.load_state_dict(fitting, strict=False)
    print(f"{len(fitting)} of {len(shapes)} tensors start from {ticket.folder}", file=sys.stderr)
