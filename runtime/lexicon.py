"""The words of a bundle with a closed vocabulary: the best path, and another reading where it spells none of them."""

import functools
from dataclasses import dataclass

import numpy as np

from runtime.beam import BeamDecoder, BeamSearch
from runtime.ctc import greedy_ctc
from runtime.decoder import Symbols
from runtime.errors import BundleError
from runtime.fields import MAX_TEXT_CHARACTERS
from runtime.foreign import short
from runtime.grammar import GrammarScorer
from runtime.tokenizer import WORD_START

MAX_WORDS = 20_000
MAX_WORDS_BYTES = 1 << 22
# Of a run of silence a reading needs no more frames than these.
_KEPT_SILENCE = 8
_IS_SILENT = -0.01
# 20 s without the beginning of another word is no word of any lexicon.
_MAX_FRAMES = 500


def read_words(content, *, source):
    """Return the words of `words.txt`: one a line, in any order.

    Args:
        content: bytes of the file.
        source: its path, for messages.
    Raises:
        BundleError: not UTF-8, no word or too many, or a line that is no single printable word.
    """
    try:
        words = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BundleError(f"{source}: cannot read the words: not UTF-8 text: {error.reason}") from error
    if words[-1] == "":
        words.pop()
    if not 0 < len(words) <= MAX_WORDS:
        raise BundleError(f"{source}: {len(words)} words, expected 1 to {MAX_WORDS}")
    for number, word in enumerate(words, start=1):
        if not word.isprintable() or len(word.split()) != 1 or len(word) > MAX_TEXT_CHARACTERS or WORD_START in word:
            raise BundleError(f"{source}:{number}: {short(word)} is no word")
    return tuple(words)


@dataclass(frozen=True)
class LexiconDecoder:
    """Best-path decoding in which no word is outside a list.

    Where the best path spells a word of the list it stays. Where it spells another one, the frames from the end of the
    word before to the beginning of the word after are searched for the most probable sequence of listed words, which
    may be empty. The word that is being spoken is not shown before it is one of the list. In most audio no frame is
    searched, so it takes the time of GreedyDecoder.

    Args:
        words: the list.
        beam: texts that a search keeps from frame to frame, >= 1.
    """

    words: tuple[str, ...]
    beam: int = 8

    def prepare(self, tokenizer, *, blank):
        """See Decoder; fits every model: a word that no symbols spell is never heard."""
        lexicon = _Lexicon(self.words, tokenizer=tokenizer, blank=blank, beam=self.beam)
        return lambda: LexiconSearch(lexicon)


class _Lexicon:
    """The words with what a search needs, built when the first one runs; shared by all streams."""

    def __init__(self, words, *, tokenizer, blank, beam):
        self._words, self._tokenizer, self.blank = frozenset(words), tokenizer, blank
        self._settings = BeamDecoder(beam=beam)
        self._starts_word = [symbol.startswith(WORD_START) for symbol in tokenizer.symbols]

    @functools.cached_property
    def _scorer(self):
        return GrammarScorer(
            [WORD_START + word for word in sorted(self._words)], one_of=False, tokenizer=self._tokenizer
        )

    def starts_word(self, symbol):
        """Whether a symbol id begins a word."""
        return self._starts_word[symbol]

    def spells(self, ids):
        """Return the text of the symbols of one word, "" where they are a mark alone."""
        return "".join(self._tokenizer.symbols[symbol] for symbol in ids).replace(WORD_START, "")

    def has(self, word):
        """Whether a word is on the list."""
        return word in self._words

    def read(self, rows, frames, *, is_first):
        """Return the Symbols of the most probable listed words in log-probabilities.

        Args:
            rows: list of float32 (V,).
            frames: their places in the stream.
            is_first: no word stands before them; otherwise the first one needs its mark.
        """
        search = BeamSearch(
            self._settings,
            tokenizer=self._tokenizer,
            blank=self.blank,
            scorers=(self._scorer if is_first else _Marked(self._scorer),),
        )
        search.accept(np.stack(rows))
        found = search.best(is_final=True)
        return Symbols(ids=found.ids, frames=tuple(frames[place] for place in found.frames), logprobs=found.logprobs)


class _Marked:
    """A GrammarScorer whose first word, too, begins with U+2581."""

    def __init__(self, scorer):
        self.limits_V, self.step, self.is_complete, self.finish = (
            scorer.limits_V, scorer.step, scorer.is_complete, scorer.finish
        )  # fmt: skip
        self._scorer = scorer

    def start(self):
        """See Scorer."""
        return self._scorer.start_marked()


