"""A sound file in the place of a microphone: its pace, its drops, its end."""

import threading
import time

import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, LotteryError
from runtime.microphone import ReplaySource
from tests.tiny_bundle import speak


@pytest.fixture
def clip(tmp_path):
    samples = speak("cab", sample_rate_hz=44100)
    soundfile.write(tmp_path / "clip.wav", samples, 44100, subtype="FLOAT")
    return tmp_path / "clip.wav", samples


@pytest.mark.parametrize("speed", [0, 50])
def test_a_replay_delivers_the_file_through_the_queue(clip, speed):
    path, samples = clip
    with ReplaySource(path, speed=speed) as source:
        assert source.sample_rate_hz == 44100
        blocks = list(source.blocks())
    assert max(map(len, blocks)) == round(0.03 * 44100)
    assert np.array_equal(np.concatenate(blocks), samples)
    assert (source.num_overflows, source.dropped_s) == (0, 0)


def test_a_replay_keeps_the_pace_of_a_microphone(clip):
    path, samples = clip
    begin = time.monotonic()
    with ReplaySource(path, speed=4) as source:
        list(source.blocks())
    # Never early: that is what pacing promises. How late depends on the machine.
    assert time.monotonic() - begin >= len(samples) / 44100 / 4


def test_a_replay_drops_like_a_microphone_when_nobody_reads(clip):
    path, samples = clip
    with ReplaySource(path, speed=1000, queue_s=0.3) as source:
        source._thread.join()
        assert source.behind_s == pytest.approx(0.3)
        blocks = list(source.blocks())
    kept = np.concatenate(blocks)
    assert len(blocks) == 10
    assert np.array_equal(kept, samples[: len(kept)])
    assert source.dropped_s > 0.3


def test_an_unpaced_replay_waits_for_its_reader(clip):
    path, samples = clip
    heard = []
    with ReplaySource(path, speed=0, queue_s=0.06) as source:
        for block in source.blocks():
            time.sleep(0.001)
            heard.append(block)
            assert source.behind_s == 0, "as fast as it goes is never late"
    assert np.array_equal(np.concatenate(heard), samples)
    assert source.dropped_s == 0


@pytest.mark.parametrize("speed", [0, 0.1])
def test_a_replay_can_be_stopped(clip, speed):
    path, _ = clip
    before = threading.active_count()
    with ReplaySource(path, speed=speed, queue_s=0.06) as source:
        next(source.blocks())
        source.stop()
        list(source.blocks())
    assert threading.active_count() == before


def test_a_replay_of_a_damaged_file_ends_with_its_error(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 64000)
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    heard = []
    with ReplaySource(tmp_path / "a.flac", speed=0) as source, pytest.raises(AudioError, match="a.flac"):
        heard.extend(source.blocks())
    assert sum(map(len, heard)) > 10000


def test_a_replay_whose_thread_fails_ends_with_its_error(clip):
    with ReplaySource(clip[0], speed=0) as source:
        source.rest(is_urgent=lambda block: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(source.blocks())
    assert not source._thread.is_alive()


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_an_impossible_speed_is_refused(clip, speed):
    with pytest.raises(LotteryError, match="speed"):
        ReplaySource(clip[0], speed=speed)
