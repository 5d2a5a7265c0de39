"""Live text in your own program: the public Python API in one page. Copy it, and put your code where the prints are.

    python -m demo.live                            the default microphone (pip install "lottery-asr[mic]")
    python -m demo.live BUNDLE --replay clip.wav   a sound file, at real-time pace, in the place of the microphone

Ctrl-C ends it. `lottery-listen` is the same with a level meter, devices to choose from, and JSON.
"""

import argparse
import signal
import sys

from runtime import Endpointer, EndpointRules, LotteryError, Microphone, Recognizer, ReplaySource


def live_text(source, *, recognizer, rules):
    """Yield what is being said, as it is said.

    Args:
        source: a Microphone or ReplaySource that has not begun.
        recognizer: a Recognizer; one serves any number of streams.
        rules: EndpointRules, the silences that end a line.
    Yields:
        Result: `text` and `words` of the line so far, again after every change; `is_final` once the line has ended.
    """
    # A stream takes any sample rate and blocks of any length; it holds the state of one conversation.
    stream = recognizer.stream(sample_rate_hz=source.sample_rate_hz)
    endpointer = Endpointer(stream, rules=rules)
    text, num_gaps = "", 0
    # Recording begins here and ends with the block, whatever happens inside. Audio waits in a bounded queue meanwhile:
    # source.behind_s tells how much, source.dropped_s what was lost because it was full.
    with source:
        for samples in source.blocks():
            if source.is_lost or source.num_gaps > num_gaps:
                # The device vanished: the line ends, and what follows once it is back is another stream.
                last, num_gaps, text = stream.finish(), source.num_gaps, ""
                if last.text:
                    yield last
                stream = recognizer.stream(sample_rate_hz=source.sample_rate_hz)
                endpointer = Endpointer(stream, rules=rules)
            # accept() returns how many chunks it decoded: most blocks only wait for their chunk to fill.
            if stream.accept(samples) == 0:
                continue
            segment = endpointer.poll()
            if segment is not None and segment.text:
                yield segment
            result = stream.result()
            if result.text and result.text != text:
                yield result
            text = result.text
    # The end of the audio: decode what is left, so that the last word is not lost.
    last = stream.finish()
    if last.text:
        yield last


def main(argv=None):
    """Print live text: the line being spoken on stderr, in place, and finished lines on stdout."""
    parser = argparse.ArgumentParser(prog="python -m demo.live", description="Print what is being said, live.")
    parser.add_argument("bundle", nargs="?", help="directory (default: the recogniser that comes along)")
    parser.add_argument("--replay", metavar="FILE", help="play a sound file in the place of the microphone")
    arguments = parser.parse_args(argv)
    try:
        recognizer = Recognizer(arguments.bundle, precision="auto")
        source = ReplaySource(arguments.replay) if arguments.replay else Microphone()
        # Ctrl-C ends the recording, not the program: what was said last is still decoded.
        signal.signal(signal.SIGINT, lambda number, frame: source.stop())
        for result in live_text(source, recognizer=recognizer, rules=EndpointRules(silence_s=0.8)):
            # "\x1b[K" erases what the longer line before has left.
            print(f"\r{'' if result.is_final else result.text}\x1b[K", end="", file=sys.stderr, flush=True)
            if result.is_final:
                print(result.text, flush=True)
    except LotteryError as error:
        print(f"error: {error}\nhint: {error.hint}" if error.hint else f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
