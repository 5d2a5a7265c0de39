"""The texts of a beam search: a tree in which each is its parent and one more symbol."""

import math

NEVER = -math.inf


class Prefix:
    """A text, as the last symbol of a shorter one, and how probable the frames so far make it.

    `mass` sums over all alignments, `best` is the best of them and `path` its (path before, frame, log-probability) of
    each symbol; `_blank` and `_symbol` are alignments that end in a blank and in the text's last symbol.

    Args:
        parent: the text without its last symbol; None at the root.
        symbol: the last symbol; at the root what came before it, None at the start of a stream.
        states: one state a scorer.
        bonus: what the scorers added so far, natural log.
        depth: number of symbols.
        num_complete: how many of them are a text that a grammar lets be; all where there is none.
    """

    __slots__ = (
        "best_blank", "best_symbol", "bonus", "children", "depth", "is_kept", "mass", "mass_blank", "mass_symbol",
        "next_best_blank", "next_best_symbol", "next_mass_blank", "next_mass_symbol", "next_path_blank",
        "next_path_symbol", "num_complete", "parent", "path_blank", "path_symbol", "states", "symbol",
    )  # fmt: skip

    def __init__(self, parent, symbol, *, states, bonus, depth, num_complete):
        self.parent, self.symbol, self.states, self.bonus, self.depth = parent, symbol, states, bonus, depth
        self.num_complete = num_complete
        self.children = {}
        self.is_kept = False
        self.mass = self.mass_blank = self.mass_symbol = self.best_blank = self.best_symbol = NEVER
        self.path_blank = self.path_symbol = None
        self.clear_next()

    def clear_next(self):
        self.next_mass_blank = self.next_mass_symbol = self.next_best_blank = self.next_best_symbol = NEVER
        self.next_path_blank = self.next_path_symbol = None

    def turn(self):
        """Make the next frame the present one."""
        self.mass_blank, self.mass_symbol = self.next_mass_blank, self.next_mass_symbol
        self.mass = log_add(self.mass_blank, self.mass_symbol)
        self.best_blank, self.best_symbol = self.next_best_blank, self.next_best_symbol
        self.path_blank, self.path_symbol = self.next_path_blank, self.next_path_symbol
        self.clear_next()

    def ancestor(self, depth):
        """Return the prefix of `depth` symbols."""
        prefix = self
        while prefix.depth > depth:
            prefix = prefix.parent
        return prefix

    @property
    def score(self):
        """Natural-log probability of the frames so far, and what the scorers added."""
        return self.mass + self.bonus

    def symbols_after(self, depth):
        """Return the symbols behind the first `depth`."""
        symbols, prefix = [], self
        while prefix.depth > depth:
            symbols.append(prefix.symbol)
            prefix = prefix.parent
        return symbols[::-1]

    @property
    def path(self):
        """The best alignment: nested (path before, frame, log-probability), one for each symbol."""
        return self.path_blank if self.best_blank >= self.best_symbol else self.path_symbol

    def entries(self):
        """Return the (frame, log-probability) of every symbol in the best alignment."""
        return path_entries(self.path, count=self.depth)

    def forget(self):
        """Leave the tree when nothing that is kept goes on from here; then the parent, if it was only that."""
        prefix = self
        while not prefix.is_kept and not prefix.children and prefix.parent is not None:
            parent = prefix.parent
            if parent.children.pop(prefix.symbol, None) is None:
                break
            prefix = parent

    def dissolve(self):
        """Cut the tree below into single texts, which Python frees at once; a tree would wait for the collector."""
        waiting = [self]
        while waiting:
            prefix = waiting.pop()
            waiting.extend(prefix.children.values())
            prefix.children.clear()

    def inherit(self, old, *, count, shift, first_frame):
        """Take over what is known of the same text in another tree, where more symbols came before.

        Args:
            old: that text.
            count: how many of its symbols are this text's.
            shift: natural log, taken from every probability: what came before is common to all, and without it the
                numbers stay small for ever.
            first_frame: no symbol begins earlier; another alignment of the symbols before may have ended later.
        """
        self.is_kept = True
        self.mass, self.mass_blank, self.mass_symbol = old.mass - shift, old.mass_blank - shift, old.mass_symbol - shift
        self.best_blank, self.best_symbol = old.best_blank - shift, old.best_symbol - shift
        self.path_blank = _shorter_path(old.path_blank, count=count, first_frame=first_frame)
        self.path_symbol = _shorter_path(old.path_symbol, count=count, first_frame=first_frame)


class Trail:
    """Symbols, frames and log-probabilities of one prefix after another: only what is new is walked through."""

    def __init__(self):
        self._prefixes, self._paths = [], []
        self.ids, self.frames, self.logprobs = [], [], []

    def follow(self, prefix):
        """Make ids, frames and logprobs those of a prefix; return how many at the start stay what they were."""
        num_same, fresh = self._walk(self._prefixes, prefix, depth=prefix.depth, before=lambda link: link.parent)
        self.ids[num_same:] = [link.symbol for link in fresh]
        kept, fresh = self._walk(self._paths, prefix.path, depth=prefix.depth, before=lambda link: link[0])
        self.frames[kept:] = [frame for _, frame, _ in fresh]
        self.logprobs[kept:] = [logprob for _, _, logprob in fresh]
        return min(num_same, kept)

    @staticmethod
    def _walk(known, link, *, depth, before):
        """Make `known` the chain of `depth` links that ends in `link`; return (how many stayed, those that are new)."""
        fresh = []
        while depth and not (depth <= len(known) and known[depth - 1] is link):
            fresh.append(link)
            link, depth = before(link), depth - 1
        fresh.reverse()
        known[depth:] = fresh
        return depth, fresh


def path_entries(path, *, count):
    """Return the last `count` (frame, log-probability) of a path, in order of time."""
    entries = []
    while len(entries) < count:
        path, frame, logprob = path
        entries.append((frame, logprob))
    return entries[::-1]


def log_add(a, b):
    """Return log(exp(a) + exp(b)) of two floats, -inf among them."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))


def _shorter_path(path, *, count, first_frame):
    shorter = None
    if path is not None:
        for frame, logprob in path_entries(path, count=count):
            shorter = (shorter, max(frame, first_frame), logprob)
    return shorter
