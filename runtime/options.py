"""Options that every command working on a bundle shares."""

import argparse
import math
import textwrap

from runtime.beam import DEFAULT_BEAM, BeamDecoder
from runtime.decoder import GreedyDecoder
from runtime.grammar import Grammar
from runtime.hotwords import DEFAULT_BOOST, Hotword, Hotwords, read_hotwords
from runtime.language_model import DEFAULT_WEIGHT, DEFAULT_WORD_BONUS, LanguageModel
from runtime.phrases import read_phrases
from runtime.session import BACKENDS, PRECISIONS

# Options that a beam search alone can honour.
_BEAM_OPTIONS = ("beam", "hotword", "hotwords", "words", "grammar", "lm")


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


def parse_intermixed(parser, argv, *, name):
    """Parse options and positional arguments in any order; what follows `--` is positional, whatever it begins with.

    argparse alone takes such an argument for an option where both kinds are mixed.

    Args:
        parser: ArgumentParser.
        argv: list of arguments.
        name: of the one positional argument, a list.
    Returns:
        Namespace.
    """
    cut = argv.index("--") if "--" in argv else len(argv)
    # No argument that a program is started with holds a NUL.
    arguments = parser.parse_intermixed_args([*argv[:cut], *(f"\0{argument}" for argument in argv[cut + 1 :])])
    setattr(arguments, name, [argument.removeprefix("\0") for argument in getattr(arguments, name)])
    return arguments


def add_model_options(parser):
    """Add how the model is run: --precision, --threads, --backend; and whose: see add_trust_options."""
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
    add_trust_options(group)


def add_trust_options(group):
    """Add whose bundles are run: --require-signature, --allow-any-operators."""
    group.add_argument(
        "--require-signature",
        metavar="PUBKEY",
        help="run the bundle only if the owner of this Ed25519 public key (PEM) signed it: lottery-export --sign",
    )
    group.add_argument(
        "--allow-any-operators",
        action="store_true",
        help="run an ONNX model with operators that lottery-export does not write, loops among them: for models of "
        "others whom you trust",
    )


def add_decoding_options(parser):
    """Add what decides besides the sound: --decoder, --beam, hotwords, a grammar, a language model."""
    group = parser.add_argument_group("decoding")
    group.add_argument(
        "--decoder",
        choices=("greedy", "beam"),
        help="greedy: the most probable symbol of each frame; beam: the most probable text, implied by all options "
        "below (default: greedy, and where the bundle's vocabulary is closed no other word than its own)",
    )
    group.add_argument(
        "--beam",
        type=positive_int,
        metavar="N",
        help=f"texts that are kept from frame to frame (default: {DEFAULT_BEAM})",
    )
    group.add_argument(
        "--hotword",
        type=_hotword,
        action="append",
        metavar="TEXT[:BOOST]",
        help="word or phrase to expect; may be repeated. BOOST is the natural log that each of its letters adds "
        f"(default: {DEFAULT_BOOST}); below 0 it is avoided",
    )
    group.add_argument("--hotwords", metavar="FILE", help="words and phrases to expect, one a line")
    words = group.add_mutually_exclusive_group()
    words.add_argument(
        "--words", type=_phrases, metavar="A,B,...", help="recognise nothing but these words and phrases"
    )
    words.add_argument("--grammar", metavar="FILE", help="recognise nothing but words and phrases of it, one a line")
    group.add_argument(
        "--one-of", action="store_true", help="with --words or --grammar: one of them at most in each line of text"
    )
    group.add_argument("--lm", metavar="FILE", help="n-gram language model, ARPA or KenLM binary")
    group.add_argument(
        "--lm-weight",
        type=_finite,
        metavar="X",
        help=f"of the language model beside the sound (default: {DEFAULT_WEIGHT})",
    )
    group.add_argument(
        "--word-bonus",
        type=_finite,
        metavar="X",
        help=f"with --lm: natural log that each word adds (default: {DEFAULT_WORD_BONUS})",
    )
    group.add_argument(
        "--min-confidence",
        type=_share,
        metavar="X",
        help="reject results below this confidence, 0 to 1; 0 rejects nothing (default: the bundle's "
        "own threshold, nothing where it has none)",
    )


def check_decoding_options(arguments, *, parser):
    """End as argparse does where decoding options contradict each other."""
    if arguments.one_of and not (arguments.words or arguments.grammar):
        parser.error("--one-of needs --words or --grammar")
    for name in ("lm_weight", "word_bonus"):
        if getattr(arguments, name) is not None and arguments.lm is None:
            parser.error(f"--{name.replace('_', '-')} needs --lm")
    if arguments.lm_weight is not None and arguments.lm_weight < 0:
        parser.error(f"--lm-weight is {arguments.lm_weight}, expected 0 or more")
    for name in _BEAM_OPTIONS:
        if getattr(arguments, name) is not None and arguments.decoder == "greedy":
            parser.error(f"--{name} needs --decoder beam")


def decoder_from(arguments):
    """Return the Decoder that the parsed decoding options describe, or None for the bundle's own default.

    Raises:
        LotteryError: a file they name cannot be read, or holds nothing of use.
    """
    scorers = []
    if arguments.hotwords or arguments.hotword:
        listed = read_hotwords(arguments.hotwords) if arguments.hotwords else []
        scorers.append(Hotwords([*listed, *(arguments.hotword or [])]))
    if arguments.words or arguments.grammar:
        scorers.append(Grammar(arguments.words or read_phrases(arguments.grammar), one_of=arguments.one_of))
    if arguments.lm:
        weight = DEFAULT_WEIGHT if arguments.lm_weight is None else arguments.lm_weight
        word_bonus = DEFAULT_WORD_BONUS if arguments.word_bonus is None else arguments.word_bonus
        scorers.append(LanguageModel(arguments.lm, weight=weight, word_bonus=word_bonus))
    if scorers or arguments.beam or arguments.decoder == "beam":
        return BeamDecoder(beam=arguments.beam or DEFAULT_BEAM, scorers=tuple(scorers))
    return GreedyDecoder() if arguments.decoder == "greedy" else None


def open_recognizer(arguments):
    """Return the Recognizer that the parsed `bundle`, model options and decoding options describe.

    Raises:
        LotteryError: the bundle, or a file or phrase that the decoding options name, is no good.
    """
    from runtime.recognizer import Recognizer  # soxr and the backends: not for --help

    return Recognizer(
        arguments.bundle,
        precision=arguments.precision,
        backend=arguments.backend,
        num_threads=arguments.threads,
        require_signature=arguments.require_signature,
        allow_any_operators=arguments.allow_any_operators,
        decoder=decoder_from(arguments),
        min_confidence=arguments.min_confidence,
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


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return number


def _share(text):
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return number


def _hotword(text):
    try:
        return Hotword.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _phrases(text):
    phrases = [phrase.strip() for phrase in text.split(",")]
    if not all(phrases):
        raise argparse.ArgumentTypeError(f"{text!r} holds an empty phrase: write words with commas between")
    return phrases
