"""Average the weights of tickets of one shape: fine-tuned with what it was tuned from, better than either (WiSE-FT).

    python -m benchmarks.average_tickets runs/robust/level_00=0.85 runs/shipped/shrunk=0.15 --out runs/robust/mean

The record is the first ticket's, without its error rates, which are not the mean's. Source: Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models".
"""

import sys
from pathlib import Path

from lottery_train.errors import ConfigError
from lottery_train.ticket import load_ticket, save_ticket
from runtime.command import run_command
from runtime.options import create_parser

_OWN = {"schema_version", "density", "layer_density", "sizes", "model", "tokens", "files", "metrics"}


def average_tickets(parts, out):
    """Write the ticket whose weights are a weighted mean.

    Args:
        parts: (ticket folder, share) pairs; the shares add up to 1.
        out: directory to write.
    Raises:
        ConfigError: the shares do not add up to 1, or the tickets differ in shape, mask or tokens.
        TicketError: a ticket cannot be read.
    """
    if abs(sum(share for _, share in parts) - 1) > 1e-6:
        raise ConfigError(f"the shares add up to {sum(share for _, share in parts):g}, expected 1")
    tickets = [(load_ticket(folder), share) for folder, share in parts]
    first = tickets[0][0]
    for ticket, _ in tickets[1:]:
        if (ticket.config, ticket.mask, ticket.tokenizer) != (first.config, first.mask, first.tokenizer):
            raise ConfigError(f"{ticket.folder}: of another shape, mask or tokens than {first.folder}")
    weights = {
        name: sum(share * ticket.weights[name] for ticket, share in tickets) if value.is_floating_point() else value
        for name, value in first.weights.items()
    }
    record = {name: value for name, value in first.record.items() if name not in _OWN}
    save_ticket(out, config=first.config, weights=weights, mask=first.mask, tokenizer=first.tokenizer, record=record)


def _part(text):
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise ConfigError(f"{text!r}: expected TICKET=SHARE, such as runs/a/level_00=0.85") from None


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.average_tickets",
        description="Average the weights of tickets of one shape.",
        examples="  python -m benchmarks.average_tickets runs/a/level_00=0.85 runs/b/level_00=0.15 --out runs/a/mean",
    )
    parser.add_argument("parts", nargs="+", metavar="TICKET=SHARE", help="tickets and their shares, which add up to 1")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="ticket directory to write")
    arguments = parser.parse_args(argv)
    average_tickets([_part(text) for text in arguments.parts], arguments.out)
    print(arguments.out)


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
