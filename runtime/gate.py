"""An energy gate: while nobody speaks, the recogniser rests; what opens the gate is heard from a little before."""

import collections
import math

import numpy as np

PRE_ROLL_S = 0.6
HANG_S = 1.7
MARGIN_DB = 9.0
# Speech into a microphone that is turned down is about here; below is the noise of its preamplifier.
MIN_LEVEL_DB = -60.0
# Shorter is a click.
_MIN_LOUD_S = 0.05
# The floor is the lowest level of this time: no sentence is without a pause as long as a block.
_FLOOR_S = 8.0
_FLOOR_SLICE_S = 1.0
_SILENT_DB = -120.0


def level_db(samples):
    """Return the loudness of float32 (n,) samples in dB below full scale (RMS 1), a constant offset apart.

    -120 for silence and for no samples.
    """
    if not len(samples):
        return _SILENT_DB
    mean = float(samples.mean())
    power = float(np.dot(samples, samples)) / len(samples) - mean * mean
    return 10 * math.log10(max(power, 1e-12))


class NoiseFloor:
    """The level of the room: the lowest block of the last _FLOOR_S seconds.

    Source: R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics",
    IEEE Trans. Speech and Audio Processing 9(5), 2001, without the smoothing.
    """

    def __init__(self):
        self._slices = collections.deque([math.inf], maxlen=round(_FLOOR_S / _FLOOR_SLICE_S))
        self._slice_s = 0.0

    @property
    def level_db(self):
        """The floor in dB; infinite before the first block."""
        return min(self._slices)

    def accept(self, block_db, *, duration_s):
        """Take the level of one more block."""
        if self._slice_s >= _FLOOR_SLICE_S:
            self._slices.append(math.inf)
            self._slice_s = 0.0
        self._slices[-1] = min(self._slices[-1], block_db)
        self._slice_s += duration_s


class EnergyGate:
    """Decides block by block whether anybody may be speaking.

    It begins open, since a session may begin with a word. It opens when the level is `margin_db` above the noise
    floor for longer than a click, and hands out the `pre_roll_s` before; it closes `hang_s` after the last such block.

    Args:
        margin_db: dB above the noise floor that may be speech.
        min_level_db: below this nothing is speech, whatever the floor.
        pre_roll_s: audio handed out from before the gate opened.
        hang_s: how long it stays open; longer than the silence that ends a line, so that the line's own rule is first.
    Attributes:
        is_open: whether blocks pass.
    Raises:
        ValueError: a number is not finite, or a time is negative.
    """

    def __init__(self, *, margin_db=MARGIN_DB, min_level_db=MIN_LEVEL_DB, pre_roll_s=PRE_ROLL_S, hang_s=HANG_S):
        for name, value in (("pre_roll_s", pre_roll_s), ("hang_s", hang_s), ("margin_db", margin_db)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected 0 or more")
        if not math.isfinite(min_level_db):
            raise ValueError(f"min_level_db is {min_level_db}, expected a number")
        self._margin_db, self._min_level_db = margin_db, min_level_db
        self._pre_roll_s, self._hang_s = pre_roll_s, hang_s
        self._floor = NoiseFloor()
        self._held, self._held_s = collections.deque(), 0.0
        self._loud_s, self._open_s = 0.0, hang_s
        self.is_open = True

    def accept(self, block, *, sample_rate_hz):
        """Take a block and return those to recognise now: none, this one, or, as the gate opens, those before it, too.

        Args:
            block: float32 (n,), mono, ±1.
            sample_rate_hz: its rate.
        """
        duration_s = len(block) / sample_rate_hz
        block_db = level_db(block)
        is_loud = block_db > max(self._floor.level_db + self._margin_db, self._min_level_db)
        self._floor.accept(block_db, duration_s=duration_s)
        self._loud_s = self._loud_s + duration_s if is_loud else 0.0
        if self._loud_s >= _MIN_LOUD_S:
            self._open_s = self._hang_s
        if self.is_open:
            self._open_s -= duration_s
            self.is_open = self._open_s > 0
            return [block]
        if self._loud_s < _MIN_LOUD_S:
            self._hold(block, duration_s=duration_s)
            return []
        self.is_open = True
        opened = [*(held for held, _ in self._held), block]
        self._held.clear()
        self._held_s = 0.0
        return opened

    def _hold(self, block, *, duration_s):
        """Keep a block in case the gate opens, and forget those that are older than the pre-roll."""
        self._held.append((block, duration_s))
        self._held_s += duration_s
        while self._held and self._held_s - self._held[0][1] >= self._pre_roll_s:
            self._held_s -= self._held.popleft()[1]
