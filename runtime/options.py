"""Options that every command working on a bundle shares."""

import argparse
import textwrap

from runtime.session import BACKENDS, PRECISIONS


def create_parser(program, *, description, examples):
    """Return an ArgumentParser whose --help ends with examples."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=textwrap.fill(description, 100),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    return parser


def add_model_options(parser):
    """Add how the model is run: --precision, --threads, --backend."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="int8 is smaller and faster, fp32 is the reference; auto takes what the backend has, int8 where it has "
        "both (default)",
    )
    group.add_argument(
        "--threads",
        type=positive_int,
        default=1,
        metavar="N",
        help="threads of onnxruntime for one chunk; models this small are seldom faster on more (default: %(default)s)",
    )
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="auto takes the ticket engine where the bundle has a model.ticket and the engine was built, else "
        "onnxruntime (default)",
    )


def open_recognizer(arguments):
    """Return the Recognizer that the parsed `bundle` and model options describe."""
    from runtime.recognizer import Recognizer  # soxr and the backends: not for --help

    return Recognizer(
        arguments.bundle,
        precision=arguments.precision,
        backend=arguments.backend,
        num_threads=arguments.threads,
    )


def positive_int(text):
    """Parse an integer of 1 or more, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positive_seconds(text):
    """Parse a number of seconds above 0, for argparse."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return seconds
