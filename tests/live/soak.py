"""A long session of lottery-listen at several times real time: is its last minute like its first?

    python -m tests.live.soak bundles/an4 --minutes 60                 an hour in 7.5 minutes
    python -m tests.live.soak bundles/an4 --audio a.wav --minutes 5

Plays one clip again and again into a virtual microphone and watches the text, the memory and the delay. Prints JSON.
"""

import argparse
import json
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

from runtime.recognizer import Recognizer
from tests.live.virtual_microphone import VirtualMicrophone, listening, missing
from tests.tiny_bundle import speak

RATE = 16000
# A whole number of chunks of 160 ms, of microphone blocks of 30 ms and of feeder blocks: every turn is cut alike.
PERIOD_S = 4.8
_WINDOW_S = 60.0


def tone_clip():
    """Return one turn of the tiny bundle's words with a pause behind: float32 (PERIOD_S * RATE,)."""
    clip = np.zeros(round(PERIOD_S * RATE), np.float32)
    words = speak("cab bad")
    clip[: len(words)] = words
    return clip


def soak(bundle, *, clip, duration_s, speed=8.0):
    """Play the clip for duration_s seconds of audio; return plain figures.

    Args:
        bundle: path of a bundle directory.
        clip: float32 (n,), 16 kHz, some silence at its end.
        duration_s: seconds of audio in all.
        speed: seconds of audio a second.
    Returns:
        dict: audio_s, speed, lines and wrong_lines (that differ from the first), dropped_samples, num_overflows,
        most_behind_s; rss_first_mb and rss_last_mb, medians of the second and of the last tenth, and rss_growth_mb;
        latency_first_ms, latency_last_ms and latency_ratio: from a sample said to the event that its chunk brought,
        medians of the first and the last minute of audio; lag_first_s and lag_last_s: audio heard when a line was
        final less its last word's time, every value of these minutes, in audio time: no clock is in them.
    """
    repeats = round(duration_s / (len(clip) / RATE))
    events, rss = [], []
    with VirtualMicrophone(speed=speed) as microphone:
        arguments = (bundle, "--device", microphone.device, "--rate", RATE, "--jsonl")
        with listening(microphone, *arguments) as process:
            reader = threading.Thread(target=_read, args=(process.stdout, events))
            reader.start()
            # Its notes must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            while not events:
                if process.poll() is not None:
                    raise RuntimeError(f"lottery-listen ended with status {process.returncode}")
                time.sleep(0.05)
            microphone.play(clip, repeats=repeats)
            while not microphone.is_silent:
                rss.append(_rss_mb(process.pid))
                time.sleep(0.25)
            time.sleep(1.0)
            process.terminate()
            reader.join()
        return _figures(events, rss=rss, microphone=microphone, clip=clip, bundle=bundle, speed=speed)


def _read(lines, events):
    for line in lines:
        events.append((time.perf_counter(), json.loads(line)))


def _rss_mb(process_id):
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process_id} ended")


def _figures(events, *, rss, microphone, clip, bundle, speed):
    finals = [event for _, event in events if event["type"] == "final"]
    end = events[-1][1]
    # The clip's first word ties the session's clock, which begins when the stream opens, to the microphone's.
    first_word = Recognizer(bundle).transcribe(clip).words[0]
    offset_s = microphone.begin_s + first_word.start_s - finals[0]["words"][0]["start_s"]
    heard = [(event["heard_s"], at, event) for at, event in events if event["type"] in ("partial", "final")]
    begin_s, last_s = heard[0][0], heard[-1][0]
    window_s = min(_WINDOW_S, (last_s - begin_s) / 3)
    first = [entry for entry in heard if entry[0] <= begin_s + window_s]
    last = [entry for entry in heard if entry[0] >= last_s - window_s]
    latency_first, latency_last = (
        float(np.median([at - microphone.said_at(heard_s + offset_s) for heard_s, at, _ in part])) * 1e3
        for part in (first, last)
    )
    tenth = max(1, len(rss) // 10)
    rss_first, rss_last = float(np.median(rss[tenth : 2 * tenth])), float(np.median(rss[-tenth:]))
    return {
        "audio_s": end["heard_s"],
        "speed": speed,
        "lines": len(finals),
        "wrong_lines": sum(final["text"] != finals[0]["text"] for final in finals),
        "text": finals[0]["text"],
        "dropped_samples": round(end["dropped_s"] * RATE),
        "num_overflows": end["num_overflows"],
        "most_behind_s": end["most_behind_s"],
        "rss_first_mb": round(rss_first, 2),
        "rss_last_mb": round(rss_last, 2),
        "rss_growth_mb": round(rss_last - rss_first, 2),
        "latency_first_ms": round(latency_first, 2),
        "latency_last_ms": round(latency_last, 2),
        "latency_ratio": round(latency_last / latency_first, 3),
        "lag_first_s": _lags(first),
        "lag_last_s": _lags(last),
    }


def _lags(part):
    return sorted({round(heard_s - event["end_s"], 3) for heard_s, _, event in part if event["type"] == "final"})


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.live.soak", description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=8.0, help="times real time (default: %(default)s)")
    parser.add_argument("--audio", help="16 kHz clip (default: tones, for the bundle of the tests)")
    arguments = parser.parse_args()
    if missing():
        parser.error(missing())
    clip = tone_clip()
    if arguments.audio:
        samples, rate = soundfile.read(arguments.audio, dtype="float32")
        if rate != RATE or samples.ndim != 1:
            parser.error(f"{arguments.audio}: expected mono at {RATE} Hz")
        periods = int(np.ceil((len(samples) / RATE + 2.0) / PERIOD_S))
        clip = np.pad(samples, (0, round(periods * PERIOD_S * RATE) - len(samples)))
    figures = soak(arguments.bundle, clip=clip, duration_s=60 * arguments.minutes, speed=arguments.speed)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
