"""Which texts fit their recordings: CTC spells at most one symbol a frame, and needs a blank between two equal ones.

Source: Graves et al. 2006, sec. 3.1: a text without such an alignment has probability 0, and its loss is infinite.
"""

from dataclasses import dataclass

import numpy as np

from lottery_train.dataset import Dataset
from runtime.features import num_chunks
from runtime.tokenizer import WORD_START


def needed_frames(symbols):
    """Return how many frames CTC needs to spell a sequence of symbols (ids or characters)."""
    return len(symbols) + sum(first == second for first, second in zip(symbols, symbols[1:], strict=False))


def encoder_frames(num_frames):
    """Return how many encoder frames (40 ms) hear something of a clip of so many feature frames.

    The padding to whole chunks is left out: what only it can hold depends on the chunk length.
    """
    return num_chunks(num_frames, chunk_frames=1)


@dataclass(frozen=True, kw_only=True)
class Alignable:
    """A dataset that training can align.

    Args:
        dataset: Dataset of the utterances whose text fits at least one copy of the recording; a copy that is too short
            gives way to the shortest one that is not.
        skipped: what does not fit any copy, as "file:line: reason".
        shortened: what does not fit every copy, in the same form.
    """

    dataset: Dataset
    skipped: tuple[str, ...]
    shortened: tuple[str, ...]


def keep_alignable(dataset, *, encode):
    """Leave out what CTC cannot align: no gradient comes of it, and a loss of 0 in every mean.

    Both losses of `lottery_train.objective` count: the one on the tokens, and the one on the characters.

    Args:
        dataset: Dataset.
        encode: text -> symbol ids.
    Returns:
        Alignable; its dataset knows the `needed_frames` of each text.
    """
    starts, lengths = dataset.starts.copy(), dataset.lengths.copy()
    keep, needs, skipped, shortened = [], [], [], []
    for place, text in enumerate(dataset.texts):
        need = max(needed_frames(encode(text)), needed_frames(WORD_START.join(text.split())))
        has = np.array([encoder_frames(int(length)) for length in lengths[:, place]])
        reason = f"{dataset.origins[place]}: its text needs {need} frames of 40 ms, the recording has {has.max()}"
        if has.max() < need:
            skipped.append(reason)
            continue
        if has.min() < need:
            shortened.append(f"{reason}, but its fastest copy {has.min()}")
            other = min(np.flatnonzero(has >= need), key=lambda variant: lengths[variant, place])
            starts[has < need, place], lengths[has < need, place] = starts[other, place], lengths[other, place]
        keep.append(place)
        needs.append(need)
    kept = Dataset(
        features=dataset.features,
        starts=starts[:, keep],
        lengths=lengths[:, keep],
        texts=[dataset.texts[place] for place in keep],
        origins=[dataset.origins[place] for place in keep],
        skipped=[*dataset.skipped, *skipped],
        fingerprint=dataset.fingerprint,
        needed_frames=np.array(needs, np.int64),
    )
    return Alignable(dataset=kept, skipped=tuple(skipped), shortened=tuple(shortened))
