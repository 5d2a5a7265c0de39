"""How every command line of the project ends: results on stdout, `error:` and `hint:` on stderr."""

import contextlib
import errno
import os
import sys

from runtime.errors import LotteryError
from runtime.files import os_error_hint

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def print_error(error):
    """Print a LotteryError as its message and its next step, on stderr."""
    # Where stderr is as full as stdout, the exit status is all that can be told.
    with contextlib.suppress(OSError):
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
    _settle(sys.stderr)


def run_command(main, argv=None):
    """Run `main(argv)` and turn its outcome into an exit status.

    Args:
        main: callable taking a list of arguments and returning an int or None.
        argv: arguments without the program name; `sys.argv[1:]` when None. `--debug` anywhere shows tracebacks.
    Returns:
        0, main's own status, 2 for an error the user can act on, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    is_debug = "--debug" in argv
    status = 0
    try:
        try:
            status = main([argument for argument in argv if argument != "--debug"]) or 0
        except LotteryError as error:
            if is_debug:
                raise
            print_error(error)
            status = EXIT_USER_ERROR
        except SystemExit:
            # argparse, after --help: what it printed is flushed like any other result.
            sys.stdout.flush()
            raise
        # Here, where a full disk behind `> file` still gets a message; Python's own flush at exit has none.
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): not an error.
        _settle(sys.stdout)
        return status
    except (OSError, MemoryError) as error:
        _settle(sys.stdout)
        if is_debug:
            raise
        print_error(_explain(error))
        return EXIT_USER_ERROR


def _explain(error):
    """Return an OSError or MemoryError that nobody met earlier as a LotteryError."""
    if isinstance(error, MemoryError):
        return LotteryError("not enough memory", hint="close other programs, or give this one less to do at once")
    reason = error.strerror or str(error) or type(error).__name__
    # A stream such as stdout has no name to tell.
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    where = f"{error.filename}: " if error.filename else "cannot write: " if is_full else ""
    return LotteryError(f"{where}{reason}", hint=os_error_hint(error) or "--debug shows where it happened")


def _settle(stream):
    """Flush a standard stream; where that fails, point it at nothing: Python's flush at exit would fail, too."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
