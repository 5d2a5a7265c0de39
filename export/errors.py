"""What can go wrong between a ticket and a bundle."""

from runtime.errors import LotteryError


class ExportError(LotteryError):
    """A ticket cannot be shrunk, converted or written, or a converted model does not compute what the ticket does."""
