"""Decoding: how the log-probabilities of a stream become symbols, chunk by chunk; the best path is the default."""

from dataclasses import dataclass
from typing import Protocol

from runtime.ctc import greedy_ctc


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """The symbols of a segment, blanks and repeats removed.

    Args:
        ids: symbol ids.
        frames: for each id, the frame where its run begins, counted from the start of the stream; in order.
        logprobs: for each id, its natural-log probability in that frame.
        num_same: so many at the start are those that the last call of best() returned, as far as it went.
    """

    ids: tuple[int, ...]
    frames: tuple[int, ...]
    logprobs: tuple[float, ...]
    num_same: int = 0


class Search(Protocol):
    """The decoding of one stream. Cutting the frames into other chunks changes nothing, bit for bit.

    Attributes:
        num_trailing_blanks: frames at the end in which blank is the most probable symbol.
        has_symbols: whether best() holds any.
    """

    num_trailing_blanks: int
    has_symbols: bool

    def accept(self, logprobs_TV):
        """Take the next frames: float32 (T, V), natural-log probabilities."""

    def best(self, *, is_final=False):
        """Return the Symbols that are the best reading so far; with is_final, if nothing more were said."""

    def boundary(self, count):
        """Return where best() may be cut: the largest such number of symbols that is not above `count`."""

    def commit(self, count=None):
        """Decide for the first `count` symbols of best() and forget them; the sentence goes on with the others.

        None: decide for the whole of best(is_final=True); a new sentence begins.
        """


class Decoder(Protocol):
    """A way to decode: settings, shared by any number of streams."""

    def prepare(self, tokenizer, *, blank):
        """Return a function without arguments that starts a Search.

        Args:
            tokenizer: Tokenizer of the model.
            blank: index of the CTC blank.
        Raises:
            LotteryError: the settings do not fit the model, name a file that cannot be read, or need an extra.
        """


@dataclass(frozen=True, kw_only=True)
class GreedyDecoder:
    """Best-path decoding: the most probable symbol of each frame. A symbol that is there stays."""

    def prepare(self, tokenizer, *, blank):
        """See Decoder; fits every model."""
        return lambda: GreedySearch(blank=blank)


class GreedySearch:
    """The best path of one stream.

    Args:
        blank: index of the CTC blank.
    """

    def __init__(self, *, blank):
        self._blank = blank
        self._last = None
        self._num_frames = 0
        self._ids, self._frames, self._logprobs = [], [], []
        self._num_told = 0
        self.num_trailing_blanks = 0

    @property
    def has_symbols(self):
        """Whether best() holds any symbol."""
        return bool(self._ids)

    def accept(self, logprobs_TV):
        """See Search."""
        chunk = greedy_ctc(logprobs_TV, blank=self._blank, last=self._last)
        self._ids.extend(chunk.ids)
        self._frames.extend(self._num_frames + frame for frame in chunk.frames)
        self._logprobs.extend(chunk.logprobs)
        self._last = chunk.last
        is_silent = chunk.num_trailing_blanks == len(logprobs_TV)
        self.num_trailing_blanks = chunk.num_trailing_blanks + (self.num_trailing_blanks if is_silent else 0)
        self._num_frames += len(logprobs_TV)

    def best(self, *, is_final=False):
        """See Search; a best path does not depend on what follows."""
        num_same, self._num_told = self._num_told, len(self._ids)
        return Symbols(
            ids=tuple(self._ids), frames=tuple(self._frames), logprobs=tuple(self._logprobs), num_same=num_same
        )

    def boundary(self, count):
        """See Search: anywhere."""
        return count

    def commit(self, count=None):
        """See Search."""
        for recorded in (self._ids, self._frames, self._logprobs):
            del recorded[:count]
        self._num_told = 0
