"""A long session through a virtual microphone at eight times real time.

Three minutes of audio by default; LOTTERY_SOAK_S=3600 makes it an hour, which takes 7.5 minutes.
"""

import os
import types

import pytest

from tests.live.soak import PERIOD_S, _figures, soak, tone_clip

# Share of the processors that other programs take. On a machine that has nothing else to do, what is dropped
# is our affair.
_MAX_OTHER_LOAD = 0.25


def test_the_last_minute_is_like_the_first(virtual_microphone, bundle, record_property):
    duration_s = float(os.environ.get("LOTTERY_SOAK_S", "180"))
    figures = soak(bundle, clip=tone_clip(), duration_s=duration_s)
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    # A leak of one block's samples would be 11 MB in three minutes. On a busy machine the queue fills up to 0.6 MB, and
    # the allocator keeps what it has held: it moves in steps of half a megabyte.
    assert figures["rss_growth_mb"] < 2.0
    lost = {name: figures[name] for name in ("dropped_samples", "num_overflows", "missing_samples")}
    if any(lost.values()) and figures["other_load"] > _MAX_OTHER_LOAD:
        pytest.skip(
            f"memory is flat ({figures['rss_growth_mb']} MB), the rest cannot be told: {lost} while other programs "
            f"took {figures['other_load']:.0%} of this machine; let it rest"
        )
    assert not any(lost.values()), lost
    assert figures["lines"] == round(duration_s / PERIOD_S)
    assert (figures["text"], figures["wrong_lines"]) == ("cab bad", 0)
    # In audio time, so that no clock decides: a line is final as many samples after its last word as ever.
    assert figures["lag_first_s"] == figures["lag_last_s"]
    assert len(figures["lag_first_s"]) == 1
    assert len(figures["timeline"]) == min(60, figures["lines"] // 2)
    # The microphone was on before the first line, and behind the last.
    assert duration_s - PERIOD_S < figures["timeline"][-1]["heard_s"] <= figures["audio_s"]


def said(text, *, at_s, heard_s, kind="partial"):
    words = [{"word": word, "end_s": at_s} for word in text.split()]
    return {"type": kind, "text": text, "words": words, "end_s": at_s, "heard_s": heard_s}


@pytest.mark.parametrize("begin_s", [0.5, 11.2, 40.0])
def test_every_part_of_a_session_counts_however_long_the_microphone_was_on_before(begin_s):
    """Forty turns of 4.8 s at eight times real time are twenty parts, from the first turn on."""
    events = [(0.0, {"type": "start"}, 80.0), (1.0, said("", at_s=None, heard_s=0.09), 80.0)]
    for turn in range(40):
        end_s = begin_s + turn * PERIOD_S + 1.0
        events.append(((end_s + 0.16) / 8, said("cab bad", at_s=end_s, heard_s=end_s + 0.16), 90.0 + turn))
        events.append(((end_s + 1.4) / 8, said("cab bad", at_s=end_s, heard_s=end_s + 1.4, kind="final"), 90.0 + turn))
    end = {"heard_s": begin_s + 200, "dropped_s": 0.0, "num_overflows": 0, "most_behind_s": 0.1}
    events.append((30.0, {"type": "end", **end}, None))
    # Its positions are those of the session, and three seconds that nobody recorded.
    microphone = types.SimpleNamespace(begin_s=begin_s + 3.0, said_at=lambda position_s: (position_s - 3.0) / 8)
    figures = _figures(events, microphone=microphone, offset_s=3.0, speed=8.0)
    assert len(figures["timeline"]) == 20
    assert [part["rss_mb"] for part in figures["timeline"]] == [90.5 + 2 * index for index in range(20)]
    assert {part["latency_ms"] for part in figures["timeline"]} == {20.0}
    assert (figures["latency_first_ms"], figures["latency_last_ms"]) == (20.0, 20.0)
    assert (figures["lag_first_s"], figures["lag_last_s"]) == ([1.4], [1.4])
    assert (figures["lines"], figures["wrong_lines"], figures["text"]) == (40, 0, "cab bad")
