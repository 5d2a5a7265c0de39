"""CTC prefix beam search, one chunk at a time, steered by hotwords, a grammar, a language model."""

import heapq
import operator
from dataclasses import dataclass

import numpy as np

from runtime.decoder import Symbols
from runtime.prefix import NEVER, Prefix, Trail, log_add
from runtime.tokenizer import WORD_START

DEFAULT_BEAM = 8
# Beam and margin: benchmarks/results/decoding.json. Wider ones gave the same errors, and took longer.
DEFAULT_MARGIN = 7.0
_SCORE = operator.attrgetter("score")


@dataclass(frozen=True, kw_only=True)
class BeamDecoder:
    """Prefix beam search: the text of which all alignments together are the most probable, not one alignment.

    Args:
        beam: texts that are kept from frame to frame, >= 1.
        max_symbols: symbols tried in a frame, the most probable ones, >= 1; as many that the scorers favour, and blank.
        margin: natural log; a symbol that is by more than this less probable than the best one of its frame is not
            tried, >= 0.
        scorers: Hotwords, Grammar, LanguageModel: anything with `prepare(tokenizer)` that returns a Scorer.
    Raises:
        ValueError: a number is out of range.
    Source: Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
        Recurrent DNNs", algorithm 1, in the log domain.
    """

    beam: int = DEFAULT_BEAM
    max_symbols: int = 20
    margin: float = DEFAULT_MARGIN
    scorers: tuple = ()

    def __post_init__(self):
        if self.beam < 1 or self.max_symbols < 1 or not self.margin >= 0:
            raise ValueError(
                f"beam is {self.beam}, max_symbols {self.max_symbols}, margin {self.margin}: "
                f"expected at least 1, 1 and 0"
            )

    def prepare(self, tokenizer, *, blank):
        """See Decoder."""
        scorers = tuple(scorer.prepare(tokenizer) for scorer in self.scorers)
        return lambda: BeamSearch(self, tokenizer=tokenizer, blank=blank, scorers=scorers)


