"""Audio as it happens, whatever it comes from, through a bounded queue."""

import collections
import threading
import time

import numpy as np

BLOCK_S = 0.03
QUEUE_S = 10.0
POLL_S = 0.1


class BlockQueue:
    """A bounded queue of audio blocks between the audio thread and the recogniser; put() never waits.

    Args:
        max_blocks: blocks it holds; further ones are dropped, and counted, until the reader catches up.
    """

    def __init__(self, max_blocks):
        self._blocks = collections.deque()
        self._max_blocks = max_blocks
        self._changed = threading.Condition()
        self._error = None
        self.is_closed = False
        self.num_dropped = 0

    def __len__(self):
        """Return how many blocks wait for the reader."""
        return len(self._blocks)

    def put(self, block):
        """Add a block, or drop and count it when the queue is full."""
        with self._changed:
            if self.is_closed:
                return
            if len(self._blocks) >= self._max_blocks:
                self.num_dropped += 1
                return
            self._blocks.append(block)
            self._changed.notify()

    def wait_for_room(self):
        """Wait until a block fits, or the queue is closed."""
        while len(self._blocks) >= self._max_blocks and not self.is_closed:
            time.sleep(0.001)

    def close(self, error=None):
        """Let the reader end, with `error` if given, after the blocks that are in the queue.

        Takes no lock, so that a signal handler may call it while the reader holds one.
        """
        self._error = self._error or error
        self.is_closed = True

    def get(self, *, timeout_s):
        """Return the oldest block, or None after timeout_s seconds or when the queue is closed and empty."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._blocks:
                remaining = deadline - time.monotonic()
                if self.is_closed or remaining <= 0:
                    return None
                # In slices: close() does not notify, and on Windows only a wait that ends lets Ctrl-C through.
                self._changed.wait(min(remaining, POLL_S))
            return self._blocks.popleft()

    def raise_error(self):
        """Raise the error that close() was given, if any."""
        if self._error is not None:
            raise self._error


class Source:
    """Audio as it happens; a context manager that starts and stops it.

    Args:
        name: what is heard, for people.
        sample_rate_hz: rate of the blocks.
        block_s: seconds a block.
        queue_s: seconds of audio that wait at most for a recogniser that does not keep up; more is dropped.
    Attributes:
        num_overflows: times the audio system reported that it lost samples.
        is_lost: the device is gone, and may come back; blocks() yields empty blocks meanwhile.
        num_gaps, gap_s: times it came back, and the seconds in all that were not recorded.
    """

    def __init__(self, name, *, sample_rate_hz, block_s, queue_s):
        self.name = name
        self.sample_rate_hz = sample_rate_hz
        self.num_overflows = 0
        self.is_lost = False
        self.num_gaps, self.gap_s = 0, 0.0
        self._block_s = block_s
        self._queue = BlockQueue(max(1, round(queue_s / block_s)))

    @property
    def dropped_s(self):
        """Seconds lost to a full queue."""
        return self._queue.num_dropped * self._block_s

    @property
    def behind_s(self):
        """Seconds of audio that wait for the recogniser: how far it is behind what is being said."""
        return len(self._queue) * self._block_s

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self.stop()
        self._join()

    def stop(self):
        """End the source; blocks() still yields what was recorded. Safe to call from a signal handler."""
        self._queue.close()

    def blocks(self):
        """Yield float32 (n,) mono blocks until the source ends or stop() is called.

        While is_lost they are empty, about ten a second, so that the reader can show it.

        Raises:
            LotteryError: the source failed; whatever came before it was yielded.
        """
        while True:
            block = self._queue.get(timeout_s=POLL_S)
            if block is not None:
                mono = block if block.ndim == 1 else block.mean(axis=1)
                # Some drivers deliver garbage while they start; it must not end the session.
                yield np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
            elif self._queue.is_closed:
                self._queue.raise_error()
                return
            else:
                self._check_alive()
                if self.is_lost:
                    yield np.zeros(0, np.float32)

    def _start(self):
        raise NotImplementedError

    def _join(self):
        """Release what _start() acquired."""

    def _check_alive(self):
        """Called while no audio comes: get a source back that died without saying so, or close the queue."""
