"""The browser beside the Python runtime: tokens of real clips through the page of demo.web, and its own benchmark.

    python -m benchmarks.browser bundles/an4 --data-dir ../shared/data

Three ways into the page, in headless Chromium. *Exact*: WAV files that hold what the Python runtime hears, sample by
sample; what differs is the page's arithmetic. *Decoded*: the corpus's own files, which the browser decodes and
resamples in its own way; where tokens differ, Python hears the browser's samples, too. *Microphone*: a few clips in
real time through the browser's fake microphone; Python hears what the page heard, the clip delayed as the page heard
it, and the clip alone, whose chunks begin elsewhere.
Writes benchmarks/results/browser.json.
"""

import contextlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.results import RESULTS, relative, write_result
from demo.web.server import PageServer, bundle_resources, page_resources, runtime_resources
from demo.web.vendor import pinned_version, runtime_files
from lottery_train.corpora import find_corpus, load_audio, read_manifest
from runtime.command import run_command
from runtime.errors import LotteryError
from runtime.features import SAMPLE_RATE_HZ
from runtime.files import sha256_file
from runtime.manifest import MANIFEST_NAME, MODEL_ROLES, Manifest
from runtime.options import create_parser, positive_int
from runtime.recognizer import Recognizer
from runtime.shipped import shipped_bundle
from runtime.table import Table
from tests.web.chromium import Chromium, find_chromium
from tests.web.page import Page, delay, running, token_differences

NUM_CLIPS = 100
NUM_MICROPHONE_CLIPS = 8
# The rate at which the fake microphone plays.
CARD_HZ = 48000
LEAD_S, TAIL_S, PATIENCE_S = 0.5, 1.2, 0.5
# Two symbols whose natural-log probabilities are closer are as good as equal to a model in 8 bits.
NEAR_TIE = 0.5


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A recording: its path, what was said, and its samples at 16 kHz, float32 (n,)."""

    path: Path
    text: str
    samples: np.ndarray

    @property
    def name(self):
        """The file's name."""
        return self.path.name


