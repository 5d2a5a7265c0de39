"""The queue between the audio thread and the recogniser."""

import threading

import pytest

from runtime.errors import DeviceError
from runtime.source import BlockQueue


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
