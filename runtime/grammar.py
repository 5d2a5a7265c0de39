"""A grammar: nothing but listed words and phrases can be recognised, by an automaton over the symbols' characters."""

import functools

import numpy as np

from runtime.phrases import Speller
from runtime.tokenizer import WORD_START

# States of the automaton that are no place inside a phrase: before any symbol, and behind a word-start symbol.
_BEGINNING, _ROOT = -1, 0


class Grammar:
    """A scorer for BeamDecoder: the text is a sequence of the phrases, or empty.

    Args:
        phrases: words or phrases, such as "stop" or "turn left".
        one_of: a text is a single phrase, or empty where silence is more probable than any phrase.
    Raises:
        ValueError: no phrase is given.
    """

    def __init__(self, phrases, *, one_of=False):
        self.phrases, self.one_of = tuple(phrases), one_of
        if not self.phrases:
            raise ValueError("phrases is empty, expected one or more")

    def prepare(self, tokenizer):
        """Return the Scorer.

        Raises:
            LotteryError: a phrase is empty or cannot be spelled with the tokenizer's symbols.
        """
        speller = Speller(tokenizer)
        phrases = [speller.spell(phrase) for phrase in self.phrases]
        return GrammarScorer(phrases, one_of=self.one_of, tokenizer=tokenizer)


class GrammarScorer:
    """The automaton; a state is the set of places in phrases where the text can be.

    It is a set because a text can be read in several ways: with "turn", "left turn" and "turn left", behind "turn"
    and a word start either of the longer phrases may be going on.

    Args:
        phrases: as Speller.spell returns them.
        one_of: as for Grammar.
        tokenizer: Tokenizer.
    """

    def __init__(self, phrases, *, one_of, tokenizer):
        self._symbols, self._one_of = tokenizer.symbols, one_of
        # A tree of characters; the mark of the first word is what leads to its root.
        self._next, self._is_end = [{}], [True]
        for phrase in phrases:
            self._insert(phrase.removeprefix(WORD_START))
        known = "".join(phrase + WORD_START for phrase in phrases)
        self.limits_V = np.array([0.0 if symbol in known else -np.inf for symbol in self._symbols])
        self._step = functools.cache(self._read)

    def start(self):
        """See Scorer."""
        # The first word may come with its mark (word pieces) or without (characters).
        return frozenset((_BEGINNING, _ROOT))

    def start_marked(self):
        """Return the state of a sentence whose first word comes with its mark."""
        return frozenset((_BEGINNING,))

    def step(self, state, symbol):
        """See Scorer; a symbol adds nothing or is forbidden."""
        return self._step(state, symbol)

    def is_complete(self, state):
        """See Scorer: at the end of a phrase, and before the first."""
        return any(place == _BEGINNING or self._is_end[place] for place in state)

    def finish(self, state):
        """See Scorer."""
        return 0.0

    def resume(self, state):
        """See Scorer: behind a cut another phrase begins, or nothing where there is one only."""
        return frozenset() if self._one_of else self.start()

    def _insert(self, phrase):
        node = _ROOT
        for character in phrase:
            if character not in self._next[node]:
                self._next[node][character] = len(self._next)
                self._next.append({})
                self._is_end.append(False)
            node = self._next[node][character]
        self._is_end[node] = True

    def _read(self, state, symbol):
        for character in self._symbols[symbol]:
            state = frozenset(self._places_after(state, character))
        return (state, 0.0) if state else None

    def _places_after(self, state, character):
        for place in state:
            if place == _BEGINNING:
                if character == WORD_START:
                    yield _ROOT
                continue
            if character in self._next[place]:
                yield self._next[place][character]
            if character == WORD_START and place != _ROOT and self._is_end[place] and not self._one_of:
                yield _ROOT
