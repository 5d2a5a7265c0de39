"""A mix of corpora, such as `an4*2+fsdd`: trained on together, each as often as it says."""

import re

from lottery_train.corpora.corpus import SPLITS
from lottery_train.corpora.locate import find_corpus
from lottery_train.corpora.manifest import read_manifest
from lottery_train.errors import CorpusError

_PART = re.compile(r"([^*+]+)(?:\*([1-9]\d?))?")


def parse_mix(text):
    """Return ((name, times), …) of a mix: names joined by +, each with *N where it is taken N times.

    Raises:
        CorpusError: not of that form, or a name comes twice.
    """
    matches = [_PART.fullmatch(part.strip()) for part in text.split("+")]
    if not all(matches):
        raise CorpusError(f"corpus {text!r}: expected names joined by +, such as an4 or an4*2+fsdd")
    parts = tuple((match[1].strip(), int(match[2] or 1)) for match in matches)
    if len({name for name, _ in parts}) < len(parts):
        raise CorpusError(f"corpus {text!r}: a name comes twice", hint="write an4*2 to take an4 twice")
    return parts


def find_mix(text, *, data_dir=None):
    """Find every corpus of a mix, see `find_corpus`: list of (Corpus, times).

    Raises:
        CorpusError: not a mix, a corpus is not there, or two of them are one: `data_dir` is a corpus itself.
    """
    corpora = [(find_corpus(name, data_dir=data_dir), times) for name, times in parse_mix(text)]
    if len({corpus.splits["train"].resolve() for corpus, _ in corpora}) < len(corpora):
        raise CorpusError(
            f"corpus {text!r}: {data_dir} is one corpus, not a folder of them", hint="name the folder above it"
        )
    return corpora


def read_mix(text, *, data_dir=None):
    """Read the splits of a mix; lines that cannot be used are left out.

    Args:
        text: as for `parse_mix`.
        data_dir: see `find_corpus`.
    Returns:
        split -> (utterances, skipped): lists of Utterance and Skipped; train holds an utterance as often as its corpus
        is taken, dev and test hold it once.
    Raises:
        CorpusError: a corpus or a manifest is not there, or nothing in a manifest can be used.
    """
    corpora = find_mix(text, data_dir=data_dir)
    splits = {split: ([], []) for split in SPLITS}
    for corpus, times in corpora:
        for split, (utterances, skipped) in splits.items():
            if split not in corpus.splits:
                raise CorpusError(f"corpus {corpus.name!r} has no {split}.jsonl beside {corpus.splits['train']}")
            found, left_out = read_manifest(corpus.splits[split], on_error="skip")
            utterances += found * (times if split == "train" else 1)
            skipped += left_out
    return splits
