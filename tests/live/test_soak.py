"""A long session through a virtual microphone at eight times real time.

Three minutes of audio by default; LOTTERY_SOAK_S=3600 makes it an hour, which takes 7.5 minutes.
"""

import os

from tests.live.soak import PERIOD_S, soak, tone_clip


def test_the_last_minute_is_like_the_first(virtual_microphone, bundle, record_property):
    duration_s = float(os.environ.get("LOTTERY_SOAK_S", "180"))
    figures = soak(bundle, clip=tone_clip(), duration_s=duration_s)
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert figures["lines"] == round(duration_s / PERIOD_S)
    assert (figures["text"], figures["wrong_lines"]) == ("cab bad", 0)
    assert (figures["dropped_samples"], figures["num_overflows"]) == (0, 0)
    # A leak of one block's samples would be 11 MB in three minutes. On a busy machine the queue fills up to 0.6 MB, and
    # the allocator keeps what it has held: it moves in steps of half a megabyte.
    assert figures["rss_growth_mb"] < 2.0
    # In audio time, so that no clock decides: a line is final as many samples after its last word as ever.
    assert figures["lag_first_s"] == figures["lag_last_s"]
    assert len(figures["lag_first_s"]) == 1
    assert len(figures["timeline"]) == min(60, figures["lines"] // 2)
    # The microphone was on before the first line, and behind the last.
    assert duration_s - PERIOD_S < figures["timeline"][-1]["heard_s"] <= figures["audio_s"]
