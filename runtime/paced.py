"""What a person in front of a microphone waits for: a clip at the pace of speech, in packets, and the field's figures.

Source of the terms: Shangguan, Knister, He, McGraw, Beaufays, "Analyzing the quality and stability of a streaming
end-to-end on-device speech recognizer", Interspeech 2020 (partial latency, finalisation, unstable partial words).
"""

import collections
import time
from dataclasses import dataclass

import numpy as np

from runtime.endpoint import Endpointer
from runtime.features import SAMPLE_RATE_HZ
from runtime.latency import percentiles
from runtime.source import QUEUE_S
from runtime.stability import StableText
from runtime.word_errors import paired_difference

PACKET_S = 0.1


@dataclass(frozen=True, kw_only=True)
class PacedTiming:
    """One pass over a clip at the pace of a microphone. Words and their times are those of the final result.

    Args:
        first_chunk_s: from the first sample spoken to the first decoded chunk.
        first_partial_s: from the first sample spoken to the first text; None if the clip brings none before its end.
        partial_delay_s: from the moment the first word begins to its first text, or None.
        first_stable_s: from the first sample spoken to the first settled word; None if none settles before the end.
        stable_delay_s: from the moment the first word begins to the first settled word, or None.
        word_lags_s: for each word that was shown before the end as it came to stay, from its own end to that moment.
        finalisation_s: from the last sample spoken to the final result.
        endpoint_s: from the end of the last word to the result that an endpoint rule made final, in silence after the
            clip; None where no rules were given or no word was recognised.
        lag_s: how far the recogniser fell behind the microphone at worst.
        num_shown_words: word versions shown; a word that grows at its end stays one.
        num_changed_words: those that were replaced or taken back later.
        num_contradicted_words: settled words that the final result has otherwise.
        dropped_s: audio that a queue of QUEUE_S would have dropped.
        audio_s: length of the clip.
        text: the final text.
    """

    first_chunk_s: float | None
    first_partial_s: float | None
    partial_delay_s: float | None
    first_stable_s: float | None
    stable_delay_s: float | None
    word_lags_s: tuple[float, ...]
    finalisation_s: float
    endpoint_s: float | None
    lag_s: float
    num_shown_words: int
    num_changed_words: int
    num_contradicted_words: int
    dropped_s: float
    audio_s: float
    text: str


class _Shown:
    """What stood on the display when, and how often it changed."""

    def __init__(self):
        self._words, self.num_changed, self.num_versions = (), 0, 0
        self._since_s, self.first_stable_s, self._settled = [], None, ()

    def add(self, partial, *, now_s):
        """Take a Partial at a moment."""
        words = tuple(word.text for word in partial.words)
        for index, text in enumerate(words):
            before = self._words[index] if index < len(self._words) else None
            if text == before:
                continue
            is_growth = before is not None and index == len(self._words) - 1 and text.startswith(before)
            self.num_versions += not is_growth
            self.num_changed += before is not None and not is_growth
            self._since_s[index : index + 1] = [now_s]
        self.num_changed += max(0, len(self._words) - len(words))
        del self._since_s[len(words) :]
        self._words = words
        self._settled = words[: partial.num_stable]
        if self._settled and self.first_stable_s is None:
            self.first_stable_s = now_s

    def lags_s(self, words):
        """Return the delay of each final word that stood there when the speech ended."""
        shown = zip(self._words, self._since_s, words, strict=False)
        return tuple(since_s - word.end_s for text, since_s, word in shown if text == word.text)

    def num_contradicted(self, words):
        """Count settled words that are not where and what the final words are."""
        final = [word.text for word in words]
        return sum(index >= len(final) or final[index] != text for index, text in enumerate(self._settled))


def time_paced(recognizer, *, samples, packet_s=PACKET_S, rules=None, clock=time.perf_counter, sleep=time.sleep):
    """Recognise the clip as it would arrive from a microphone.

    A packet is handed over when its last sample has been spoken, so the packet's own length is part of every latency.

    Args:
        recognizer: Recognizer.
        samples: float32 (n,), 16 kHz mono.
        packet_s: length of a packet.
        rules: EndpointRules; with them the clip is played a second time, with silence behind, for `endpoint_s`.
        clock, sleep: the time to live by.
    Returns:
        PacedTiming.
    """
    stream, stable, shown = recognizer.stream(), StableText(), _Shown()
    first_chunk_s = first_partial_s = None
    lag_s = dropped_s = 0.0
    taken_s = collections.deque(maxlen=round(QUEUE_S / packet_s))
    start = clock()
    for spoken_s, packet in _packets(samples, packet_s=packet_s):
        # A full queue of packets that were still to be taken when this one came.
        if len(taken_s) == taken_s.maxlen and taken_s[0] > spoken_s:
            dropped_s += len(packet) / SAMPLE_RATE_HZ
            continue
        _wait_until(start + spoken_s, clock=clock, sleep=sleep)
        taken_s.append(clock() - start)
        has_new = stream.accept(packet)
        if has_new:
            partial = stable.update(stream.result(), silence_s=stream.silence_s)
        now_s = clock() - start
        lag_s = max(lag_s, now_s - spoken_s)
        if has_new:
            first_chunk_s = now_s if first_chunk_s is None else first_chunk_s
            first_partial_s = now_s if first_partial_s is None and partial.text else first_partial_s
            shown.add(partial, now_s=now_s)
    final = stream.finish()
    finalisation_s = clock() - start - len(samples) / SAMPLE_RATE_HZ
    begin_s = final.words[0].start_s if final.words else None
    has_partial = first_partial_s is not None and begin_s is not None
    has_stable = shown.first_stable_s is not None and begin_s is not None
    lags_s, num_contradicted = shown.lags_s(final.words), shown.num_contradicted(final.words)
    # The end is one more display: what it replaces was changed.
    num_versions = shown.num_versions
    shown.add(_LastPartial(final.words), now_s=finalisation_s)
    return PacedTiming(
        first_chunk_s=first_chunk_s,
        first_partial_s=first_partial_s,
        partial_delay_s=first_partial_s - begin_s if has_partial else None,
        first_stable_s=None if not has_stable else shown.first_stable_s,
        stable_delay_s=shown.first_stable_s - begin_s if has_stable else None,
        word_lags_s=lags_s,
        finalisation_s=finalisation_s,
        endpoint_s=_time_endpoint(
            recognizer, samples=samples, packet_s=packet_s, rules=rules, clock=clock, sleep=sleep
        ),
        lag_s=lag_s,
        num_shown_words=num_versions,
        num_changed_words=shown.num_changed,
        num_contradicted_words=num_contradicted,
        dropped_s=dropped_s,
        audio_s=len(samples) / SAMPLE_RATE_HZ,
        text=final.text,
    )