class BeamSearch:
    """The beam of one stream.

    Args:
        settings: BeamDecoder.
        tokenizer: Tokenizer of the model.
        blank: index of the CTC blank.
        scorers: tuple of Scorer, shared.
    """

    def __init__(self, settings, *, tokenizer, blank, scorers=()):
        self._settings, self._blank, self._scorers = settings, blank, scorers
        self._starts_word = [symbol.startswith(WORD_START) for symbol in tokenizer.symbols]
        self._is_bare_start = [symbol == WORD_START for symbol in tokenizer.symbols]
        limits = sum((scorer.limits_V for scorer in scorers), np.zeros(len(tokenizer)))
        self._is_possible_V = np.isfinite(limits)
        self._is_possible_V[blank] = True
        self._limits_V = limits
        self._num_frames = 0
        self.num_trailing_blanks = 0
        root = self._root(None, states=tuple(scorer.start() for scorer in scorers))
        root.mass = root.mass_blank = root.best_blank = 0.0
        self._kept = [root]
        self._trail = Trail()

    @property
    def has_symbols(self):
        """Whether best() holds any symbol."""
        return self._leader().num_complete > 0

    def accept(self, logprobs_TV):
        """See Search.

        Raises:
            ValueError: logprobs_TV is not (T, V) for the tokenizer's V.
        """
        logprobs_TV = np.asarray(logprobs_TV)
        if logprobs_TV.ndim != 2 or logprobs_TV.shape[1] != len(self._limits_V):
            raise ValueError(f"logprobs_TV has shape {logprobs_TV.shape}, expected (T, {len(self._limits_V)})")
        spoken = np.flatnonzero(logprobs_TV.argmax(axis=1) != self._blank)
        silent = len(logprobs_TV) - 1 - int(spoken[-1]) if len(spoken) else self.num_trailing_blanks + len(logprobs_TV)
        self.num_trailing_blanks = silent
        possible_TV = np.where(self._is_possible_V, logprobs_TV, NEVER)
        hopes_TV = possible_TV + np.where(self._is_possible_V, self._limits_V, 0.0)
        hopes_TV[:, self._blank] = NEVER
        is_tried_TV = hopes_TV >= possible_TV.max(axis=1, keepdims=True, initial=NEVER) - self._settings.margin
        for row_V, hopes_V, is_tried_V in zip(logprobs_TV, hopes_TV, is_tried_TV & (hopes_TV > NEVER), strict=True):
            tried = np.flatnonzero(is_tried_V)
            if len(tried) > self._settings.max_symbols:
                ranks = (np.argsort(-each_V[tried], kind="stable") for each_V in (row_V, hopes_V))
                tried = tried[np.union1d(*(rank[: self._settings.max_symbols] for rank in ranks))]
            self._step(float(row_V[self._blank]), list(zip(tried.tolist(), row_V[tried].tolist(), strict=True)))

    def best(self, *, is_final=False):
        """See Search; with a grammar only complete phrases are shown."""
        prefix, count = self._final() if is_final else self._partial()
        trail = self._trail
        num_same = trail.follow(prefix)
        ids, frames, logprobs = (tuple(known)[:count] for known in (trail.ids, trail.frames, trail.logprobs))
        return Symbols(ids=ids, frames=frames, logprobs=logprobs, num_same=num_same)

    def boundary(self, count):
        """See Search: where the text so far is complete and the rest is the beginning of another one."""
        leader = self._leader()
        while count:
            cut = leader.ancestor(count)
            if cut.num_complete == count:
                root = self._root(cut.symbol, states=self._resumed(cut))
                is_text = self._grow(root, leader.symbols_after(count)) is not None
                root.dissolve()
                if is_text:
                    return count
            count -= 1
        return 0

    def commit(self, count=None):
        """See Search; what is kept begins with the symbols that are decided."""
        if count is None:
            leader, count = self._final()
            states = tuple(scorer.start() for scorer in self._scorers)
        else:
            leader = self._leader()
            states = self._resumed(leader.ancestor(count))
        is_open = leader.depth > count
        decided = leader.ancestor(count)
        first_frame = leader.entries()[count - 1][0] + 1 if count else 0
        root = self._root(decided.symbol, states=states)
        kept = []
        for prefix in self._kept:
            if prefix.depth < count or prefix.ancestor(count) is not decided:
                continue
            rest = prefix.symbols_after(count)
            # Where a word follows the cut, a text in which the word before it goes on contradicts the decision.
            if is_open and count and not self._begins_word(decided, rest):
                continue
            grown = self._grow(root, rest)
            if grown is not None:
                grown.inherit(prefix, count=len(rest), shift=leader.mass, first_frame=first_frame)
                kept.append(grown)
        if not kept:
            # A grammar lets nothing follow that was heard: the sentence begins anew.
            root.mass = root.mass_blank = root.best_blank = 0.0
            kept = [root]
        self._kept[0].ancestor(0).dissolve()
        self._kept = kept
        self._trail = Trail()

    def _step(self, blank_logprob, tried):
        """Read one frame: the log-probability of blank, and (symbol, log-probability) of the others that are tried."""
        logprob_of = dict(tried)
        frame, reached = self._num_frames, []
        self._num_frames += 1
        for prefix in self._kept:
            mass, mass_blank, last = prefix.mass, prefix.mass_blank, prefix.symbol
            if prefix.best_blank >= prefix.best_symbol:
                best, path = prefix.best_blank, prefix.path_blank
            else:
                best, path = prefix.best_symbol, prefix.path_symbol
            # The same text, by a blank or by its last symbol held on; it may have been reached from its parent already.
            prefix.next_mass_blank = mass + blank_logprob
            prefix.next_best_blank, prefix.next_path_blank = best + blank_logprob, path
            repeat = logprob_of.get(last)
            if repeat is not None:
                prefix.next_mass_symbol = log_add(prefix.next_mass_symbol, prefix.mass_symbol + repeat)
                if prefix.best_symbol + repeat >= prefix.next_best_symbol:
                    prefix.next_best_symbol, prefix.next_path_symbol = prefix.best_symbol + repeat, prefix.path_symbol
            for symbol, logprob in tried:
                if symbol == last:
                    # A symbol follows itself only across a blank.
                    from_mass, from_best, from_path = mass_blank, prefix.best_blank, prefix.path_blank
                else:
                    from_mass, from_best, from_path = mass, best, path
                if from_mass == NEVER:
                    continue
                child = prefix.children.get(symbol)
                if child is None:
                    child = self._extend(prefix, symbol)
                    if child is None:
                        continue
                if not child.is_kept and child.next_mass_symbol == NEVER:
                    reached.append(child)
                child.next_mass_symbol = log_add(child.next_mass_symbol, from_mass + logprob)
                if from_best + logprob > child.next_best_symbol:
                    child.next_best_symbol = from_best + logprob
                    child.next_path_symbol = (from_path, frame, logprob)
        self._prune(self._kept + reached)

    def _prune(self, prefixes):
        """Keep the best texts; forget the others, but for what the kept ones begin with."""
        for prefix in prefixes:
            prefix.turn()
            prefix.is_kept = True
        if len(prefixes) > self._settings.beam:
            kept = heapq.nlargest(self._settings.beam, prefixes, key=_SCORE)
            for prefix in prefixes:
                prefix.is_kept = False
            for prefix in kept:
                prefix.is_kept = True
            for prefix in prefixes:
                prefix.forget()
            prefixes = kept
        self._kept = prefixes

    def _extend(self, prefix, symbol):
        """Return the prefix that is one symbol longer; None where a scorer forbids it."""
        states, bonus, is_complete = [], prefix.bonus, True
        for scorer, state in zip(self._scorers, prefix.states, strict=True):
            step = scorer.step(state, symbol)
            if step is None:
                return None
            states.append(step[0])
            bonus += step[1]
            is_complete = is_complete and scorer.is_complete(step[0])
        depth = prefix.depth + 1
        num_complete = depth if is_complete else prefix.num_complete
        child = Prefix(prefix, symbol, states=tuple(states), bonus=bonus, depth=depth, num_complete=num_complete)
        prefix.children[symbol] = child
        return child

    def _grow(self, root, symbols):
        """Return the prefix that `symbols` spell from root on, or None where a scorer forbids it."""
        prefix = root
        for symbol in symbols:
            child = prefix.children.get(symbol)
            prefix = self._extend(prefix, symbol) if child is None else child
            if prefix is None:
                return None
        return prefix

    def _root(self, symbol, *, states):
        root = Prefix(None, symbol, states=states, bonus=0.0, depth=0, num_complete=0)
        root.is_kept = True
        return root

    def _resumed(self, prefix):
        return tuple(scorer.resume(state) for scorer, state in zip(self._scorers, prefix.states, strict=True))

    def _begins_word(self, decided, rest):
        return self._is_bare_start[decided.symbol] or (bool(rest) and self._starts_word[rest[0]])

    def _leader(self):
        return max(self._kept, key=_SCORE)

    def _partial(self):
        leader = self._leader()
        return leader, leader.num_complete

    def _final(self):
        """Return (prefix, number of its symbols) that is the best if nothing more is said."""
        complete = [prefix for prefix in self._kept if prefix.num_complete == prefix.depth]
        if not complete:
            return self._partial()
        best = max(complete, key=self._final_score)
        return best, best.depth

    def _final_score(self, prefix):
        ends = (scorer.finish(state) for scorer, state in zip(self._scorers, prefix.states, strict=True))
        return prefix.score + sum(ends)
