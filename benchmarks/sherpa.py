"""The same files in sherpa-onnx: tokens and times of real clips, beside our runtime's, in float32 and int8.

    python -m benchmarks.sherpa bundles/an4 --data-dir ../shared/data
    python -m benchmarks.sherpa bundles/an4 --data-dir ../shared/data --versions 1.12.40 newest

A bundle that has one of the two models is compared in that one. Without --versions the installed sherpa-onnx is
compared; with it each version is installed from PyPI into an environment that is thrown away. A second of silence
follows every clip, in both: sherpa-onnx leaves out the last, unfilled chunk. Our runtime says every clip again, with
Kaldi's features (the code that sherpa-onnx uses) and, in int8, in the onnxruntime that this sherpa-onnx brings, so that
the cause of a difference is known. Writes benchmarks/results/sherpa.json.
"""

import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import sherpa_ours
from benchmarks.results import RESULTS, write_result
from benchmarks.sherpa_differences import UNEXPLAINED, count, explain
from benchmarks.sherpa_environment import INSTALLED, Environment
from lottery_train.corpora import load_audio, read_manifest
from runtime.command import run_command
from runtime.features import SAMPLE_RATE_HZ
from runtime.manifest import MODEL_ROLES, TICKET_ROLE, Manifest
from runtime.options import create_parser
from runtime.shipped import shipped_bundle
from runtime.table import Table, number

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
SILENCE_S = 1.0
MEANING = (
    "sherpa_token_mismatches and timestamp_mismatches count clips in float32, over all versions. int8 rounds the "
    "activations of a chunk to 256 steps, so that float32 rounding in a feature (2e-4 at most, between numpy and "
    "kaldi-native-fbank) moves a log-probability by some tenths, and tips a frame that was undecided; another build of "
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
    for split, most in CLIPS.items():
        pack, name = split.split("/")
        utterances, _ = read_manifest(Path(data_dir) / pack / f"{name}.jsonl")
        for utterance in random.Random(SEED).sample(utterances, min(most, len(utterances))):
            names.append(f"{split}/{utterance.audio_path.name}")
            paths.append(folder / f"{len(paths)}.f32")
            silence = np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.float32)
            np.concatenate([load_audio(utterance), silence]).tofile(paths[-1])
    return names, [str(path) for path in paths]


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
        }
        same = [found.get("theirs_onnxruntime_kaldi_features") for found in int8]
        if all(same):
            mismatches = sum(row["clips_with_other_tokens"] for row in same)
            summary["int8_same_features_and_onnxruntime_mismatches"] = mismatches
            summary["int8_unexplained"] = sum(record["cause"] == UNEXPLAINED for record in records)
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
