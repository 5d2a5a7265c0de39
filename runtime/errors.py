"""The errors a user can meet: every one says what happened, where, and what to do next."""

import importlib

from runtime.foreign import escape


class LotteryError(Exception):
    """An error the user can act on.

    Control characters of message and hint are escaped, whoever wrote them; line breaks stay.

    Args:
        message: operation, value, expected; names the file (and line) at fault.
        hint: the next step, as a sentence or a command line.
    """

    def __init__(self, message, *, hint=None):
        super().__init__(_escape_lines(message))
        self.hint = hint if hint is None else _escape_lines(hint)


def _escape_lines(text):
    return "\n".join(escape(line) for line in str(text).split("\n"))


class AudioError(LotteryError):
    """A sound file cannot be read, or holds nothing to recognise."""


class BundleError(LotteryError):
    """A bundle is missing, damaged, altered, or of another schema version."""


class DeviceError(LotteryError):
    """A microphone or the PortAudio library is missing or refuses the asked format."""


class MissingExtraError(LotteryError):
    """A command needs packages that a plain install leaves out."""


def require_extra(module, *, extra):
    """Import `module`, or say which extra brings it.

    Args:
        module: dotted import name.
        extra: name of the optional dependency group in pyproject.toml.
    Returns:
        The imported module.
    Raises:
        MissingExtraError: the module, or one it needs, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this command needs the Python package {error.name!r}, which is not installed",
            hint=f'pip install "lottery-asr[{extra}]"',
        ) from error
