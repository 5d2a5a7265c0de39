"""lottery-export: a ticket becomes a bundle that the runtime, sherpa-onnx and onnxruntime load."""

import sys
from pathlib import Path

from export.errors import ExportError
from export.weight_formats import TARGETS
from runtime.command import run_command
from runtime.errors import require_extra
from runtime.features import ENCODER_FRAME_MS
from runtime.fields import MAX_TEXT_CHARACTERS
from runtime.options import create_parser
from runtime.signature import make_keys
from runtime.streams import quiet_libraries
from runtime.table import Table

_PRECISIONS = {"both": ("fp32", "int8"), "fp32": ("fp32",), "int8": ("int8",)}
_CALIBRATE = "calibrate"
_CALIBRATE_EXAMPLES = """\
  lottery-export calibrate bundles/an4 --calibration an4/dev.jsonl \\
      --negatives mini_librispeech/dev.jsonl noise/train.jsonl
"""
_EXAMPLES = """\
  lottery-export runs/an4/level_06 --structured --out bundles/an4     remove what the ticket masks: smaller, faster
  lottery-export runs/an4/level_06 --out bundles/an4_zeros            keep the zeros: for tickets without whole units
  lottery-export runs/an4/level_06 --structured --chunk-ms 320 --out bundles/an4_320
  lottery-export runs/an4/level_06 --structured --precision int8 --out bundles/an4_small
  lottery-export runs/an4/level_06 --structured --out bundles/an4 --calibration an4/dev.jsonl \\
      --negatives mini_librispeech/dev.jsonl noise/train.jsonl        also learns what to reject
  lottery-export calibrate bundles/an4 --calibration an4/dev.jsonl --negatives mini_librispeech/dev.jsonl
                                                                      the same for a bundle that is there
  lottery-export keygen me.key                                        a pair of keys: me.key signs, me.key.pub checks
  lottery-export runs/an4/level_06 --structured --sign me.key --out bundles/an4_signed
"""


def main(argv=None):
    """Run lottery-export; return the exit status."""
    return run_command(_main, argv)


def _make_keys(argv):
    parser = create_parser(
        "lottery-export keygen",
        description="Make a pair of Ed25519 keys: KEY, which signs bundles and is kept secret, and KEY.pub, which "
        "checks them. Both are PEM files without a passphrase.",
        examples="  lottery-export keygen me.key",
    )
    parser.add_argument("key", metavar="KEY", type=Path, help="file of the private key to write")
    for path in make_keys(parser.parse_args(argv).key):
        print(path)


def _main(argv):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [_CALIBRATE]:
        return _calibrate(argv[1:])
    if argv[:1] == ["keygen"]:
        return _make_keys(argv[1:])
    arguments = _parse(argv)
    for module in ("torch", "onnx", "onnxscript", "torch_pruning"):
        require_extra(module, extra="export")
    with quiet_libraries():
        # onnxruntime complains on stderr where there is no home directory.
        from export.bundle import export_ticket
    from export.vocabulary import choose_words
    from lottery_train.outcome import failure_note
    from lottery_train.ticket import load_ticket

    if arguments.name is not None and not (
        arguments.name.isprintable() and 0 < len(arguments.name) <= MAX_TEXT_CHARACTERS
    ):
        raise ExportError(f"--name is {arguments.name!r}, expected 1 to {MAX_TEXT_CHARACTERS} printable characters")
    ticket = load_ticket(arguments.ticket)
    if arguments.as_ticket:
        from export.shrunk_ticket import write_shrunk_ticket

        write_shrunk_ticket(ticket, arguments.out)
        _progress(
            f"{arguments.out}: train it on with lottery-train --tokens init --set train.init_from={arguments.out}"
        )
        return 0
    if note := failure_note(ticket.record):
        _progress(f"warning: {arguments.ticket}: {note}")
    result = export_ticket(
        ticket,
        arguments.out,
        is_structured=arguments.structured,
        chunk_frames=_chunk_frames(arguments.chunk_ms, default=ticket.chunk_frames),
        name=arguments.name,
        precisions=_PRECISIONS[arguments.precision],
        num_bits=arguments.ticket_bits,
        target=arguments.target,
        words=choose_words(ticket, vocabulary=arguments.vocabulary, words_from=arguments.words_from),
        calibration=arguments.calibration,
        negatives=arguments.negatives,
        can_overwrite=arguments.overwrite,
        sign=arguments.sign,
        progress=_progress,
    )
    _print_result(result, out=arguments.out)
    return 0


def _calibrate(argv):
    """Calibrate a bundle that is there."""
    parser = create_parser(
        f"lottery-export {_CALIBRATE}",
        description="Calibrate the confidences of a bundle, and choose below which of them an utterance is rejected. "
        "The bundle recognises the recordings as a user's; manifest.json and the model card keep what was found. Use "
        "dev sets: a test set that was calibrated on tests nothing. Sign the bundle, if you do, afterwards.",
        examples=_CALIBRATE_EXAMPLES,
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="directory that lottery-export wrote")
    _add_calibration_options(parser, is_required=True)
    arguments = parser.parse_args(argv)
    for module in ("torch", "jiwer"):
        require_extra(module, extra="export")
    from export.calibrate import calibrate_bundle

    figures = calibrate_bundle(
        arguments.bundle, calibration=arguments.calibration, negatives=arguments.negatives, progress=_progress
    )
    _print_calibration(figures)
    return 0


