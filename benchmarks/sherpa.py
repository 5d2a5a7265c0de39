"""The same files in sherpa-onnx: tokens and times of real clips, beside our runtime's, in float32 and int8.

    python -m benchmarks.sherpa bundles/an4 --data-dir ../shared/data
    python -m benchmarks.sherpa bundles/an4 --data-dir ../shared/data --versions 1.12.40 newest

A bundle that has one of the two models is compared in that one. Without --versions the installed sherpa-onnx is
compared; with it each version is installed from PyPI into an environment that is thrown away. A second of silence
follows every clip, in both: sherpa-onnx leaves out the last, unfilled chunk. Our runtime says every clip again, with
Kaldi's features (the code that sherpa-onnx uses) and, in int8, in the onnxruntime that this sherpa-onnx brings, so that
the cause of a difference is known. Writes benchmarks/results/sherpa.json.
"""

import itertools
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import sherpa_ours
from benchmarks.results import RESULTS, write_result
from benchmarks.sherpa_environment import INSTALLED, Environment
from lottery_train.corpora import load_audio, read_manifest
from runtime.command import run_command
from runtime.features import SAMPLE_RATE_HZ
from runtime.manifest import MODEL_ROLES, TICKET_ROLE, Manifest
from runtime.options import create_parser
from runtime.shipped import shipped_bundle
from runtime.table import Table, number
from runtime.tokenizer import WORD_START
from runtime.word_errors import word_errors

# Pack and split -> clips: the test split of the corpus that the bundles know, and others, on which they talk nonsense.
CLIPS = {
    "an4/test": 130,
    "an4/dev": 40,
    "coffee_commands/test": 30,
    "fsdd/test": 20,
    "asterisk_en/test": 12,
    "mini_librispeech/dev": 20,
}
SEED = 0
UNEXPLAINED = "unexplained"
SILENCE_S = 1.0
# Half of the float32 spacing that sherpa-onnx's times have, and far below the 40 ms of a frame.
TIME_TOLERANCE_S = 1e-3
MEANING = (
    "sherpa_token_mismatches and timestamp_mismatches count clips in float32, over all versions. int8 rounds the "
    "activations of a chunk to 256 steps, so that float32 rounding in a feature (2e-4 at most, between numpy and "
    "kaldi-native-fbank) moves a log-probability by up to 0.4, and tips a frame that was undecided; another build of "
    "onnxruntime does the same. The same file on the same features in the same onnxruntime gives the same. 'margin' "
    "is ln p(best) - ln p(second best) of our run in the first frame that differs. 'ours' is our runtime as "
    "installed; the other rows change its onnxruntime to the series that this sherpa-onnx brings "
    "(theirs_onnxruntime), or its features to Kaldi's (kaldi_features); 'engine' is the ticket engine, whose int8 "
    "rounds by other rules."
)


def choose_clips(data_dir, *, folder):
    """Write the clips of CLIPS as raw samples, with silence after them.

    Args:
        data_dir: folder of speech packs.
        folder: where the files go.
    Returns:
        (names, paths): `pack/split/file`, and the raw file, for each.
    Raises:
        LotteryError: a pack is not there.
    """
    names, paths = [], []
    for split, count in CLIPS.items():
        pack, name = split.split("/")
        utterances, _ = read_manifest(Path(data_dir) / pack / f"{name}.jsonl")
        for utterance in random.Random(SEED).sample(utterances, min(count, len(utterances))):
            names.append(f"{split}/{utterance.audio_path.name}")
            paths.append(folder / f"{len(paths)}.f32")
            silence = np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.float32)
            np.concatenate([load_audio(utterance), silence]).tofile(paths[-1])
    return names, [str(path) for path in paths]


def same_tokens(found, expected):
    """Return whether two clips hold the same tokens."""
    return found["tokens"] == expected["tokens"]


def same_times(found, expected):
    """Return whether two clips of the same number of tokens have them at the same times."""
    return len(found["times"]) == len(expected["times"]) and np.allclose(
        found["times"], expected["times"], rtol=0, atol=TIME_TOLERANCE_S
    )


def is_same(found, expected):
    """Return whether two clips agree in all."""
    return same_tokens(found, expected) and same_times(found, expected)


def count(found, expected):
    """Return how clips differ: {"clips", "clips_with_other_tokens", "clips_with_other_times", "tokens", "token_edits"}.

    Args:
        found, expected: lists of clips, as sherpa_worker and sherpa_ours answer; `tokens` counts the expected ones.
    """
    pairs = list(zip(found, expected, strict=True))
    return {
        "clips": len(pairs),
        "clips_with_other_tokens": sum(not same_tokens(*pair) for pair in pairs),
        "clips_with_other_times": sum(not same_times(*pair) for pair in pairs),
        "tokens": sum(len(clip["tokens"]) for clip in expected),
        "token_edits": sum(word_errors(*(_spaced(clip) for clip in pair)) for pair in pairs),
    }