class LexiconSearch:
    """The best path of one stream, its words on the list.

    What is decided is decided by the frames up to the beginning of the next word, so that cuts do not matter.

    Args:
        lexicon: _Lexicon, shared.
    """

    def __init__(self, lexicon):
        self._lexicon = lexicon
        self._last, self._num_frames = None, 0
        # Words that are decided: their symbols, frames, log-probabilities; those that the last call of best() told of.
        self._ids, self._frames, self._logprobs, self._num_told = [], [], [], 0
        # The word that may still grow: (symbol, frame, log-probability) of each symbol.
        self._open = []
        # What a search of the open word would read.
        self._rows, self._row_frames, self._num_silent = [], [], 0
        self._final = None
        self.num_trailing_blanks = 0

    @property
    def has_symbols(self):
        """Whether best() holds any symbol."""
        return bool(self._ids) or self._lexicon.has(self._open_word)

    def accept(self, logprobs_TV):
        """See Search."""
        logprobs_TV = np.asarray(logprobs_TV)
        chunk = greedy_ctc(logprobs_TV, blank=self._lexicon.blank, last=self._last)
        begins = dict(zip(chunk.frames, zip(chunk.ids, chunk.logprobs, strict=True), strict=True))
        blanks = logprobs_TV[:, self._lexicon.blank].tolist()
        for place, row_V in enumerate(logprobs_TV):
            if place in begins:
                symbol, logprob = begins[place]
                if self._lexicon.starts_word(symbol) and self._open:
                    self._close()
                self._open.append((symbol, self._num_frames, logprob))
            self._keep(row_V, is_silent=blanks[place] > _IS_SILENT)
            self._num_frames += 1
        is_all_silent = chunk.num_trailing_blanks == len(logprobs_TV)
        self.num_trailing_blanks = chunk.num_trailing_blanks + (self.num_trailing_blanks if is_all_silent else 0)
        self._last = chunk.last
        self._final = None

    def best(self, *, is_final=False):
        """See Search; a word that is none of the list is not shown while it may still grow."""
        last, word = [], self._open_word
        if self._lexicon.has(word):
            last = self._open
        elif is_final and word:
            if self._final is None:
                self._final = self._reading()
            last = self._final
        ids, frames, logprobs = zip(*last, strict=True) if last else ((), (), ())
        num_same, self._num_told = self._num_told, len(self._ids)
        return Symbols(
            ids=(*self._ids, *ids),
            frames=(*self._frames, *frames),
            logprobs=(*self._logprobs, *logprobs),
            num_same=num_same,
        )

    def boundary(self, count):
        """See Search: anywhere."""
        return count

    def commit(self, count=None):
        """See Search."""
        if count is None:
            count, self._open = len(self._ids), []
            self._forget_rows()
        del self._open[: max(0, count - len(self._ids))]
        for recorded in (self._ids, self._frames, self._logprobs):
            del recorded[:count]
        self._final, self._num_told = None, 0

    @property
    def _open_word(self):
        return self._lexicon.spells(symbol for symbol, _, _ in self._open)

    def _close(self):
        """Decide for the open word: another one begins at this frame."""
        word = self._open_word
        if not word:
            # A mark of its own; the next one takes its place.
            self._open = []
        elif self._lexicon.has(word):
            self._decide(self._open)
            self._drop_spoken()
        else:
            self._decide(self._reading())
            self._forget_rows()
        self._open = []

    def _decide(self, entries):
        for recorded, values in zip(
            (self._ids, self._frames, self._logprobs), zip(*entries, strict=True), strict=False
        ):
            recorded.extend(values)

    def _reading(self):
        """Return the entries of the listed words in the rows."""
        if not self._rows:
            return []
        found = self._lexicon.read(self._rows, self._row_frames, is_first=not self._ids)
        return list(zip(found.ids, found.frames, found.logprobs, strict=True))

    def _keep(self, row_V, *, is_silent):
        self._num_silent = self._num_silent + 1 if is_silent else 0
        if self._num_silent <= _KEPT_SILENCE and len(self._rows) < _MAX_FRAMES:
            # A copy: a view would keep its whole chunk alive.
            self._rows.append(row_V.copy())
            self._row_frames.append(self._num_frames)

    def _drop_spoken(self):
        """Drop the rows up to the end of the open word's last symbol: the next word may need those behind it."""
        symbol, frame, _ = self._open[-1]
        count = next((place for place, number in enumerate(self._row_frames) if number >= frame), len(self._rows))
        while count < len(self._rows) and int(self._rows[count].argmax()) == symbol:
            count += 1
        del self._rows[:count], self._row_frames[:count]

    def _forget_rows(self):
        self._rows, self._row_frames, self._num_silent = [], [], 0
