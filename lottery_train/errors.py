"""What can go wrong between a corpus and a ticket; every error names the file and the next step."""

from runtime.errors import LotteryError


class CorpusError(LotteryError):
    """A corpus, a manifest line or a recording cannot be found or used."""


class TicketError(LotteryError):
    """A ticket directory is missing, damaged, altered, or of another schema version."""


class ConfigError(LotteryError):
    """A configuration is inconsistent, or asks for something that cannot be reached."""
