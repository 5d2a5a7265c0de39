r"""The shipped recogniser on the test split of every pack it was made for: error rates, size, speed, model card.

    python -m benchmarks.synthesisers packs/synth --data-dir ../shared/data       (docs/shipped.md: how it was trained)
    python -m benchmarks.shipped --data-dir ../shared/data --synthesisers packs/synth --write-card

Streamed chunk by chunk through the deployed runtime, without a language model. Error rates of the sets are those of
what is heard, rejection switched off, as in version 0.1; what rejection does to them, and how far the recogniser can be
trusted, is measured with its defaults, on test alone (benchmarks/shipped_trust.py). Writes
benchmarks/results/shipped.json and, with --write-card, what the model card says of data and error rates.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.clips import read_clips
from benchmarks.results import RESULTS, write_result
from benchmarks.shipped_card import update_card
from benchmarks.shipped_trust import measure_trust
from lottery_train.augment import add_noise
from lottery_train.corpora import draw_noise, load_noise
from lottery_train.evaluate import score_texts
from runtime.command import run_command
from runtime.engine.library import instruction_sets
from runtime.latency import time_clip
from runtime.machine import describe_machine
from runtime.manifest import Manifest
from runtime.options import create_parser, positive_int
from runtime.recognizer import Recognizer
from runtime.shipped import shipped_bundle
from runtime.table import Table

PACKS = ("an4", "fsdd", "coffee_commands", "asterisk_en")
# First the one that is used where nothing is asked for.
BACKENDS = ("engine", "onnxruntime")
NOISE_SNR_DB = 10.0
_TIMED_CLIPS = 40
_SEED = 0


def load_sets(data_dir, *, split):
    """Return name -> (clips, texts) of every pack, and of AN4 in noise that no training heard.

    Args:
        data_dir: folder of packs.
        split: dev or test.
    """
    sets = {name: read_clips(name, data_dir=data_dir, split=split) for name in PACKS}
    clips, texts = sets["an4"]
    noises, rng = load_noise(Path(data_dir) / "noise" / "test.jsonl"), np.random.default_rng(_SEED)
    noisy = [add_noise(clip, noise=draw_noise(noises, rng=rng), snr_db=NOISE_SNR_DB, rng=rng) for clip in clips]
    return sets | {f"an4, noise at {NOISE_SNR_DB:g} dB": (noisy, texts)}


def score_sets(recognizer, sets):
    """Return name -> Score of every set."""
    scores = {}
    for name, (clips, texts) in sets.items():
        print(f"recognising {name} ({recognizer.backend})", file=sys.stderr)
        scores[name] = score_texts(texts, [recognizer.transcribe(clip).text for clip in clips])
    return scores


def real_time_factor(recognizer, clips, *, rounds):
    """Return the median over rounds of seconds of work a second of audio, features and decoding included."""
    samples = np.concatenate(clips)
    timings = [time_clip(recognizer, samples=samples) for _ in range(rounds + 1)][1:]
    return float(np.median([timing.wall_s / timing.audio_s for timing in timings]))


def processor():
    """Return the name of this machine's processor, with the instructions that the engine found."""
    machine = describe_machine(threads=1)
    return f"{machine['cpu']} ({instruction_sets()[0]})"


def figures(score):
    """Return what a result file keeps of a Score."""
    names = ("wer", "wer_interval", "cer", "num_utterances", "num_words")
    return {name: getattr(score, name) for name in names}


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.shipped",
        description="Measure the shipped recogniser on the test split of every pack; writes shipped.json.",
        examples="  python -m benchmarks.shipped --data-dir ../shared/data --write-card\n"
        "  python -m benchmarks.shipped --data-dir ../shared/data --bundle bundles/mine --split dev --results /tmp",
    )
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="folder of packs")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="another bundle than the shipped one")
    parser.add_argument("--split", choices=("dev", "test"), default="test", help="(default: %(default)s)")
    parser.add_argument(
        "--synthesisers", type=Path, metavar="DIR", help="what benchmarks.synthesisers made: voices never trained on"
    )
    parser.add_argument("--rounds", type=positive_int, default=20, metavar="N", help="timed passes (%(default)s)")
    parser.add_argument("--write-card", action="store_true", help="bring the bundle's model card up to date")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result file goes")
    return parser.parse_args(argv)


def _main(argv):
    arguments = _parse(argv)
    bundle = arguments.bundle or shipped_bundle()
    sets = load_sets(arguments.data_dir, split=arguments.split)
    scores, rtf = {}, {}
    for backend in BACKENDS:
        recognizer = Recognizer(bundle, backend=backend, precision="int8", min_confidence=0)
        scores[backend] = score_sets(recognizer, sets)
        rtf[backend] = real_time_factor(recognizer, sets["an4"][0][:_TIMED_CLIPS], rounds=arguments.rounds)
    first = scores[BACKENDS[0]]
    bundle_mb = sum(path.stat().st_size for path in Path(bundle).iterdir()) / 1e6
    summary = {
        "bundle_mb": bundle_mb,
        "an4_test_wer": first["an4"].wer,
        "fsdd_test_wer": first["fsdd"].wer,
        "coffee_commands_test_wer": first["coffee_commands"].wer,
        "rtf_one_thread": rtf[BACKENDS[0]],
    }
    trusted = trust = {}
    if arguments.split == "test":
        recognizer = Recognizer(bundle, backend=BACKENDS[0], precision="int8")
        trusted, trust = measure_trust(
            recognizer, sets, data_dir=arguments.data_dir, synthesisers=arguments.synthesisers
        )
        summary |= trusted
    details = {
        "trust": trust,
        "split": arguments.split,
        "provenance": Manifest.load(bundle).provenance,
        "sets": {backend: {name: figures(score) for name, score in found.items()} for backend, found in scores.items()},
        "rtf": rtf,
    }
    _print(scores, rtf=rtf, bundle_mb=bundle_mb)
    print("\n".join(f"{name} {value:.4f}" for name, value in summary.items()))
    path = write_result("shipped", summary=summary, details=details, threads=1, folder=arguments.results)
    if arguments.write_card:
        measured = {"trust": (trusted, trust)} if trust else {}
        update_card(bundle, scores=first, rtf=rtf[BACKENDS[0]], processor=processor(), **measured)
    print(path)


def _print(scores, *, rtf, bundle_mb):
    rows = tuple(
        (name, *(f"{found[name].wer:.1%}" for found in scores.values()), "{:.1%} to {:.1%}".format(*score.wer_interval))
        for name, score in scores[BACKENDS[0]].items()
    )
    print(Table(header=("set", *(f"WER, {name}" for name in scores), "95 %"), rows=rows).text(), end="\n\n")
    print(f"bundle {bundle_mb:.2f} MB; real-time factor", ", ".join(f"{name} {rtf[name]:.4f}" for name in rtf))


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
