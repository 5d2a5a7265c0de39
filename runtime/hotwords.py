"""Hotwords: phrases that count as more probable than they sound, by an automaton over the characters of the symbols."""

import functools
import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from runtime.errors import LotteryError
from runtime.foreign import short
from runtime.phrases import Speller, read_phrases
from runtime.tokenizer import WORD_START

# Tuned on AN4's dev split for its rare words: benchmarks/results/decoding.json. More finds more, and imagines more.
DEFAULT_BOOST = 0.2
MAX_BOOST = 20.0


@dataclass(frozen=True)
class Hotword:
    """A word or phrase and what each of its letters adds to the natural-log probability of a text that holds it.

    Raises:
        ValueError: the text is empty, or the boost beyond ±MAX_BOOST; below 0 it makes the phrase less probable.
    """

    text: str
    boost: float = DEFAULT_BOOST

    def __post_init__(self):
        if not self.text.split():
            raise ValueError(f"hotword {short(self.text)} is empty")
        if not -MAX_BOOST <= self.boost <= MAX_BOOST:
            raise ValueError(
                f"boost of hotword {short(self.text)} is {self.boost}, expected -{MAX_BOOST} to {MAX_BOOST}"
            )

    @classmethod
    def parse(cls, text):
        """Return the Hotword that `TEXT` or `TEXT:BOOST` stands for.

        Raises:
            ValueError: as for the class.
        """
        phrase, colon, number = text.rpartition(":")
        try:
            boost = float(number) if colon else math.nan
        except ValueError:
            boost = math.nan
        return cls(text.strip()) if math.isnan(boost) else cls(phrase.strip(), boost)


def read_hotwords(path):
    """Return the Hotwords of a text file: a phrase a line, as `Hotword.parse` reads it; `#` begins a comment line.

    Raises:
        LotteryError: the file cannot be read, or holds none, or a line that is no hotword.
    """
    try:
        return [Hotword.parse(line) for line in read_phrases(path)]
    except ValueError as error:
        raise LotteryError(f"{path}: {error}", hint="write TEXT or TEXT:BOOST on each line") from error


class Hotwords:
    """A scorer for BeamDecoder: adds `boost * letters` for every place where a hotword stands in the text.

    A place is whole words; places may overlap, and each counts. While a phrase is being said its letters count as far
    as it goes, so that it stays in the beam, and what it earned is taken back when it goes on otherwise.

    Args:
        hotwords: Hotword objects or texts `TEXT[:BOOST]`; of one that is listed twice the last counts.
    Raises:
        ValueError: none is given, or a text is no hotword.
    """

    def __init__(self, hotwords):
        self.hotwords = tuple(Hotword.parse(each) if isinstance(each, str) else each for each in hotwords)
        if not self.hotwords:
            raise ValueError("hotwords is empty, expected one or more")

    def prepare(self, tokenizer):
        """Return the Scorer.

        Raises:
            LotteryError: a hotword cannot be spelled with the tokenizer's symbols.
        """
        speller = Speller(tokenizer)
        boosts = {speller.spell(hotword.text): hotword.boost for hotword in self.hotwords}
        return HotwordScorer(boosts, tokenizer=tokenizer)


class HotwordScorer:
    """The automaton; a state is the number of a node: the longest end of the text that begins a hotword.

    Args:
        boosts: {phrase as Speller.spell returns it: boost a letter}.
        tokenizer: Tokenizer.
    Source: Aho & Corasick 1975; giving unfinished phrases credit and taking it back, as in the context graphs of
        k2/icefall and wenet.
    """

    def __init__(self, boosts, *, tokenizer):
        self._symbols = tokenizer.symbols
        # Of each node: the nodes one character on; the longest other end of its text that begins a hotword; what
        # phrases that end here are worth, and what those that are being said have earned.
        self._next, self._shorter, self._worth, self._earned = [{}], [0], [0.0], [0.0]
        self._ends_in_start = [False]
        for phrase, boost in boosts.items():
            self._insert(phrase, boost=boost)
        self._link()
        self._start = self._next[0][WORD_START]
        self.limits_V = self._limits(boosts)
        self._step = functools.cache(self._read)

    def start(self):
        """See Scorer."""
        return self._start

    def step(self, state, symbol):
        """See Scorer; nothing is forbidden."""
        return self._step(state, symbol)

    def is_complete(self, state):
        """See Scorer: always."""
        return True

    def finish(self, state):
        """See Scorer: the end of the text ends a word."""
        return (0.0 if self._ends_in_start[state] else self._worth[state]) - self._earned[state]

    def resume(self, state):
        """See Scorer: phrases may span the cut."""
        return state

    def _insert(self, phrase, *, boost):
        node, letters = 0, 0
        for character in phrase:
            if character not in self._next[node]:
                self._next[node][character] = len(self._next)
                self._next.append({})
                self._shorter.append(0)
                self._worth.append(0.0)
                self._earned.append(-math.inf)
                self._ends_in_start.append(character == WORD_START)
            node = self._next[node][character]
            letters += character != WORD_START
            self._earned[node] = max(self._earned[node], boost * letters)
        self._worth[node] = boost * letters

    def _link(self):
        """Find the shorter ends, shortest texts first, and add up what several phrases give at once."""
        waiting = deque(self._next[0].values())
        while waiting:
            node = waiting.popleft()
            self._worth[node] += self._worth[self._shorter[node]]
            self._earned[node] += self._earned[self._shorter[node]]
            for character, child in self._next[node].items():
                self._shorter[child] = self._follow(self._shorter[node], character)
                waiting.append(child)

    def _follow(self, node, character):
        while node and character not in self._next[node]:
            node = self._shorter[node]
        return self._next[node].get(character, 0)

    def _read(self, state, symbol):
        node, kept = state, 0.0
        for character in self._symbols[symbol]:
            if character == WORD_START:
                if self._ends_in_start[node]:
                    continue
                kept += self._worth[node]
            node = self._follow(node, character)
        return node, kept + self._earned[node] - self._earned[state]

    def _limits(self, boosts):
        """Return float64 (V,): what a symbol adds where it is in the phrase that gives the most for it."""
        phrases = {}
        for phrase, boost in boosts.items():
            phrases[boost] = phrases.get(boost, "") + phrase
        limits_V = np.zeros(len(self._symbols))
        for number, symbol in enumerate(self._symbols):
            letters = len(symbol.replace(WORD_START, ""))
            limits_V[number] = letters * max((boost for boost in phrases if symbol in phrases[boost]), default=0.0)
        return np.maximum(limits_V, 0.0)
