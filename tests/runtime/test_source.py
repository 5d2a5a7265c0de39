"""The queue between the audio thread and the recogniser."""

import threading

import numpy as np
import pytest

from runtime.errors import DeviceError
from runtime.source import BlockQueue, Source, mono


def test_the_queue_waits_no_longer_than_told_and_ends_when_closed():
    queue = BlockQueue(2)
    assert queue.get(timeout_s=0.01) is None
    queue.put("a")
    queue.close(DeviceError("gone"))
    queue.put("b")
    assert queue.get(timeout_s=10) == "a"
    assert queue.get(timeout_s=10) is None
    with pytest.raises(DeviceError, match="gone"):
        queue.raise_error()


def test_the_queue_wakes_a_waiting_reader():
    queue, heard = BlockQueue(2), []
    reader = threading.Thread(target=lambda: heard.append(queue.get(timeout_s=60)))
    reader.start()
    queue.put("a")
    reader.join(timeout=30)
    assert heard == ["a"]


def test_a_last_block_that_comes_as_the_reader_gives_up_is_heard(monkeypatch):
    source = Source("x", sample_rate_hz=16000, block_s=0.1, queue_s=10)
    get = source._queue.get

    def late(*, timeout_s):
        block = get(timeout_s=0.01)
        if not source._queue.is_closed:
            source._put("last")
            source.stop()
        return block

    monkeypatch.setattr(source._queue, "get", late)
    assert list(source.blocks()) == ["last"]


@pytest.mark.parametrize("num_channels", range(1, 8))
def test_channels_are_averaged_and_what_is_no_number_is_silence(num_channels):
    samples = np.random.default_rng(0).normal(size=(4801, num_channels)).astype(np.float32)
    kept = samples.copy()
    mixed = mono(samples)
    assert np.array_equal(mixed, samples.mean(axis=1))
    assert mixed.dtype == np.float32
    mixed[:] = 0
    assert np.array_equal(samples, kept), "the buffer is the device's"
    samples[7, 0], samples[9, -1] = np.nan, np.inf
    expected = kept.mean(axis=1)
    expected[[7, 9]] = 0
    assert np.array_equal(mono(samples), expected)
