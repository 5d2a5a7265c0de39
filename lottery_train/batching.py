"""Batches: utterances of like length together, a pure function of (seed, epoch), so that any step can be redone alone.

Shapes: B batch, T feature frames, F mel bins, U symbols.
"""

from dataclasses import dataclass

import numpy as np
import torch

from lottery_train.augment import spec_augment
from lottery_train.perturb import change_level, perturb
from runtime.features import FEATURE_FRAMES_PER_S, PADDING_VALUE, num_chunks, padded_frames


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Symbols to spell: ids_BU int64, padded with 0, and lengths int64 (B,)."""

    ids_BU: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def pad(cls, sequences):
        """Return the targets of lists of ids."""
        ids = [torch.tensor(part, dtype=torch.int64) for part in sequences]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        return cls(ids_BU=padded, lengths=torch.tensor([len(part) for part in ids]))

    def to(self, device):
        """Return the targets on a device."""
        return Targets(ids_BU=self.ids_BU.to(device), lengths=self.lengths.to(device))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded examples.

    Args:
        features_BTF: float32, padded with PADDING_VALUE to whole chunks.
        input_lengths: int64 (B,): encoder frames (whole chunks) of each example.
        targets: Targets in the model's tokens.
        characters: Targets in characters, or None.
        chunk: encoder frames a chunk.
        audio_s: seconds of audio without padding.
    """

    features_BTF: torch.Tensor
    input_lengths: torch.Tensor
    targets: Targets
    characters: Targets | None
    chunk: int
    audio_s: float

    def to(self, device):
        """Return the batch on a device."""
        return Batch(
            features_BTF=self.features_BTF.to(device, non_blocking=True),
            input_lengths=self.input_lengths.to(device),
            targets=self.targets.to(device),
            characters=self.characters and self.characters.to(device),
            chunk=self.chunk,
            audio_s=self.audio_s,
        )


def epoch_batches(
    dataset,
    *,
    batch_s,
    join_probability,
    max_utterance_s,
    seed,
    epoch,
    is_sorted=False,
    world_size=1,
    negatives_share=1.0,
):
    """Plan one epoch.

    Args:
        batch_s: padded seconds a batch.
        negatives_share: share of the epoch's audio that utterances without text may take; another part of them is
            drawn in every epoch.
        join_probability: chance that an utterance is joined with the next one drawn.
        is_sorted: shortest batches first instead of a random order.
    Returns:
        list of batches; a batch is a list of examples, an example a tuple of (utterance, variant) pairs. The number of
        batches is a multiple of `world_size`; process r takes every world_size-th from r.
    """
    rng = np.random.default_rng([seed, epoch])
    order = _draw_utterances(dataset, rng=rng, negatives_share=negatives_share)
    variant = rng.integers(dataset.num_variants, size=len(dataset))
    lengths = np.array([dataset.num_frames(number) for number in range(dataset.num_variants)])
    joins = rng.random(len(dataset)) < join_probability
    examples, sizes, place = [], [], 0
    while place < len(order):
        parts = [order[place]]
        if joins[place] and place + 1 < len(order):
            both = order[place : place + 2]
            pair = sum(lengths[variant[u], u] for u in both)
            # Between the texts there is a word start, or a blank where the same piece ends one and begins the other.
            fits = dataset.needed_frames[both].sum() + 1 <= num_chunks(int(pair), chunk_frames=1)
            if fits and pair <= max_utterance_s * FEATURE_FRAMES_PER_S:
                parts.append(order[place + 1])
        place += len(parts)
        examples.append(tuple((int(u), int(variant[u])) for u in parts))
        sizes.append(sum(int(lengths[variant[u], u]) for u in parts))
    # Jitter of a tenth: neighbours change from epoch to epoch, padding stays small.
    by_length = np.argsort(np.array(sizes) * rng.uniform(0.9, 1.1, len(sizes)), kind="stable")
    batches = pack([examples[i] for i in by_length], [sizes[i] for i in by_length], batch_s=batch_s)
    order = np.arange(len(batches)) if is_sorted else rng.permutation(len(batches))
    # Every process needs as many batches as any other: the first ones come again.
    return [batches[i] for i in np.resize(order, -(-len(order) // world_size) * world_size)]


def _draw_utterances(dataset, *, rng, negatives_share):
    """Return the utterances of an epoch in random order: all with text, and as many without as their share allows."""
    order = rng.permutation(len(dataset))
    has_text = np.array([bool(text) for text in dataset.texts])[order]
    frames = dataset.num_frames(0)[order]
    allowed = frames[has_text].sum() * negatives_share / (1 - negatives_share) if negatives_share < 1 else np.inf
    return order[has_text | (np.cumsum(np.where(has_text, 0, frames)) <= allowed)]


def pack(examples, sizes, *, batch_s):
    """Group consecutive examples so that (longest * count) stays within `batch_s` seconds; one example always fits."""
    batches, longest = [], 0
    for example, size in zip(examples, sizes, strict=True):
        longest = max(longest, size)
        if not batches or longest * (len(batches[-1]) + 1) > batch_s * FEATURE_FRAMES_PER_S:
            batches.append([])
            longest = size
        batches[-1].append(example)
    return batches


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to the features of a training batch.

    Args:
        gain_range_db: [low, high] of the gain of every example.
        perturb_probability: chance that an utterance is perturbed, see `lottery_train.perturb`.
        has_spec_augment: whether bands and stretches are hidden.
    """

    gain_range_db: tuple[float, float] = (0.0, 0.0)
    perturb_probability: float = 0.0
    has_spec_augment: bool = False

    def apply(self, parts, *, rng):
        """Return the features of one example, float32 (T, F): its utterances (a list of such), one after the other."""
        parts = [perturb(part, rng=rng) if rng.random() < self.perturb_probability else part for part in parts]
        joined = change_level(np.concatenate(parts), gain_db=rng.uniform(*self.gain_range_db))
        return spec_augment(joined, rng=rng, max_freq_bins=20, max_time_frames=25) if self.has_spec_augment else joined


def collate(dataset, examples, *, encode, chunk, encode_characters=None, rng=None, augmentation=None):
    """Build a batch.

    Args:
        examples: tuples of (utterance, variant) pairs.
        encode: text -> symbol ids; joined utterances are spelled as one text.
        encode_characters: the same for the character loss, or None.
        rng: numpy Generator of the augmentation.
        augmentation: Augmentation; None for evaluation.
    Returns:
        Batch.
    """
    frames, texts = [], []
    for example in examples:
        parts = [dataset.frames(utterance, variant=variant) for utterance, variant in example]
        frames.append(augmentation.apply(parts, rng=rng) if augmentation else np.concatenate(parts))
        texts.append(" ".join(filter(None, (dataset.texts[utterance] for utterance, _ in example))))
    chunks = [num_chunks(len(part), chunk_frames=chunk) for part in frames]
    padded = np.full(
        (len(frames), padded_frames(max(chunks), chunk_frames=chunk), frames[0].shape[1]), PADDING_VALUE, np.float32
    )
    for row, part in zip(padded, frames, strict=True):
        row[: len(part)] = part
    return Batch(
        features_BTF=torch.from_numpy(padded),
        input_lengths=torch.tensor(chunks) * chunk,
        targets=Targets.pad([encode(text) for text in texts]),
        characters=Targets.pad([encode_characters(text) for text in texts]) if encode_characters else None,
        chunk=chunk,
        audio_s=sum(len(part) for part in frames) / FEATURE_FRAMES_PER_S,
    )
