"""An n-gram language model of a corpus's own transcripts, written as ARPA: Witten-Bell, interpolated."""

import math
from collections import Counter, defaultdict

from runtime.files import write_atomic

_BEGIN, _END, _UNKNOWN = "<s>", "</s>", "<unk>"
# ARPA's way to say never: nothing predicts the beginning of a sentence.
_NEVER_LOG10 = -99.0


def write_ngrams(path, *, texts, order):
    """Write the model of `texts` to an ARPA file.

    The probability of a word behind a history mixes what was seen there with the model of the shorter history, in
    proportion to how many different words followed; below the single words stands an equal share for each word, and
    one for all that never occurred.

    Args:
        path: file to write.
        texts: sentences of words with single spaces; at least one word in all.
        order: longest n-gram, >= 2: KenLM reads no less.
    Raises:
        ValueError: there is no word, or order is below 2.
    Source: Witten & Bell 1991; Chen & Goodman, "An empirical study of smoothing techniques for language modeling",
        TR-10-98, Harvard 1998, sec. 2.4, for the interpolated form.
    """
    if order < 2 or not any(text.split() for text in texts):
        raise ValueError(f"order is {order}, and {len(texts)} texts hold no word: expected 2 or more, and a word")
    followers = _count(texts, order=order)
    vocabulary = [*sorted(followers[()]), _UNKNOWN]
    probability, sections = {(): 1 / len(vocabulary)}, []
    for length in range(order):
        grams = [
            (*history, word)
            for history, seen in sorted(followers.items())
            if len(history) == length
            for word in (sorted(seen) if history else vocabulary)
        ]
        for gram in grams:
            seen = followers[gram[:-1]]
            shorter = probability[gram[1:] if length else ()]
            probability[gram] = (seen[gram[-1]] + len(seen) * shorter) / (seen.total() + len(seen))
        sections.append(grams)
    probability[(_BEGIN,)] = 10**_NEVER_LOG10
    sections[0].append((_BEGIN,))
    lines = ["\\data\\", *(f"ngram {length}={len(grams)}" for length, grams in enumerate(sections, start=1))]
    for length, grams in enumerate(sections, start=1):
        lines += ["", f"\\{length}-grams:"]
        for gram in grams:
            line = f"{math.log10(probability[gram]):.7f}\t{' '.join(gram)}"
            seen = followers.get(gram) if length < order else None
            # What is left for words that were never seen here, and the shorter history decides.
            lines.append(f"{line}\t{math.log10(len(seen) / (seen.total() + len(seen))):.7f}" if seen else line)
    write_atomic(path, "\n".join([*lines, "", "\\end\\", ""]).encode())


def _count(texts, *, order):
    """Return {history: Counter of the words that follow}, for histories of 0 to order - 1 words."""
    followers = defaultdict(Counter)
    for text in texts:
        words = (_BEGIN, *text.split(), _END)
        for end in range(1, len(words)):
            for length in range(min(order, end + 1)):
                followers[words[end - length : end]][words[end]] += 1
    return dict(followers)