def _add_calibration_options(parser, *, is_required=False):
    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--calibration",
        nargs="+",
        type=Path,
        default=[],
        required=is_required,
        metavar="DEV.jsonl",
        help="manifests of dev sets of what the recogniser is for",
    )
    group.add_argument(
        "--negatives",
        nargs="+",
        type=Path,
        default=[],
        required=is_required,
        metavar="OTHER.jsonl",
        help="manifests of what it is not for: other words, other languages, noise (`text` may be absent or empty)",
    )


def _print_calibration(figures):
    rows = tuple(
        (
            record["set"],
            str(record["num_utterances"]),
            *(f"{record[name]:.1%}" if name in record else "-" for name in ("kept", "rejected", "silent")),
        )
        for record in figures["sets"]
    )
    print(Table(header=("dev set", "utterances", "kept", "rejected or silent", "silent"), rows=rows).text() + "\n")
    print(
        f"min_confidence {figures['min_confidence']:g}: kept {figures['kept']:.1%}, rejected {figures['rejected']:.1%}"
    )


def _parse(argv):
    parser = create_parser(
        "lottery-export",
        description="Turn a ticket into a bundle: ONNX in float32 and int8, an .ort file, the ticket engine's file, a "
        "manifest and a model card. "
        "Every step of the conversion is compared with the one before; a bundle that does not compute what its ticket "
        "does is not written. Progress goes to stderr, the table to stdout.",
        examples=_EXAMPLES,
    )
    parser.add_argument("ticket", metavar="TICKET", type=Path, help="ticket directory: a level of a run")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="bundle directory to write")
    parser.add_argument(
        "--structured",
        action="store_true",
        help="remove the attention heads, feed-forward neurons and convolution channels that the ticket masks",
    )
    parser.add_argument(
        "--as-ticket",
        action="store_true",
        help="write the shrunk model as a ticket to be trained on, not as a bundle",
    )
    parser.add_argument(
        "--chunk-ms",
        type=int,
        metavar="MS",
        help="audio a step reads, a multiple of 40: shorter answers sooner, longer errs less (default: the ticket's)",
    )
    parser.add_argument("--name", help="name in tables and reports (default: the directory's)")
    parser.add_argument(
        "--precision",
        choices=tuple(_PRECISIONS),
        default="both",
        help="of the models: both; fp32 alone, the .ort and the .ticket file too; int8 alone: model.int8.onnx and "
        "model.ticket, the smallest bundle (default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        choices=tuple(TARGETS),
        default="server",
        help="processors that model.ticket is meant for. server: AVX-512 with VNNI; mobile: ARM with dot products, "
        "AVX-VNNI; basic: any other. Each runs it, and that one fastest. compact: least memory (default: %(default)s)",
    )
    parser.add_argument(
        "--ticket-bits",
        type=int,
        choices=(8, 4),
        default=8,
        help="bits of a weight in an int8 model.ticket; 4 is smaller on disk, and less exact (default: %(default)s)",
    )
    parser.add_argument(
        "--vocabulary",
        choices=("auto", "closed", "open"),
        default="auto",
        help="closed: the recogniser says no word but those of its training; auto: closed where they are 5000 at most "
        "and less than 1 %% of the dev set's words are none of them (default)",
    )
    parser.add_argument(
        "--words-from",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="take the words of a closed vocabulary from these manifests, or lists (.txt), in place of the ticket's",
    )
    _add_calibration_options(parser)
    parser.add_argument(
        "--sign",
        metavar="KEY",
        type=Path,
        help="sign the bundle with this Ed25519 private key (PEM); `lottery-export keygen KEY` makes one",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there already")
    return parser.parse_args(argv)


def _chunk_frames(chunk_ms, *, default):
    if chunk_ms is None:
        return default
    if chunk_ms < ENCODER_FRAME_MS or chunk_ms % ENCODER_FRAME_MS:
        raise ExportError(
            f"--chunk-ms is {chunk_ms}, expected a multiple of {ENCODER_FRAME_MS}", hint="try --chunk-ms 640"
        )
    return chunk_ms // ENCODER_FRAME_MS


def _progress(line):
    print(line, file=sys.stderr, flush=True)


def _print_result(result, *, out):
    from export.card import zeros_note
    from export.verify import summary

    told = result.manifest.provenance
    dense, weights, nonzeros = told["dense_weights"], told["num_weights"], told["num_nonzeros"]
    print(
        f"{out}: {weights:,} weights ({weights / dense:.1%} of the dense {dense:,}), "
        f"{nonzeros:,} non-zero ({nonzeros / dense:.1%})\n"
    )
    files = result.manifest.files
    rows = tuple(
        (files[role].path, f"{files[role].bytes:,}", f"{zipped:,}", str(result.num_nodes.get(role, "-")))
        for role, zipped in result.zip_bytes.items()
    )
    print(Table(header=("file", "bytes", "zip-compressed", "graph nodes"), rows=rows).text() + "\n")
    rows = tuple(
        (stage, f"{largest:.2e}", f"{mean:.2e}", f"{bound:.1e}", f"{agreement:.1%}")
        for stage, largest, mean, bound, agreement in summary(result.parity)
    )
    print(Table(header=("verified", "largest", "mean", "bound", "same best symbol"), rows=rows).text())
    if (figures := told.get("calibration")) is not None:
        print()
        _print_calibration(figures)
    if (note := zeros_note(told, engine=result.manifest.engine)) is not None:
        print(f"\nnote: {note}")


if __name__ == "__main__":
    sys.exit(main())
