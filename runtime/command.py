"""How every command line of the project ends: results on stdout, `error:` and `hint:` on stderr."""

import errno
import sys

from runtime.errors import LotteryError
from runtime.files import os_error_hint
from runtime.streams import settle, standard_streams

EXIT_BUG = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

_MAX_REASON_CHARACTERS = 200
_SHOW_PLACE = "--debug shows where it happened"


def print_error(error):
    """Print a LotteryError as its message and its next step, on stderr."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def run_command(main, argv=None):
    """Run `main(argv)` and turn its outcome into an exit status.

    Args:
        main: callable taking a list of arguments and returning an int or None.
        argv: arguments without the program name; `sys.argv[1:]` when None. `--debug` before any `--` shows tracebacks,
            and what libraries print.
    Returns:
        0, main's own status, 1 for a bug of the program, 2 for an error the user can act on, 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    num_options = argv.index("--") if "--" in argv else len(argv)
    is_debug = "--debug" in argv[:num_options]
    argv[:num_options] = [argument for argument in argv[:num_options] if argument != "--debug"]
    with standard_streams(hides_libraries=not is_debug):
        try:
            return _run(main, argv)
        except KeyboardInterrupt:
            settle(sys.stdout)
            print("interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        except Exception as error:
            settle(sys.stdout)
            if is_debug:
                raise
            print_error(_explain(error))
            return EXIT_USER_ERROR if isinstance(error, (LotteryError, OSError, MemoryError)) else EXIT_BUG


def _run(main, argv):
    """Return the exit status of main, once its results are written; 0 where nobody reads them any more."""
    status = 0
    try:
        try:
            status = main(argv) or 0
        except SystemExit:
            # argparse, after --help: what it printed is flushed like any other result.
            sys.stdout.flush()
            raise
        # Here, where a full disk behind `> file` still gets a message; Python's own flush at exit has none.
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): not an error.
        settle(sys.stdout)
    return status


def _explain(error):
    """Return an exception that nobody met earlier as a LotteryError."""
    if isinstance(error, LotteryError):
        return error
    if isinstance(error, MemoryError):
        return LotteryError("not enough memory", hint="close other programs, or give this one less to do at once")
    if not isinstance(error, OSError):
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return LotteryError(
            f"this is a bug: {what[:_MAX_REASON_CHARACTERS]}",
            hint="--debug shows where it happened; please report that together with the command line",
        )
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename:
        return LotteryError(f"{error.filename}: {reason}", hint=os_error_hint(error) or _SHOW_PLACE)
    # A stream such as stdout has no name to tell.
    if error.errno == errno.EBADF and sys.__stdout__ is None:
        return LotteryError("cannot write: stdout is closed", hint="leave out >&-, or send results to /dev/null")
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return LotteryError(f"{'cannot write: ' if is_full else ''}{reason}", hint=os_error_hint(error) or _SHOW_PLACE)
