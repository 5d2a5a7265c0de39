"""lottery-listen: a microphone to live text."""

import argparse
import contextlib
import signal
import sys
import threading

from runtime.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from runtime.command import EXIT_USER_ERROR, run_command
from runtime.console import Console
from runtime.conversation import Conversation
from runtime.doctor import Verdict, examine, report
from runtime.endpoint import EndpointRules
from runtime.events import JsonLines
from runtime.gate import GATES, MARGIN_DB, THRESHOLD, EnergyGate, SileroGate
from runtime.microphone import RECONNECT_S, Microphone, ReplaySource, list_devices
from runtime.options import (
    add_decoding_options,
    add_model_options,
    check_decoding_options,
    create_parser,
    open_recognizer,
    positive_seconds,
)
from runtime.recording import Recording
from runtime.source import BLOCK_S

_GATE_HANG_S = 0.5
# Waking up is most of what an idle microphone costs; see also Source.rest.
GATE_BLOCK_S = 0.1
_EXAMPLES = """\
  lottery-listen                                        letters, digits, commands; Ctrl-C ends
  lottery-listen bundles/an4                            another recogniser
  lottery-listen --list-devices
  lottery-listen --doctor                               is the microphone good enough, and the machine fast enough?
  lottery-listen bundles/an4 --device 3                 or a part of the name: --device usb
  lottery-listen bundles/an4 --replay clip.wav          a file in the place of the microphone
  lottery-listen bundles/an4 --jsonl | my-assistant     events for a program
  lottery-listen bundles/an4 --gate --save talks        rests while nobody speaks; keeps audio and text
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
    if arguments.doctor:
        return _examine(arguments)
    rules = EndpointRules(
        idle_silence_s=arguments.idle_silence,
        silence_s=arguments.endpoint_silence,
        max_segment_s=arguments.max_segment,
    )
    recognizer = open_recognizer(arguments)
    if arguments.replay:
        source = ReplaySource(arguments.replay, speed=arguments.speed)
    else:
        source = Microphone(
            arguments.device,
            sample_rate_hz=arguments.rate,
            reconnect_s=arguments.reconnect,
            block_s=GATE_BLOCK_S if arguments.gate else BLOCK_S,
        )
    if arguments.jsonl:
        display = JsonLines(out=sys.stdout, status=sys.stderr)
    else:
        display = Console(out=sys.stdout, status=sys.stderr, has_timestamps=arguments.timestamps)
    gate = _gate(arguments, rules=rules)
    recording = Recording(arguments.save, say=display.note) if arguments.save else contextlib.nullcontext()
    with recording as kept:
        listen(source, recognizer=recognizer, rules=rules, display=display, gate=gate, recording=kept)
    return EXIT_USER_ERROR if kept is not None and kept.has_lost else 0


def _gate(arguments, *, rules):
    """Return the Gate that the options describe, or None."""
    # The rule for the end of a line comes first; a gate that closed before it would be another rule.
    hang_s = rules.silence_s + _GATE_HANG_S
    if arguments.gate == "silero":
        threshold = THRESHOLD if arguments.gate_threshold is None else arguments.gate_threshold
        return SileroGate(threshold=threshold, hang_s=hang_s)
    if arguments.gate == "energy":
        margin_db = MARGIN_DB if arguments.gate_margin is None else arguments.gate_margin
        return EnergyGate(margin_db=margin_db, hang_s=hang_s)
    return None


def _examine(arguments):
    """Print what the doctor finds; return 2 where something does not work."""
    recognizer = open_recognizer(arguments)
    checks = examine(
        arguments.device,
        sample_rate_hz=arguments.rate,
        recognizer=recognizer,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(report(checks))
    return EXIT_USER_ERROR if any(check.verdict is Verdict.BAD for check in checks) else 0


def listen(source, *, recognizer, rules, display, gate=None, recording=None):
    """Recognise a source until it ends, or until Ctrl-C or SIGTERM; the last words are finalised either way.

    Args:
        source: a Source that has not begun.
        recognizer: a Recognizer.
        rules: EndpointRules that end a line.
        display: Console or JsonLines.
        gate: Gate that lets the recogniser rest while nobody speaks, or None.
        recording: Recording that keeps audio and text, or None.
    Raises:
        LotteryError: the source failed; what was heard before is displayed first.
    """
    with source, _stop_on_signal(source):
        conversation = Conversation(
            source, recognizer=recognizer, rules=rules, display=display, gate=gate, recording=recording
        )
        display.start(source)
        try:
            for block in source.blocks():
                conversation.hear(block)
        finally:
            display.end(conversation.finish())


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
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        nargs="?",
        help="directory that lottery-export wrote (default: the recogniser that comes along)",
    )
    parser.add_argument("--list-devices", action="store_true", help="show the microphones and end")
    parser.add_argument(
        "--doctor",
        action="store_true",
        help="check the microphone (rate, level, clipping, lost audio) and the speed; name the fixes",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--jsonl", action="store_true", help="one JSON object an event on stdout, for programs")
    form.add_argument("--timestamps", action="store_true", help="one line a word: start_s, end_s, confidence, word")
    parser.add_argument(
        "--save", metavar="DIR", help="keep the audio (FLAC) and the lines, as a manifest that lottery-train reads"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--device", metavar="N|NAME", help="microphone: number, or part of its name")
    source.add_argument(
        "--replay", metavar="FILE", help="play a sound file in the place of the microphone; - is standard input"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="X",
        help="with --replay: times real time (default: 1); 0 is as fast as it can be recognised",
    )
    parser.add_argument(
        "--rate", type=_rate, metavar="HZ", help="record at this rate (default: what the microphone prefers)"
    )
    parser.add_argument(
        "--reconnect",
        type=_number,
        default=RECONNECT_S,
        metavar="S",
        help="wait so long for a microphone that vanished (default: %(default)s)",
    )
    parser.add_argument(
        "--gate",
        nargs="?",
        type=_gate_name,
        const="energy",
        metavar="energy|silero",
        help="let the recogniser rest while nobody speaks: energy takes for speech what is louder than the room, at "
        "almost no processor time (default); silero asks a neural network, which noise does not fool",
    )
    parser.add_argument(
        "--gate-margin",
        type=_number,
        metavar="DB",
        help=f"with --gate energy: so much louder than the room may be speech (default: {MARGIN_DB})",
    )
    parser.add_argument(
        "--gate-threshold",
        type=_probability,
        metavar="P",
        help=f"with --gate silero: probability from which it may be speech (default: {THRESHOLD})",
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
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        is_file = not unknown[0].startswith("-")
        hint = "; a sound file is given as --replay FILE" if is_file else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    check_decoding_options(arguments, parser=parser)
    if arguments.speed is not None and arguments.replay is None:
        parser.error("--speed needs --replay")
    if arguments.doctor and arguments.replay is not None:
        parser.error("--doctor examines a microphone, not a file")
    if arguments.rate is not None and arguments.replay is not None:
        parser.error("--rate is for a microphone: a file has its own")
    if arguments.gate_margin is not None and arguments.gate != "energy":
        parser.error("--gate-margin needs --gate energy")
    if arguments.gate_threshold is not None and arguments.gate != "silero":
        parser.error("--gate-threshold needs --gate silero")
    if arguments.speed is None:
        arguments.speed = 1.0
    return arguments


def _speed(text):
    return _not_negative(text, "a speed")


def _number(text):
    return _not_negative(text, "a number")


def _not_negative(text, what):
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not {what} of 0 or more")
    return number


def _probability(text):
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability above 0 and below 1")
    return number


def _gate_name(text):
    if text not in GATES:
        # `--gate BUNDLE` takes the directory for the kind of gate.
        raise argparse.ArgumentTypeError(f"{text} is no gate: write BUNDLE before --gate, or one of {', '.join(GATES)}")
    return text


def _rate(text):
    rate = int(text)
    if not MIN_SAMPLE_RATE_HZ <= rate <= MAX_SAMPLE_RATE_HZ:
        raise argparse.ArgumentTypeError(f"{text} is not from {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz")
    return rate


if __name__ == "__main__":
    sys.exit(main())
