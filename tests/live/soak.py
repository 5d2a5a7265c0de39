"""A long session of lottery-listen at several times real time: is its last minute like its first?

    python -m tests.live.soak bundles/an4 --minutes 60                 an hour in 7.5 minutes
    python -m tests.live.soak bundles/an4 --audio a.wav --minutes 5

Plays one clip again and again into a virtual microphone and watches the text, the memory and the delay. Prints JSON.
"""

import argparse
import collections
import itertools
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.live.virtual_microphone import VirtualMicrophone, listening, missing
from tests.tiny_bundle import speak

RATE = 16000
# A whole number of chunks of 160 ms, of microphone blocks of 30 ms and of feeder blocks: every turn is cut alike.
PERIOD_S = 4.8
# The same for chunks of 640 ms.
_LONG_PERIOD_S = 1.92
_WINDOW_S = 60.0
_NUM_PARTS = 60
# After the last line; and where lines are missing, or a busy machine keeps us waiting.
_QUIET_S = 1.0
_PATIENCE_S = 15.0


def tone_clip():
    """Return one turn of the tiny bundle's words with a pause behind: float32 (PERIOD_S * RATE,)."""
    clip = np.zeros(round(PERIOD_S * RATE), np.float32)
    words = speak("cab bad")
    clip[: len(words)] = words
    return clip


def padded(samples):
    """Return a clip, float32 (n,) at RATE, with two seconds of silence or more behind: every turn is cut alike."""
    periods = int(np.ceil((len(samples) / RATE + 2.0) / _LONG_PERIOD_S))
    return np.pad(samples, (0, round(periods * _LONG_PERIOD_S * RATE) - len(samples)))


def soak(bundle, *, clip, duration_s, speed=8.0):
    """Play the clip for duration_s seconds of audio; return plain figures.

    Args:
        bundle: path of a bundle directory.
        clip: float32 (n,), 16 kHz, some silence at its end.
        duration_s: seconds of audio in all.
        speed: seconds of audio a second.
    Returns:
        dict: audio_s, speed, text, lines and wrong_lines: unlike the most frequent, which is the text; dropped_samples,
        num_overflows, most_behind_s; rss_first_mb and rss_last_mb, whenever something was shown, medians of the second
        and of the last tenth, and rss_growth_mb; latency_first_ms, latency_last_ms and latency_ratio: from the end of a
        word to the event that shows it, the audio system's own buffers included, medians of the first and the last
        minute of audio (too long by what was dropped before); work_first_ms and work_last_ms: the same from the newest
        sample heard; lag_first_s and lag_last_s: audio heard when a line was final less its last word's time, every
        value of these minutes, in audio time: no clock is in them; timeline: at most 60 parts of the session from the
        first word on, each with heard_s at its end, latency_ms and rss_mb, medians; missing_samples: said and not
        heard, since the sound server loses samples without a word; other_load: share of this machine's processors that
        other programs kept busy meanwhile.
    """
    repeats = round(duration_s / (len(clip) / RATE))
    begin_s, begin_busy_s, begin_own_s = time.monotonic(), _busy_s(), _own_s()
    events = []
    with tempfile.TemporaryDirectory() as kept, VirtualMicrophone(speed=speed) as microphone:
        arguments = (bundle, "--device", microphone.device, "--rate", RATE, "--jsonl", "--save", kept)
        with listening(microphone, *arguments) as process:
            reader = threading.Thread(target=_read, args=(process, events))
            reader.start()
            # Its notes must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            while not events:
                if process.poll() is not None:
                    raise RuntimeError(f"lottery-listen ended with status {process.returncode}")
                time.sleep(0.05)
            microphone.play(clip, repeats=repeats)
            microphone.wait(timeout_s=4 * duration_s / speed + _PATIENCE_S)
            _wait_for_lines(events, num_lines=repeats)
            process.terminate()
            reader.join()
        if events[-1][1]["type"] != "end":
            raise RuntimeError(f"lottery-listen ended early: {events[-1][1]}")
        offset_s, missing_samples = _compare(kept, clip=clip, repeats=repeats, microphone=microphone)
        figures = _figures(events, microphone=microphone, offset_s=offset_s, speed=speed)
    # Of programs that ended, too: lottery-listen and the sound server.
    other_s = _busy_s() - begin_busy_s - (_own_s() - begin_own_s)
    other_load = max(0.0, other_s) / (time.monotonic() - begin_s) / os.cpu_count()
    return {**figures, "missing_samples": missing_samples, "other_load": round(other_load, 3)}


def _read(process, events):
    """Append (time, event, resident memory then) for each line of lottery-listen."""
    for line in process.stdout:
        events.append((time.perf_counter(), json.loads(line), _rss_mb(process.pid)))