def choose_clips(data_dir, *, count):
    """Return `count` Clips of AN4, spread evenly over its test and dev splits."""
    splits = find_corpus("an4", data_dir=data_dir).splits
    utterances = [utterance for name in ("test", "dev") for utterance in read_manifest(splits[name])[0]]
    if count > len(utterances):
        raise LotteryError(f"{count} clips, the corpus has {len(utterances)}", hint=f"--clips {len(utterances)}")
    chosen = [utterances[index * len(utterances) // count] for index in range(count)]
    return [Clip(path=found.audio_path, text=found.text, samples=load_audio(found)) for found in chosen]


class Listened:
    """A Session that keeps the log-probabilities it returns."""

    def __init__(self, session):
        self._session, self.geometry, self.rows = session, session.geometry, []

    def initial_state(self, batch=1):
        """See Session."""
        return self._session.initial_state(batch)

    def step(self, x_NTF, state):
        """See Session."""
        logprobs_NTV, state = self._session.step(x_NTF, state)
        self.rows.append(logprobs_NTV[0])
        return logprobs_NTV, state


def recognize(recognizer, samples, *, rate=SAMPLE_RATE_HZ):
    """Return (Result, log-probabilities (T, V)) of a clip."""
    session = recognizer.session
    recognizer.session = listened = Listened(session)
    try:
        result = recognizer.transcribe(samples, sample_rate_hz=rate)
    finally:
        recognizer.session = session
    return result, np.concatenate(listened.rows)


def tie_behind(logprobs_TV, ids, *, blank):
    """Return how close Python's decision was to the page's other tokens.

    Args:
        logprobs_TV: of Python's run.
        ids: tokens of the page's.
    Returns:
        The smallest advantage, in natural-log probability, of the best symbol over the second best among frames where
        taking the second best instead gives `ids` (or comes closer to it); None where no single frame does.
    """
    order = np.argsort(-logprobs_TV, axis=1, kind="stable")
    best = order[:, 0]
    missing = token_differences(collapse(best, blank=blank), ids)
    margins = []
    for frame, (first, second) in enumerate(order[:, :2]):
        best[frame] = second
        if token_differences(collapse(best, blank=blank), ids) < missing:
            margins.append(float(logprobs_TV[frame, first] - logprobs_TV[frame, second]))
        best[frame] = first
    return min(margins, default=None)


def collapse(symbols, *, blank):
    """Remove repeats, then blanks."""
    changes = np.concatenate([[True], symbols[1:] != symbols[:-1]])
    return [int(symbol) for symbol in symbols[changes] if symbol != blank]


def compare(recognizer, samples, found, *, rate=SAMPLE_RATE_HZ):
    """Compare the page's result of a sound, {"ids", "text"}, with Python's of samples; return a dict for the report."""
    expected, logprobs = recognize(recognizer, samples, rate=rate)
    row = {"tokens": len(expected.ids), "differences": token_differences(expected.ids, found["ids"])}
    if row["differences"]:
        margin = tie_behind(logprobs, found["ids"], blank=recognizer.session.geometry.blank)
        row |= {"python": expected.text, "page": found["text"], "margin": margin}
    return row


def compare_files(page, recognizer, clips, *, paths):
    """Give the page files and compare each with Python's view of the clip; return the rows."""
    rows = []
    for clip, path, entry in zip(clips, paths, page.transcribe(paths), strict=True):
        if "error" in entry:
            raise LotteryError(f"{entry['name']}: the page says: {entry['error']['message']}")
        row = compare(recognizer, clip.samples, entry["result"])
        if row["differences"]:
            samples, rate = page.decode(path)
            row["same_samples"] = compare(recognizer, samples, entry["result"], rate=rate)
        rows.append({"clip": clip.name, "seconds": round(len(clip.samples) / SAMPLE_RATE_HZ, 2), **row})
    return rows


def compare_microphone(url, recognizer, clip, *, folder):
    """Play a clip to the page's microphone in real time; return a row with three comparisons."""
    silence = [np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32) for seconds in (LEAD_S, TAIL_S)]
    played = np.concatenate([silence[0], clip.samples, silence[1]])
    path = folder / "microphone.wav"
    soundfile.write(path, soxr.resample(played, SAMPLE_RATE_HZ, CARD_HZ), CARD_HZ, subtype="PCM_16")
    with Chromium(microphone=path) as browser:
        page = open_page(browser, url)
        heard = page.hear(len(played) / SAMPLE_RATE_HZ + PATIENCE_S)
    found = {"ids": heard["ids"], "text": " ".join(line["text"] for line in heard["lines"])}
    delayed = delay(played, like=heard["samples"])
    return {
        "clip": clip.name,
        "said": clip.text,
        "page": found["text"],
        "first_text_ms": heard["figures"]["firstTextMs"] and heard["figures"]["firstTextMs"]["p50"],
        "dropped_s": heard["figures"]["droppedS"],
        "same_samples": compare(recognizer, heard["samples"], found),
        "delayed_clip": compare(recognizer, delayed, found),
        "clip_alone": compare(recognizer, clip.samples, found),
    }


def open_page(browser, url):
    """Return the open Page, its model loaded."""
    page = Page(browser, url)
    _check_loaded(page.open())
    return page


def _check_loaded(app):
    if app["phase"] != "ready":
        raise LotteryError(f"the page does not load the bundle: {app['error']['message']}")


def measure(bundle, *, clips, num_microphone_clips, folder):
    """Run everything; return the details for the report."""
    precisions = [name for name, role in MODEL_ROLES.items() if role in Manifest.load(bundle, verify="used").files]
    resources = page_resources() | bundle_resources(bundle) | runtime_resources(runtime_files())
    exact = [folder / f"{number}.wav" for number in range(len(clips))]
    for path, clip in zip(exact, clips, strict=True):
        soundfile.write(path, clip.samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    results = {"exact": {}, "decoded": {}, "benchmark": {}, "microphone": []}
    with running(PageServer(resources)) as server:
        with Chromium() as browser:
            version = browser.call("Browser.getVersion")["product"]
            page = open_page(browser, server.url)
            for precision in precisions:
                print(f"{len(clips)} clips, {precision}", file=sys.stderr)
                _check_loaded(page.choose("precision", precision))
                recognizer = Recognizer(bundle, backend="onnxruntime", precision=precision)
                results["exact"][precision] = compare_files(page, recognizer, clips, paths=exact)
                paths = [clip.path for clip in clips]
                results["decoded"][precision] = compare_files(page, recognizer, clips, paths=paths)
                results["benchmark"][precision] = page.benchmark()
        # The page opens with the precision of its choice, as Python does.
        recognizer = Recognizer(bundle, backend="onnxruntime")
        for clip in clips[:: max(1, len(clips) // max(1, num_microphone_clips))][:num_microphone_clips]:
            print(f"microphone: {clip.name}", file=sys.stderr)
            results["microphone"].append(compare_microphone(server.url, recognizer, clip, folder=folder))
    return results | {"browser": version, "onnxruntime_web": pinned_version()}


def summarise(results):
    """Return the summary: clips, tokens that differ, and the page's times."""
    by_way = {way: [row for rows in results[way].values() for row in rows] for way in ("exact", "decoded")}
    spoken = results["microphone"]
    summary = {
        "browser_clips": len(next(iter(results["exact"].values()))),
        "browser_tokens": sum(row["tokens"] for row in by_way["exact"]),
        "browser_token_differences": sum(row["differences"] for row in by_way["exact"]),
        "browser_most_differences_a_clip": max(row["differences"] for row in by_way["exact"]),
        "browser_decoded_token_differences": sum(row["differences"] for row in by_way["decoded"]),
        "browser_decoded_most_differences_a_clip": max(row["differences"] for row in by_way["decoded"]),
        "microphone_clips": len(spoken),
        "microphone_tokens": sum(row["same_samples"]["tokens"] for row in spoken),
    }
    for reference in ("same_samples", "delayed_clip", "clip_alone"):
        differences = [row[reference]["differences"] for row in spoken]
        summary[f"microphone_differences_{reference}"] = sum(differences)
        summary[f"microphone_most_differences_{reference}"] = max(differences, default=0)
    # The same sound, other tokens, and no near tie behind it.
    same = [row["same_samples"] for row in (*by_way["exact"], *by_way["decoded"], *spoken) if "same_samples" in row]
    summary["unexplained_clips"] = sum(
        row["differences"] > 0 and (row["margin"] is None or row["margin"] > NEAR_TIE) for row in same
    )
    for precision, result in results["benchmark"].items():
        for name in ("p50", "p95"):
            summary[f"chunk_ms_{name}_{precision}"] = result["chunk_ms"][name]
    return summary


def _print(results, summary):
    rows = []
    for way in ("exact", "decoded"):
        for precision, found in results[way].items():
            rows += [(way, precision, row["clip"], row["python"], row["page"], _margin(row)) for row in found
                     if row["differences"]]  # fmt: skip
    for row in results["microphone"]:
        for reference in ("same_samples", "delayed_clip", "clip_alone"):
            if row[reference]["differences"]:
                compared = row[reference]
                rows.append((reference, "", row["clip"], compared["python"], row["page"], _margin(compared)))
    if rows:
        header = ("way", "precision", "clip", "Python", "page", "ln p between")
        print(Table(header=header, rows=tuple(rows)).text(), end="\n\n")
    print("\n".join(f"{name}: {value}" for name, value in summary.items()))


def _margin(row):
    return "-" if row["margin"] is None else f"{row['margin']:.3f}"


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.browser",
        description="Compare the page of demo.web with the Python runtime; writes benchmarks/results/browser.json.",
        examples="  python -m benchmarks.browser bundles/an4 --data-dir ../shared/data",
    )
    parser.add_argument(
        "bundle", type=Path, nargs="?", help="directory that lottery-export wrote (default: the one that comes along)"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="AN4, or a folder of corpora with it")
    parser.add_argument("--clips", type=positive_int, default=NUM_CLIPS, metavar="N", help="clips (%(default)s)")
    parser.add_argument(
        "--microphone-clips",
        type=positive_int,
        default=NUM_MICROPHONE_CLIPS,
        metavar="N",
        help="clips through the microphone, in real time (%(default)s)",
    )
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where browser.json goes")
    arguments = parser.parse_args(argv)
    bundle = arguments.bundle or shipped_bundle()
    if find_chromium() is None:
        raise LotteryError("Chromium is not installed", hint="apt-get install chromium")
    clips = choose_clips(arguments.data_dir, count=arguments.clips)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        results = measure(bundle, clips=clips, num_microphone_clips=arguments.microphone_clips, folder=folder)
    summary = summarise(results)
    _print(results, summary)
    details = {
        "bundle": relative(str(bundle)),
        "manifest_sha256": sha256_file(bundle / MANIFEST_NAME),
        "near_tie": NEAR_TIE,
        **results,
    }
    path = write_result("browser", summary=summary, details=details, threads=1, folder=arguments.results)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the comparison; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