def _spaced(clip):
    """Return a clip's tokens with spaces between them; their own spaces, the starts of words, become visible."""
    return " ".join(token.replace(" ", WORD_START) for token in clip["tokens"])


def undecided(ours, theirs):
    """Return {"time_s", "margin"} of the first token that differs: where, and how decided our run was there."""
    spoken = [
        [(round(time_s, 2), token) for time_s, token in zip(clip["times"], clip["tokens"], strict=True)]
        for clip in (ours, theirs)
    ]
    first = next(pair for pair in itertools.zip_longest(*spoken) if pair[0] != pair[1])
    time_s = min(entry[0] for entry in first if entry is not None)
    # A token may also begin a frame later, or be missing, because of the frame in which it did not begin.
    frame = round(time_s / 0.04)
    return {"time_s": time_s, "margin": round(ours["margins"][min(frame, len(ours["margins"]) - 1)], 4)}


def explain(names, *, ours, theirs, again):
    """Return one record for every clip with other tokens or times: where, how undecided, and the cause.

    Args:
        names: of the clips.
        ours, theirs: lists of clips.
        again: {(onnxruntime, features): clips}, our runtime once more; onnxruntime is "ours" or "theirs".
    """
    records = []
    for index, name in enumerate(names):
        pair = ours[index], theirs[index]
        if is_same(*pair):
            continue
        agrees = {key: is_same(clips[index], pair[1]) for key, clips in again.items()}
        cause = UNEXPLAINED
        if agrees.get(("theirs", "ours")):
            cause = "build of onnxruntime"
        elif agrees.get(("ours", "kaldi")):
            cause = "last digit of the features"
        elif agrees.get(("theirs", "kaldi")):
            cause = "last digit of the features and build of onnxruntime"
        texts = {"ours": "".join(pair[0]["tokens"]), "sherpa_onnx": "".join(pair[1]["tokens"])}
        records.append({"clip": name, **undecided(*pair), "cause": cause, **texts})
    return records


def compare(environment, bundle, *, names, clips, ours):
    """Compare one version of sherpa-onnx with our runtime.

    Args:
        environment: Environment.
        bundle: Path.
        names, clips: see choose_clips.
        ours: {(backend, precision, features): clips}, our runtime in the installed onnxruntime.
    Returns:
        dict of JSON values; among them one a precision of the bundle's.
    """
    manifest = Manifest.load(bundle)
    files = {role: str(bundle / entry.path) for role, entry in manifest.files.items()}
    found = {}
    for precision in precisions_of(manifest):
        print(f"recognising {len(clips)} clips, {precision}", file=sys.stderr)
        theirs = environment.theirs(model=files[MODEL_ROLES[precision]], tokens=files["tokens"], clips=clips)
        mine = ours["onnxruntime", precision, "ours"]
        row = {"ours": count(mine, theirs["clips"])}
        again = {("ours", "kaldi"): ours["onnxruntime", precision, "kaldi"]}
        if precision == "int8" and not environment.is_installed:
            environment.install_onnxruntime(theirs["onnxruntime"])
            request = {"bundle": str(bundle), "backend": "onnxruntime", "precision": precision, "clips": clips}
            for features in sherpa_ours.FEATURES:
                answer = environment.ours({**request, "features": features})
                again["theirs", features] = answer["clips"]
                row["same_onnxruntime"] = answer["onnxruntime"]
        for (where, features), said in again.items():
            row[f"{where}_onnxruntime_{features}_features"] = count(said, theirs["clips"])
        for backend, own, features in ours:
            if backend == "engine" and own == precision:
                row["engine"] = count(ours[backend, own, features], theirs["clips"])
        row["differences"] = explain(names, ours=mine, theirs=theirs["clips"], again=again)
        found[precision] = row
    return {"sherpa_onnx": theirs["sherpa_onnx"], "onnxruntime": theirs["onnxruntime"], **found}


def precisions_of(manifest):
    """Return the precisions of the ONNX models that a bundle has, fp32 first."""
    return [precision for precision, role in MODEL_ROLES.items() if role in manifest.files]