def _rss_mb(process_id):
    """Return megabytes, or None where the process has just ended."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except FileNotFoundError:
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def _busy_s():
    """Return the processor time that this machine has spent, by anybody and on all of its processors, seconds."""
    user, nice, system, _, _, interrupt, soft_interrupt, stolen, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")


def _own_s():
    return sum(os.times()[:4])


def _wait_for_lines(events, *, num_lines):
    """Wait for the lines of what was said; where audio was dropped there are fewer, and it gets quiet without them."""
    num_seen, quiet_since = -1, time.monotonic()
    while time.monotonic() - quiet_since < _PATIENCE_S:
        if len(events) > num_seen:
            num_seen, quiet_since = len(events), time.monotonic()
        has_all = sum(event["type"] == "final" for _, event, _ in events[:num_seen]) >= num_lines
        if has_all and time.monotonic() - quiet_since >= _QUIET_S:
            return
        time.sleep(0.05)


def _compare(folder, *, clip, repeats, microphone):
    """Compare the recording, which is bit by bit what was heard, with what was said.

    Returns:
        (offset_s, missing_samples): the microphone's position at the session's first sample; how many samples from the
        first sound of the first turn to the last of the last were not heard.
    """
    (path,) = Path(folder).glob("*.flac")
    begin, sounds = 0, []
    for block in soundfile.blocks(path, blocksize=RATE, dtype="float32"):
        inside = np.flatnonzero(block)
        sounds += [begin + int(index) for index in inside[[0, -1]]] if len(inside) else []
        begin += len(block)
    if not sounds:
        raise RuntimeError(f"{path}: nothing was recorded")
    first, last = np.flatnonzero(np.round(clip * 32768))[[0, -1]]
    said = (repeats - 1) * len(clip) + int(last - first)
    return microphone.begin_s - (sounds[0] - int(first)) / RATE, said - (sounds[-1] - sounds[0])


def _figures(events, *, microphone, offset_s, speed):
    heard = [(at, event) for at, event, _ in events if event["type"] in ("partial", "final")]
    finals = [event for _, event in heard if event["type"] == "final"]
    text, num_right = collections.Counter(final["text"] for final in finals).most_common(1)[0]
    words = list(_new_words(heard))
    # lottery-listen heard silence before: what the sound server held, and what it took to begin to play.
    begin_s, last_s = microphone.begin_s - offset_s, heard[-1][1]["heard_s"]
    window_s = min(_WINDOW_S, (last_s - begin_s) / 3)

    def median_ms(times, *, is_last):
        chosen = [
            at - microphone.said_at(said_s + offset_s)
            for at, heard_s, said_s in times
            if (heard_s >= last_s - window_s if is_last else heard_s <= begin_s + window_s)
        ]
        return round(1e3 * float(np.median(chosen)), 2)

    def lags(*, is_last):
        inside = [
            final
            for final in finals
            if (final["heard_s"] >= last_s - window_s if is_last else final["heard_s"] <= begin_s + window_s)
        ]
        return sorted({round(final["heard_s"] - final["end_s"], 3) for final in inside})

    newest = [(at, event["heard_s"], event["heard_s"]) for at, event in heard]
    latencies = [(heard_s, 1e3 * (at - microphone.said_at(said_s + offset_s))) for at, heard_s, said_s in words]
    memory = [(event["heard_s"], size) for _, event, size in events if "heard_s" in event and size is not None]
    tenth = max(1, len(memory) // 10)
    rss_first, rss_last = (
        float(np.median([size for _, size in part])) for part in (memory[tenth : 2 * tenth], memory[-tenth:])
    )
    latency_first_ms, latency_last_ms = (median_ms(words, is_last=is_last) for is_last in (False, True))
    _, end, _ = events[-1]
    return {
        "audio_s": end["heard_s"],
        "speed": speed,
        "lines": len(finals),
        "wrong_lines": len(finals) - num_right,
        "text": text,
        "dropped_samples": round(end["dropped_s"] * RATE),
        "num_overflows": end["num_overflows"],
        "most_behind_s": end["most_behind_s"],
        "rss_first_mb": round(rss_first, 2),
        "rss_last_mb": round(rss_last, 2),
        "rss_growth_mb": round(rss_last - rss_first, 2),
        "latency_first_ms": latency_first_ms,
        "latency_last_ms": latency_last_ms,
        "latency_ratio": round(latency_last_ms / latency_first_ms, 3),
        "work_first_ms": median_ms(newest, is_last=False),
        "work_last_ms": median_ms(newest, is_last=True),
        "lag_first_s": lags(is_last=False),
        "lag_last_s": lags(is_last=True),
        "timeline": _timeline(
            latencies, memory=memory, begin_s=begin_s, last_s=last_s, num_parts=min(_NUM_PARTS, len(finals) // 2)
        ),
    }


def _new_words(heard):
    """Yield (time of the event, audio heard, end of the word in it) for each word as it is shown first."""
    num_shown = 0
    for at, event in heard:
        for word in event["words"][num_shown:]:
            yield at, event["heard_s"], word["end_s"]
        num_shown = 0 if event["type"] == "final" else max(num_shown, len(event["words"]))


def _timeline(latencies, *, memory, begin_s, last_s, num_parts):
    """Return the parts of a session in which something was shown.

    Args:
        latencies, memory: lists of (heard_s of the event, value).
        begin_s, last_s: heard_s of the beginning of the first part and of the end of the last.
        num_parts: of equal length; two turns or more each, since the words of one wait differently for the end of
            their chunk.
    """
    edges = np.linspace(begin_s, last_s, max(1, num_parts) + 1)
    parts = []
    for begin_s, end_s in itertools.pairwise(edges):
        inside = [[value for at_s, value in each if begin_s < at_s <= end_s] for each in (latencies, memory)]
        if all(inside):
            latency_ms, rss_mb = (round(float(np.median(values)), 2) for values in inside)
            parts.append({"heard_s": round(float(end_s), 1), "latency_ms": latency_ms, "rss_mb": rss_mb})
    return parts


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
        clip = padded(samples)
    figures = soak(arguments.bundle, clip=clip, duration_s=60 * arguments.minutes, speed=arguments.speed)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
