"""lottery-transcribe: sound files to text."""

import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from runtime.audio import STDIN, read_blocks
from runtime.command import EXIT_USER_ERROR, print_error, run_command
from runtime.endpoint import Endpointer, EndpointRules
from runtime.errors import AudioError, LotteryError
from runtime.events import file_json, result_json, word_json
from runtime.files import finish_interrupted
from runtime.options import (
    add_decoding_options,
    add_model_options,
    check_decoding_options,
    create_parser,
    open_recognizer,
    parse_intermixed,
)

# Words are printed and forgotten at least this often, so that a file of any length takes constant memory.
_SEGMENT_S = 30.0
_PROGRESS_DELAY_S = 2.0
# Shorter than a chunk, so that a pause is seen at the chunk that completes it, whatever the blocks of the file.
_PIECE_S = 0.1
_EXAMPLES = """\
  lottery-transcribe clip.wav                               letters, digits, commands: no bundle needed
  lottery-transcribe bundles/an4 clip.wav
  arecord -f S16_LE -r 16000 -d 5 | lottery-transcribe -    what another program writes
  lottery-transcribe bundles/an4 *.flac > texts.tsv         one line a file: name, tab, text
  lottery-transcribe bundles/an4 talk.mp3 --timestamps      one line a word: start, end, confidence, word
  lottery-transcribe bundles/an4 clip.wav --json | jq .text
  lottery-transcribe bundles/an4 clip.wav --hotword "rubout" --hotword "erase:1.5"
  lottery-transcribe bundles/an4 clip.wav --words "yes,no,go,stop" --one-of
  lottery-transcribe clip.wav --min-confidence 0            whatever was heard, meant or not
"""


def main(argv=None):
    """Run lottery-transcribe; return the exit status."""
    return run_command(_main, argv)


def _main(argv):
    arguments = _parse(argv)
    if arguments.bundle is None and arguments.files[0] != STDIN and not Path(arguments.files[0]).exists():
        # A misspelled bundle must not hand the files behind it to another recogniser.
        raise LotteryError(
            f"{arguments.files[0]}: no such bundle or sound file",
            hint="a directory that lottery-export wrote, or none, and then the files",
        )
    recognizer = open_recognizer(arguments)
    write = _Json if arguments.json else _Timestamps if arguments.timestamps else _Text
    is_failed = False
    for path in arguments.files:
        try:
            writer = write(path, has_name=len(arguments.files) > 1)
            _transcribe(path, recognizer=recognizer, writer=writer, is_one_line=arguments.one_of)
        except AudioError as error:
            is_failed = True
            print_error(error)
    return EXIT_USER_ERROR if is_failed else 0


def _parse(argv):
    parser = create_parser(
        "lottery-transcribe",
        description="Transcribe sound files: any length, rate, sample format and number of channels that libsndfile "
        "reads, and with the extra `audio` what FFmpeg reads of MP4, WebM, AAC, WMA and AMR. Text goes to stdout. A "
        "file that cannot be read is reported, the others are still transcribed, and the exit status is 2; a first "
        "path that is not there ends it, since it may be a bundle.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "paths",
        metavar="[BUNDLE] FILE",
        nargs="+",
        help="sound files, or - for standard input; a directory in front of them is the bundle (default: the "
        "recogniser that comes along)",
    )
    parser.usage = "%(prog)s [options] [BUNDLE] FILE [FILE ...]"
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--timestamps", action="store_true", help="one line a word: start_s, end_s, confidence, word")
    form.add_argument("--json", action="store_true", help="one JSON object a file: text, words with times, confidence")
    add_decoding_options(parser)
    add_model_options(parser)
    # Intermixed: options may stand between the bundle and the files.
    arguments = parse_intermixed(parser, argv, name="paths")
    check_decoding_options(arguments, parser=parser)
    first, *others = arguments.paths
    if not Path(first).exists():
        finish_interrupted(first)
    has_bundle = Path(first).is_dir()
    arguments.bundle, arguments.files = (first, others) if has_bundle else (None, arguments.paths)
    if not arguments.files:
        parser.error("FILE is needed after the bundle")
    return arguments


