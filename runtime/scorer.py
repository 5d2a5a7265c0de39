"""What a beam search asks of everything that scores text: hotwords, a grammar, a language model."""

from typing import Protocol

import numpy as np


class Scorer(Protocol):
    """What besides the sound decides: an automaton that reads a text symbol by symbol. States are opaque.

    Attributes:
        limits_V: float64 (V,): what reading a symbol adds where that is most, 0 or more; -inf for a symbol that can
            be in no text. It keeps symbols that a scorer favours from being passed over for their sound.
    """

    limits_V: np.ndarray

    def start(self):
        """Return the state before the first symbol of a sentence."""

    def step(self, state, symbol):
        """Return (state, natural-log score to add) after one more symbol, or None: no such text may be."""

    def is_complete(self, state):
        """Whether the text may end here."""

    def finish(self, state):
        """Return the natural-log score to add if the text ends here; asked only where is_complete."""

    def resume(self, state):
        """Return the state for the symbols that follow a cut between two words of a sentence."""
