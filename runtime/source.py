"""Audio as it happens, whatever it comes from, through a bounded queue."""

import collections
import contextlib
import math
import queue
import time

import numpy as np

BLOCK_S = 0.03
QUEUE_S = 10.0
POLL_S = 0.1
# How late blocks may be while nobody waits for them: each time the reader wakes up costs more than the blocks it finds.
REST_S = 0.5


class BlockQueue:
    """A bounded queue of audio blocks between one audio thread and the recogniser; put() never waits.

    Args:
        max_blocks: blocks it holds; further ones are dropped, and counted, until the reader catches up.
    """

    def __init__(self, max_blocks):
        self._blocks = collections.deque()
        self._max_blocks = max_blocks
        # At most one token, for a reader that sleeps. Unlike a Condition's lock, a signal handler may use it.
        self._token = queue.SimpleQueue()
        # Blocks that the reader has woken up to and not yet taken.
        self._num_found = 0
        self._error = None
        self.is_closed = False
        self.num_dropped = 0

    def __len__(self):
        """Return how many blocks wait for the reader."""
        return len(self._blocks)

    def put(self, block, *, is_urgent=True):
        """Add a block, or drop and count it when the queue is full.

        One that is not urgent does not wake the reader, unless the queue is half full.
        """
        if self.is_closed:
            return
        if len(self._blocks) >= self._max_blocks:
            self.num_dropped += 1
            return
        self._blocks.append(block)
        if is_urgent or len(self._blocks) > self._max_blocks / 2:
            self.wake()

    def wake(self):
        """Let the reader look at once at what is there; takes no lock."""
        if self._token.empty():
            self._token.put(None)

    def wait_for_room(self):
        """Wait until a block fits, or the queue is closed."""
        while len(self._blocks) >= self._max_blocks and not self.is_closed:
            time.sleep(0.001)

    def close(self, error=None):
        """Let the reader end, with `error` if given, after the blocks that are in the queue.

        Takes no lock, so that a signal handler may call it while the reader waits.
        """
        self._error = self._error or error
        self.is_closed = True
        self.wake()

    def get(self, *, timeout_s):
        """Return the oldest block, or None after timeout_s seconds or when the queue is closed and empty.

        A block that was not urgent is there after timeout_s, or with an urgent one behind it.
        """
        deadline = time.monotonic() + timeout_s
        while not self._num_found:
            if not self.is_closed:
                # On Windows only a wait that ends lets Ctrl-C through.
                with contextlib.suppress(queue.Empty):
                    self._token.get(timeout=max(0.0, deadline - time.monotonic()))
            is_over = self.is_closed or time.monotonic() >= deadline
            self._num_found = len(self._blocks)
            if is_over and not self._num_found:
                return None
        self._num_found -= 1
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
        self._is_urgent = None

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

    def rest(self, *, is_urgent):
        """Let blocks() come late, by REST_S at most, while no block is urgent: one wake-up for many blocks.

        Args:
            is_urgent: function of a block that says whether it shall be heard at once, with those before it. It is
                called in the audio thread. None ends the rest.
        """
        self._is_urgent = is_urgent
        if is_urgent is None:
            # Nobody was woken for those that came before this.
            self._queue.wake()

    def blocks(self):
        """Yield float32 (n,) mono blocks until the source ends or stop() is called.

        While is_lost they are empty, about ten a second, so that the reader can show it.

        Raises:
            LotteryError: the source failed; whatever came before it was yielded.
        """
        while True:
            is_resting = self._is_urgent is not None and not self.is_lost
            block = self._queue.get(timeout_s=REST_S if is_resting else POLL_S)
            if block is not None:
                yield block
            elif self._queue.is_closed:
                # It may have been closed since get() gave up, behind a last block.
                if not len(self._queue):
                    self._queue.raise_error()
                    return
            else:
                self._check_alive()
                if self.is_lost:
                    yield np.zeros(0, np.float32)

    def _put(self, block):
        """Queue a block for blocks(); called in the audio thread."""
        is_urgent = self._is_urgent
        self._queue.put(block, is_urgent=is_urgent is None or is_urgent(block))

    def _start(self):
        raise NotImplementedError

    def _join(self):
        """Release what _start() acquired."""

    def _check_alive(self):
        """Called while no audio comes: get a source back that died without saying so, or close the queue."""


def mono(samples):
    """Return a copy of float32 (n, channels) samples as float32 (n,): the mean of the channels, 0 for no number.

    Some drivers deliver garbage while they start; it must not end the session.
    """
    mixed = samples[:, 0].copy()
    num_channels = samples.shape[1]
    if num_channels > 1:
        # Column by column: a mean along rows as short as these takes ten times as long.
        for channel in range(1, num_channels):
            mixed += samples[:, channel]
        mixed /= num_channels
    # A sum tells at a fraction of the price whether there is anything to look for.
    if math.isfinite(np.dot(mixed, mixed)):
        return mixed
    return np.nan_to_num(mixed, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