@dataclass(frozen=True)
class _LastPartial:
    words: tuple
    num_stable: int = 0


def _packets(samples, *, packet_s):
    """Yield (seconds at which its last sample is spoken, packet)."""
    length = round(packet_s * SAMPLE_RATE_HZ)
    for first in range(0, len(samples), length):
        packet = samples[first : first + length]
        yield (first + len(packet)) / SAMPLE_RATE_HZ, packet


def _wait_until(moment, *, clock, sleep):
    wait_s = moment - clock()
    if wait_s > 0:
        sleep(wait_s)


def _time_endpoint(recognizer, *, samples, packet_s, rules, clock, sleep):
    """Return the seconds from the end of the last word to the endpoint behind it, or None."""
    if rules is None:
        return None
    stream = recognizer.stream()
    endpointer = Endpointer(stream, rules=rules)
    silence = np.zeros(round((rules.silence_s + 5.0) * SAMPLE_RATE_HZ), np.float32)
    start, last_word_s = clock(), None
    for spoken_s, packet in _packets(np.concatenate([samples, silence]), packet_s=packet_s):
        _wait_until(start + spoken_s, clock=clock, sleep=sleep)
        if stream.accept(packet):
            segment = endpointer.poll()
            if segment is not None and segment.words:
                last_word_s = segment.words[-1].end_s
                if spoken_s * SAMPLE_RATE_HZ > len(samples):
                    return clock() - start - last_word_s
    return None


def summarise(timings, *, references=None, offline_texts=None, seed=0):
    """Return the latency report of many clips: a dict of plain numbers, times in milliseconds.

    Args:
        timings: list of PacedTiming.
        references, offline_texts: for each clip what was said, and what the whole clip at once is recognised as; with
            both the report tells what streaming costs.
        seed: of the bootstrap.
    Returns:
        dict: `first_partial_ms`, `first_stable_ms` (both from the beginning of the first word), `partial_lag_ms` (over
        words), `finalisation_ms`, `endpoint_ms`: each as `percentiles` returns it; `changed_word_share` of the words
        shown, `contradicted_words`, `dropped_samples`, `most_lag_ms`, `audio_s`; with texts `stream_wer`,
        `offline_wer`, `stream_minus_offline_wer` and its `stream_minus_offline_wer_interval`, as fractions.
    Raises:
        ValueError: the lists differ in length.
    """
    num_shown = sum(timing.num_shown_words for timing in timings)
    report = {
        "first_partial_ms": _percentiles_ms(timing.partial_delay_s for timing in timings),
        "first_stable_ms": _percentiles_ms(timing.stable_delay_s for timing in timings),
        "partial_lag_ms": _percentiles_ms(lag_s for timing in timings for lag_s in timing.word_lags_s),
        "finalisation_ms": _percentiles_ms(timing.finalisation_s for timing in timings),
        "endpoint_ms": _percentiles_ms(timing.endpoint_s for timing in timings),
        "changed_word_share": sum(timing.num_changed_words for timing in timings) / num_shown if num_shown else None,
        "contradicted_words": sum(timing.num_contradicted_words for timing in timings),
        "dropped_samples": round(sum(timing.dropped_s for timing in timings) * SAMPLE_RATE_HZ),
        "most_lag_ms": max((1e3 * timing.lag_s for timing in timings), default=None),
        "audio_s": sum(timing.audio_s for timing in timings),
    }
    if references is not None and offline_texts is not None:
        stream_texts = [timing.text for timing in timings]
        found = paired_difference(offline_texts, stream_texts, references=references, seed=seed)
        report["offline_wer"], report["stream_wer"] = found.first_wer, found.second_wer
        report["stream_minus_offline_wer"] = found.difference
        report["stream_minus_offline_wer_interval"] = list(found.interval)
    return report


def _percentiles_ms(values_s):
    return percentiles([1e3 * value_s for value_s in values_s if value_s is not None])
