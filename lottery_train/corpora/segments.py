"""Negatives: recordings of what a recogniser must not answer to, cut into short utterances without text."""

import dataclasses
import math

from lottery_train.corpora.locate import find_corpus
from lottery_train.corpora.manifest import read_manifest

_LONGEST_S = 6.0


def read_negatives(sources, *, data_dir=None):
    """Read negatives: speech outside the vocabulary, other languages, noise.

    Args:
        sources: manifests (*.jsonl) and names of corpora, whose train split is taken, separated by commas; None for
            none. Texts in them are ignored.
        data_dir: where corpora are looked for first, see `find_corpus`.
    Returns:
        (utterances, skipped): lists of Utterance with empty text, longer ones cut into equal parts of up to 6 s, and
        of Skipped.
    Raises:
        CorpusError: a corpus is not there, a manifest cannot be read, or no line of it can be used.
    """
    utterances, skipped = [], []
    for source in map(str.strip, sources.split(",")) if sources else ():
        path = source if source.endswith(".jsonl") else find_corpus(source, data_dir=data_dir).splits["train"]
        found, left_out = read_manifest(path, on_error="skip", needs_text=False)
        utterances += [part for utterance in found for part in _cut(dataclasses.replace(utterance, text=""))]
        skipped += left_out
    return utterances, skipped


def _cut(utterance):
    count = math.ceil(utterance.duration_s / _LONGEST_S)
    if count == 1:
        return [utterance]
    length_s, start_s = utterance.duration_s / count, utterance.offset_s or 0.0
    return [
        dataclasses.replace(utterance, offset_s=round(start_s + number * length_s, 3), duration_s=round(length_s, 3))
        for number in range(count)
    ]
