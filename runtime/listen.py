"""lottery-listen: a microphone to live text."""

import argparse
import contextlib
import signal
import sys
import threading

from runtime.command import run_command
from runtime.console import MIN_BEHIND_S, Console, JsonLines
from runtime.endpoint import Endpointer, EndpointRules
from runtime.microphone import Microphone, ReplaySource, list_devices
from runtime.options import (
    add_decoding_options,
    add_model_options,
    check_decoding_options,
    create_parser,
    open_recognizer,
    positive_seconds,
)

_EXAMPLES = """\
  lottery-listen bundles/an4                            the default microphone; Ctrl-C ends
  lottery-listen --list-devices
  lottery-listen bundles/an4 --device 3                 or a part of the name: --device usb
  lottery-listen bundles/an4 --replay clip.wav          a file in the place of the microphone
  lottery-listen bundles/an4 --jsonl | my-assistant     partial and final results for a program
  lottery-listen bundles/an4 --words "yes,no,stop"      nothing but these commands
"""


def main(argv=None):
    """Run lottery-listen; return the exit status."""
    return run_command(_main, argv)


def _main(argv):
    arguments = _parse(argv)
    if arguments.list_devices:
        print("\n".join(list_devices()))
        return 0
    rules = EndpointRules(
        idle_silence_s=arguments.idle_silence,
        silence_s=arguments.endpoint_silence,
        max_segment_s=arguments.max_segment,
    )
    recognizer = open_recognizer(arguments)
    if arguments.replay:
        source = ReplaySource(arguments.replay, speed=arguments.speed)
    else:
        source = Microphone(arguments.device)
    display = (JsonLines if arguments.jsonl else Console)(out=sys.stdout, status=sys.stderr)
    listen(source, recognizer=recognizer, rules=rules, display=display)
    return 0


def listen(source, *, recognizer, rules, display):
    """Recognise a source until it ends, or until Ctrl-C or SIGTERM; the last words are finalised either way.

    Args:
        source: a Source that has not begun.
        recognizer: a Recognizer.
        rules: EndpointRules that end a line.
        display: Console or JsonLines.
    Raises:
        LotteryError: the source failed; what was heard before is displayed first.
    """
    stream = recognizer.stream(sample_rate_hz=source.sample_rate_hz)
    endpointer = Endpointer(stream, rules=rules)
    result = stream.result()
    most_behind_s = 0.0
    with source, _stop_on_signal(source):
        display.note(f"listening to {source.name} at {source.sample_rate_hz} Hz, Ctrl-C ends")
        try:
            for block in source.blocks():
                if stream.accept(block):
                    segment = endpointer.poll()
                    if segment is not None:
                        display.final(segment)
                    result = stream.result()
                most_behind_s = max(most_behind_s, source.behind_s)
                display.level(block)
                display.behind(source.behind_s)
                display.lost(num_overflows=source.num_overflows, dropped_s=source.dropped_s)
                display.partial(result)
        finally:
            display.final(stream.finish())
            if most_behind_s > MIN_BEHIND_S:
                display.note(f"recognition was up to {most_behind_s:.1f} s behind what was being said")
            if source.num_overflows or source.dropped_s:
                display.note(
                    f"audio was lost: {source.num_overflows} overflows of the audio system, "
                    f"{source.dropped_s:.1f} s dropped because this machine did not keep up"
                )


@contextlib.contextmanager
def _stop_on_signal(source):
    """Make the first Ctrl-C or SIGTERM end the source, so that it cannot tear a step apart; a second one interrupts."""
    previous = {}

    def restore():
        while previous:
            signal.signal(*previous.popitem())

    def stop(number, frame):
        source.stop()
        restore()

    # Python lets only the main thread set handlers.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _parse(argv):
    parser = create_parser(
        "lottery-listen",
        description="Recognise speech live. Finished lines go to stdout; the line being spoken updates in place on the "
        "terminal, with a level meter and a note when recognition falls behind or audio is lost. Any microphone rate "
        "works.",
        examples=_EXAMPLES,
    )
    parser.add_argument("bundle", metavar="BUNDLE", nargs="?", help="directory that lottery-export wrote")
    parser.add_argument("--list-devices", action="store_true", help="show the microphones and end")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a result on stdout, for programs")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--device", metavar="N|NAME", help="microphone: number, or part of its name")
    source.add_argument("--replay", metavar="FILE", help="play a sound file in the place of the microphone")
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="X",
        help="with --replay: times real time (default: 1); 0 is as fast as it can be recognised",
    )
    endpoint = parser.add_argument_group("end of a line")
    defaults = EndpointRules()
    for option, default, text in (
        ("--endpoint-silence", defaults.silence_s, "silence after speech that ends a line"),
        ("--idle-silence", defaults.idle_silence_s, "silence that ends a line without words"),
        ("--max-segment", defaults.max_segment_s, "longest line"),
    ):
        endpoint.add_argument(
            option, type=positive_seconds, default=default, metavar="S", help=f"{text}, seconds (default: %(default)s)"
        )
    add_decoding_options(parser)
    add_model_options(parser)
    arguments = parser.parse_args(argv)
    check_decoding_options(arguments, parser=parser)
    if arguments.bundle is None and not arguments.list_devices:
        parser.error("BUNDLE is missing")
    if arguments.speed is not None and arguments.replay is None:
        parser.error("--speed needs --replay")
    if arguments.speed is None:
        arguments.speed = 1.0
    return arguments


def _speed(text):
    speed = float(text)
    if not 0 <= speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a speed of 0 or more")
    return speed


if __name__ == "__main__":
    sys.exit(main())