def recognise_ours(bundle, *, clips):
    """Return {(backend, precision, features): clips} of our runtime as it is installed here."""
    manifest = Manifest.load(bundle)
    precisions = precisions_of(manifest)
    runs = [("onnxruntime", precision, features) for precision in precisions for features in sherpa_ours.FEATURES]
    if TICKET_ROLE in manifest.files:
        runs.append(("engine", manifest.engine["precision"], "ours"))
    found = {}
    for backend, precision, features in runs:
        print(f"recognising {len(clips)} clips: {backend} {precision}, {features} features", file=sys.stderr)
        request = {"bundle": bundle, "backend": backend, "precision": precision, "features": features, "clips": clips}
        found[backend, precision, features] = sherpa_ours.answer(request)["clips"]
    return found


def summarise(versions):
    """Return plain numbers, of the precisions that were compared; see MEANING."""
    fp32, int8 = (
        [version[precision] for version in versions if precision in version] for precision in ("fp32", "int8")
    )
    summary = {
        "sherpa_clips": (fp32 or int8)[0]["ours"]["clips"],
        "versions": [version["sherpa_onnx"] for version in versions],
    }
    if fp32:
        rows = [found["ours"] for found in fp32]
        summary |= {
            "sherpa_token_mismatches": sum(row["clips_with_other_tokens"] for row in rows),
            "timestamp_mismatches": sum(row["clips_with_other_times"] for row in rows),
        }
    if int8:
        rows = [found["ours"] for found in int8]
        records = [record for found in int8 for record in found["differences"]]
        percents = [_percent(row["token_edits"], row["tokens"]) for row in rows]
        summary |= {
            "sherpa_int8_clips_that_differ": max(row["clips_with_other_tokens"] for row in rows),
            "sherpa_int8_token_edits_percent": round(max(percents), 2),
            "int8_largest_margin": max((record["margin"] for record in records), default=0.0),
            "int8_unexplained": sum(record["cause"] == UNEXPLAINED for record in records),
        }
        same = [found.get("theirs_onnxruntime_kaldi_features") for found in int8]
        if all(same):
            mismatches = sum(row["clips_with_other_tokens"] for row in same)
            summary["int8_same_features_and_onnxruntime_mismatches"] = mismatches
    return summary


def _percent(part, whole):
    # Where no clip holds a token, an edit counts whole.
    return 100 * part / max(1, whole)


def _table(versions):
    header = ("sherpa-onnx", "onnxruntime", "precision", "our runtime", "clips", "tokens", "times", "edits %")
    rows = []
    for version in versions:
        for precision in MODEL_ROLES:
            for name, row in version.get(precision, {}).items():
                if isinstance(row, dict):
                    counts = (row["clips"], row["clips_with_other_tokens"], row["clips_with_other_times"])
                    edits = number(_percent(row["token_edits"], row["tokens"]))
                    cells = (version["sherpa_onnx"], version["onnxruntime"], precision, name.replace("_", " "))
                    rows.append((*cells, *map(str, counts), edits))
    return Table(header=header, rows=tuple(rows), num_left=4).text()


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.sherpa",
        description="Compare tokens and times of real clips with sherpa-onnx's; write benchmarks/results/sherpa.json.",
        examples="  python -m benchmarks.sherpa bundles/an4 --data-dir ../shared/data --versions 1.12.40 newest",
    )
    parser.add_argument(
        "bundle", type=Path, nargs="?", help="directory that lottery-export wrote (default: the one that comes along)"
    )
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="folder of speech packs")
    parser.add_argument(
        "--versions",
        nargs="+",
        default=[INSTALLED],
        metavar="VERSION",
        help="of sherpa-onnx: on PyPI, newest, or installed (default: %(default)s)",
    )
    parser.add_argument("--out", default=str(RESULTS), metavar="DIR", help="folder for sherpa.json")
    arguments = parser.parse_args(argv)
    bundle = (arguments.bundle or shipped_bundle()).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names, clips = choose_clips(arguments.data_dir, folder=folder)
        ours = recognise_ours(bundle, clips=clips)
        versions = [
            compare(
                Environment(version, folder=folder / f"version_{index}"), bundle, names=names, clips=clips, ours=ours
            )
            for index, version in enumerate(arguments.versions)
        ]
    print("clips with other tokens and other times")
    print(_table(versions))
    summary = summarise(versions)
    print("\n".join(f"{key}: {value}" for key, value in summary.items()))
    own = [ours.get(("onnxruntime", precision, "ours")) for precision in ("int8", "fp32")]
    details = {
        "meaning": MEANING,
        "bundle": bundle.name,
        "clips": CLIPS,
        "silence_s": SILENCE_S,
        "versions": versions,
        "our_int8_beside_our_fp32": count(*own) if all(own) else None,
    }
    path = write_result("sherpa", summary=summary, details=details, threads=1, folder=arguments.out)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the comparison; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
