"""A quiet room while the gate is closed: few wake-ups for many blocks, and no word is heard later for it."""

import queue

import numpy as np
import pytest

from runtime.conversation import Conversation
from runtime.endpoint import EndpointRules
from runtime.gate import EnergyGate
from runtime.microphone import Microphone
from runtime.recognizer import Recognizer
from runtime.source import REST_S, BlockQueue
from tests.runtime.fake_sounddevice import FakeStream, fake_sounddevice
from tests.tiny_bundle import speak, write_tiny_bundle

RATE = 16000
BLOCK_S = 0.1
BLOCK = round(BLOCK_S * RATE)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("rest") / "bundle"))


class World:
    """A clock, a room and a reader that sleeps: time passes, and a device delivers, only while the reader waits.

    Args:
        samples: what there is to hear, a multiple of BLOCK.
    Attributes:
        now_s: seconds since the device was opened.
        wake_ups: now_s of each.
    """

    def __init__(self, samples):
        self._blocks = list(np.split(samples, len(samples) // BLOCK))
        self.now_s, self.num_delivered, self.wake_ups = 0.0, 0, []
        self._tokens = 0

    def monotonic(self):
        return self.now_s

    def process_time(self):
        return 0.0

    def empty(self):
        return not self._tokens

    def put(self, token):
        self._tokens += 1

    def get(self, *, timeout):
        deadline_s = self.now_s + timeout
        while not self._tokens and (self.num_delivered + 1) * BLOCK_S <= deadline_s + 1e-6:
            if self.num_delivered == len(self._blocks):
                self.microphone.stop()
                break
            self.num_delivered += 1
            self.now_s = self.num_delivered * BLOCK_S
            FakeStream.latest.deliver(self._blocks[self.num_delivered - 1])
        self.wake_ups.append(self.now_s)
        if not self._tokens:
            self.now_s = max(self.now_s, deadline_s)
            raise queue.Empty
        self._tokens -= 1


class Seen:
    """A display that remembers what it was told, and when."""

    def __init__(self, world):
        self._world, self.gates, self.texts, self.finals, self.behinds = world, [], [], [], []

    def gate(self, *, is_open, at_s):
        self.gates.append((is_open, round(at_s, 3), round(self._world.now_s, 3)))

    def partial(self, partial):
        if partial.text and (not self.texts or self.texts[-1][0] != partial.text):
            self.texts.append((partial.text, round(self._world.now_s, 3)))

    def behind(self, behind_s):
        self.behinds.append(behind_s)

    def final(self, result, *, reason):
        self.finals.append(result)

    def __getattr__(self, name):
        return lambda *arguments, **fields: None


def listen(samples, recognizer, monkeypatch, *, can_rest=True):
    """Return what a Conversation with an energy gate showed, the World, and the Summary."""
    world = World(samples)
    for module in ("source", "microphone", "conversation"):
        monkeypatch.setattr(f"runtime.{module}.time", world)
    microphone = Microphone(sounddevice=fake_sounddevice(), sample_rate_hz=RATE, block_s=BLOCK_S)
    microphone._queue._token, world.microphone = world, microphone
    if not can_rest:
        monkeypatch.setattr(microphone, "rest", lambda **_: None)
    seen = Seen(world)
    with microphone:
        conversation = Conversation(
            microphone, recognizer=recognizer, rules=EndpointRules(), display=seen, gate=EnergyGate()
        )
        for block in microphone.blocks():
            conversation.hear(block)
        return seen, world, conversation.finish()


def room(seconds, *, seed=0):
    return 10 ** (-62 / 20) * np.random.default_rng(seed).normal(size=round(seconds * RATE))


def talk(*, at_s):
    """Return half a minute of a quiet room with two words in it."""
    samples = room(30)
    word = speak("cab bad")
    samples[round(at_s * RATE) :][: len(word)] += word
    return samples.astype(np.float32)


def test_a_reader_of_a_quiet_room_wakes_up_twice_a_second(recognizer, monkeypatch):
    seen, world, summary = listen(room(62), recognizer, monkeypatch)
    ((is_open, closed_s, _),) = seen.gates
    assert not is_open
    assert closed_s < 2
    while_closed = [at_s for at_s in world.wake_ups if 2 <= at_s < 62]
    # And as often as a room of noise is calmer than in all of the last eight seconds.
    assert 60 / REST_S <= len(while_closed) <= (60 + 0.5 * 60 / 8) / REST_S
    assert summary.heard_s == pytest.approx(62), "late, not lost"
    assert summary.dropped_s == 0
    assert max(summary.most_behind_s, *seen.behinds) <= BLOCK_S, "where nobody speaks there is nothing to be behind of"


def fan(*, until_s):
    """Return half a minute with two words that are no louder than the fan that has just stopped."""
    samples = talk(at_s=until_s + 0.12)
    samples[: round(until_s * RATE)] = 0.3 * np.random.default_rng(2).normal(size=round(until_s * RATE))
    return samples


@pytest.mark.parametrize(
    "samples",
    [*(talk(at_s=at_s) for at_s in (10.0, 10.1, 10.25, 10.37)), *(fan(until_s=at_s) for at_s in (12.21, 12.3, 12.7))],
)
def test_a_word_that_ends_the_rest_is_heard_as_soon_as_without_any(recognizer, monkeypatch, samples):
    """The same lines with the same times, shown at the same moment."""
    with monkeypatch.context() as patch:
        expected, awake, _ = listen(samples, recognizer, patch, can_rest=False)
    with monkeypatch.context() as patch:
        seen, resting, _ = listen(samples, recognizer, patch)
    assert [result.text for result in seen.finals if result.text][-1].endswith("cab bad")
    assert seen.finals == expected.finals
    assert seen.texts == expected.texts
    assert [gate[:2] for gate in seen.gates] == [gate[:2] for gate in expected.gates]
    (_, _, opened_s), (_, _, expected_s) = (next(gate for gate in shown.gates if gate[0]) for shown in (seen, expected))
    assert opened_s == expected_s
    assert len(resting.wake_ups) < len(awake.wake_ups) / 2


@pytest.mark.parametrize("offset", [0.0, 0.05])
@pytest.mark.parametrize("length", [480, 1600, 1601, 700])
def test_what_opens_the_gate_was_called_urgent_before(length, offset):
    """Whatever accept() opens for, may_open() has seen coming; it changes nothing, and a quiet room is not urgent."""
    rng = np.random.default_rng(1)
    gate, num_opened, num_urgent = EnergyGate(hang_s=0.3), 0, 0
    for _ in range(60 * RATE // length):
        level_db = -62 if rng.random() < 0.9 else rng.uniform(-60, -30)
        gains = np.where(np.arange(length) < rng.integers(length + 1), level_db, -62)
        block = (offset + 10 ** (gains / 20) * rng.normal(size=length)).astype(np.float32)
        was_open, is_urgent = gate.is_open, gate.may_open(block, sample_rate_hz=RATE)
        assert is_urgent == gate.may_open(block, sample_rate_hz=RATE)
        gate.accept(block, sample_rate_hz=RATE)
        num_urgent += is_urgent
        if gate.is_open and not was_open:
            num_opened += 1
            assert is_urgent
    assert num_opened > 3
    quiet = (offset + room(0.1)).astype(np.float32)
    assert not gate.may_open(quiet, sample_rate_hz=RATE)


@pytest.mark.parametrize("offset", [0.0, 0.002, 0.05])
@pytest.mark.parametrize("margin_db", [3.0, 9.0, 5000.0])
def test_a_reader_that_hears_urgent_blocks_at_once_misses_no_opening(offset, margin_db):
    """Rooms that change, and drop out: whatever opens the gate was urgent when it came, with blocks yet unheard."""
    rng = np.random.default_rng(3)
    gate, waiting, num_opened = EnergyGate(hang_s=0.3, margin_db=margin_db), [], 0
    for index in range(4000):
        if index % 50 == 0:
            level_db = rng.uniform(-70, -30)
        gains = np.repeat(level_db + rng.choice([0, 0, 0, 0, 0, 6, 12], 3), BLOCK)[:BLOCK]
        gains[: BLOCK // 3 if rng.random() < 0.02 else 0] = -200
        block = (offset + 10 ** (gains / 20) * rng.normal(size=BLOCK)).astype(np.float32)
        is_urgent = gate.may_open(block, sample_rate_hz=RATE)
        waiting.append((block, is_urgent))
        if not (is_urgent or gate.is_open or len(waiting) == REST_S / BLOCK_S):
            continue
        for unheard, was_urgent in waiting:
            was_open = gate.is_open
            gate.accept(unheard, sample_rate_hz=RATE)
            if gate.is_open and not was_open:
                num_opened += 1
                assert was_urgent
        waiting.clear()
    assert num_opened > 20 or margin_db > 1000


def test_who_ends_the_rest_does_not_wait_for_what_came_before():
    microphone = Microphone(sounddevice=fake_sounddevice(), sample_rate_hz=RATE, block_s=BLOCK_S)
    with microphone:
        microphone.rest(is_urgent=lambda block: False)
        FakeStream.latest.deliver(np.zeros(BLOCK))
        assert microphone._queue._token.empty()
        microphone.rest(is_urgent=None)
        assert not microphone._queue._token.empty()


def test_a_block_that_is_not_urgent_waits_for_one_that_is():
    blocks = BlockQueue(100)
    blocks.put("a", is_urgent=False)
    blocks.put("b", is_urgent=False)
    assert blocks._token.empty()
    blocks.put("c")
    assert [blocks.get(timeout_s=60) for _ in range(3)] == ["a", "b", "c"]
    assert blocks.get(timeout_s=0.01) is None


def test_a_block_that_is_not_urgent_waits_no_longer_than_told():
    blocks = BlockQueue(100)
    blocks.put("a", is_urgent=False)
    assert blocks.get(timeout_s=0.01) == "a"


def test_a_queue_that_fills_up_is_urgent():
    blocks = BlockQueue(4)
    for name in "abc":
        blocks.put(name, is_urgent=False)
    assert [blocks.get(timeout_s=60) for _ in range(3)] == ["a", "b", "c"]


def test_closing_wakes_a_reader_that_waits_and_gives_it_what_is_there():
    blocks = BlockQueue(100)
    blocks.put("a", is_urgent=False)
    blocks.close()
    assert blocks.get(timeout_s=60) == "a"
    assert blocks.get(timeout_s=60) is None


def test_a_slow_reader_leaves_no_tokens_behind():
    blocks = BlockQueue(100)
    for number in range(1000):
        blocks.put(number)
    assert blocks._token.qsize() == 1
    assert [blocks.get(timeout_s=60) for _ in range(100)] == list(range(100))
    assert blocks.num_dropped == 900