def _transcribe(path, *, recognizer, writer, is_one_line):
    blocks = read_blocks(path)
    stream = recognizer.stream(sample_rate_hz=blocks.sample_rate_hz)
    end_utterance = None if is_one_line else _cutter(stream, is_judged=recognizer.min_confidence > 0)
    try:
        # A bar for a person who waits, nothing in a log file.
        with tqdm(
            total=blocks.duration_s and round(blocks.duration_s, 1),
            desc=str(path),
            unit="s",
            delay=_PROGRESS_DELAY_S,
            disable=not sys.stderr.isatty(),
            leave=False,
        ) as progress:
            for block in blocks:
                for piece in np.array_split(block, max(1, round(len(block) / blocks.sample_rate_hz / _PIECE_S))):
                    stream.accept(piece)
                    if end_utterance is not None and (result := end_utterance()) is not None:
                        writer.add(result)
                progress.update(len(block) / blocks.sample_rate_hz)
        writer.add(stream.finish())
    except AudioError:
        # What was heard before the damage is still worth having.
        writer.add(stream.finish())
        raise
    finally:
        writer.finish(stream.duration_s)


def _cutter(stream, *, is_judged):
    """Return a function that ends the stream's segment where it is time: a Result, or None.

    Args:
        is_judged: results can be rejected, and each utterance deserves its own verdict: pauses end it.
    """
    if is_judged:
        return Endpointer(stream, rules=EndpointRules(max_segment_s=_SEGMENT_S)).poll

    def end_long_segment():
        # A cut before the last of several words changes no word of the best path, and hardly any of a beam's.
        if stream.segment_s >= _SEGMENT_S and len(stream.result().words) > 1:
            return stream.end_segment(keep_open_word=True)
        return None

    return end_long_segment


class _Writer:
    """Writes the Results of a file; those that are rejected are only counted.

    Args:
        path: the file.
        has_name: its name is part of what is written.
    """

    def __init__(self, path, *, has_name):
        self._path, self._name = str(path), f"{path}\t" if has_name else ""
        self._rejected = []

    def add(self, result):
        """Take the next Result."""
        if result.is_rejected:
            self._rejected.append(result)
        elif result.text:
            self._write(result)

    def finish(self, duration_s):
        """Say on stderr what was rejected, if anything was."""
        if self._rejected:
            words = self._rejected[0].words
            print(
                f"note: {self._path}: {len(self._rejected)} not understood, the first at {words[0].start_s:.2f} s with "
                f"confidence {self._rejected[0].confidence:.2f} (--min-confidence 0 shows what was heard)",
                file=sys.stderr,
            )

    def _write(self, result):
        raise NotImplementedError


class _Text(_Writer):
    """The words of a file on one line, written as they come."""

    def __init__(self, path, *, has_name):
        super().__init__(path, has_name=has_name)
        self._is_begun = False

    def _write(self, result):
        print(" " if self._is_begun else self._name, result.text, sep="", end="", flush=True)
        self._is_begun = True

    def finish(self, duration_s):
        print("" if self._is_begun else self._name, flush=True)
        super().finish(duration_s)


class _Timestamps(_Writer):
    """One word a line: start, end, confidence, word; tabs between."""

    def _write(self, result):
        for word in result.words:
            print(f"{self._name}{word.start_s:.2f}\t{word.end_s:.2f}\t{word.confidence:.3f}\t{word.text}", flush=True)


class _Json:
    """One JSON object a file; the results are kept until its end."""

    def __init__(self, path, *, has_name):
        self._path = str(path)
        self._results = []

    def add(self, result):
        if result.words:
            self._results.append(result)

    def finish(self, duration_s):
        results, num_words = self._results, sum(len(result.words) for result in self._results)
        confidence = sum(result.confidence * len(result.words) for result in results) / max(num_words, 1)
        value = {
            **file_json(self._path),
            "duration_s": round(duration_s, 3),
            "text": " ".join(result.text for result in results if result.text),
            "confidence": round(confidence, 4),
            "is_rejected": bool(results) and all(result.is_rejected for result in results),
            "words": [word_json(word) for result in results for word in result.words],
            "utterances": [
                {name: value for name, value in result_json(result).items() if name != "words"} for result in results
            ],
        }
        print(json.dumps(value), flush=True)


if __name__ == "__main__":
    sys.exit(main())
