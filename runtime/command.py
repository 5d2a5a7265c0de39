"""How every command line of the project ends: results on stdout, `error:` and `hint:` on stderr."""

import os
import sys

from runtime.errors import LotteryError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def print_error(error):
    """Print a LotteryError as its message and its next step, on stderr."""
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


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
    try:
        return main([argument for argument in argv if argument != "--debug"]) or 0
    except LotteryError as error:
        if is_debug:
            raise
        print_error(error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): not an error; point stdout at nothing so that exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
