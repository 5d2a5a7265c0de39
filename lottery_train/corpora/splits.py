"""Splits for corpora that come without: deterministic, and disjoint in speakers."""

import hashlib

from lottery_train.corpora.corpus import SPLITS
from lottery_train.errors import CorpusError

HELD_OUT_FRACTION = 0.1


def _rank(key):
    return hashlib.sha256(key.encode()).hexdigest()


def hold_out(utterances, *, splits=("dev", "test"), fraction=HELD_OUT_FRACTION):
    """Divide utterances into "train" and the named held-out splits, by a hash of the speaker.

    Every split gets at least one speaker and about `fraction` of the speakers. With fewer speakers than splits (or
    none named) files are divided instead. The outcome depends on the names alone, not on their order.

    Args:
        utterances: list of Utterance.
        splits: names of the splits to hold out.
        fraction: share of speakers (or files) in each held-out split, 0 < fraction < 0.5.
    Returns:
        dict of split name -> list of Utterance, each in the order given.
    Raises:
        CorpusError: fewer files than splits.
    """
    speakers = {utterance.speaker for utterance in utterances}
    by_speaker = None not in speakers and len(speakers) > len(splits)

    def group(utterance):
        if by_speaker:
            return utterance.speaker
        return f"{utterance.audio_path.name} {utterance.offset_s} {utterance.text}"

    groups = sorted({group(utterance) for utterance in utterances}, key=_rank)
    if len(groups) <= len(splits):
        raise CorpusError(f"{len(groups)} recordings cannot be divided into {', '.join(('train', *splits))}")
    per_split = max(1, min(round(len(groups) * fraction), (len(groups) - 1) // max(1, len(splits))))
    split_of = {}
    for number, split in enumerate(splits):
        split_of |= dict.fromkeys(groups[number * per_split : (number + 1) * per_split], split)
    divided = {split: [] for split in ("train", *splits)}
    for utterance in utterances:
        divided[split_of.get(group(utterance), "train")].append(utterance)
    return divided


def complete_splits(splits):
    """Hold out whichever of dev and test a corpus lacks from its training part.

    Args:
        splits: split name -> list of Utterance; "train" must not be empty.
    Returns:
        the same dict with "train", "dev" and "test" all filled.
    Raises:
        CorpusError: no training utterance, or too few to hold any out.
    """
    if not splits.get("train"):
        raise CorpusError("no utterance for training")
    missing = tuple(split for split in SPLITS[1:] if not splits.get(split))
    return splits | hold_out(splits["train"], splits=missing) if missing else splits
