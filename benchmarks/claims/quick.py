"""The suite made small: shares of the packs (or of the embedded corpus), tiny models, two rounds."""

import itertools

import numpy as np
import soundfile

from benchmarks.claims.registry import Scale
from lottery_train.corpora import Utterance, find_corpus, read_manifest, write_manifest
from lottery_train.corpora.corpus import SPLITS, has_manifests

_CONFORMER = ("num_blocks=2", "model_width=16", "stem_width=8", "ff=24", "heads=2", "head_width=8", "conv=16")
_LSTM = ("cnn_channels=[4,8]", "lstm_layers=2", "lstm_width=16")
QUICK = Scale(
    rounds=2,
    smaller=(
        "--tokens", "char", "--epochs", "2", "--level-epochs", "1", "--batch-s", "12", "--rewind-steps", "2",
        "--set", "train.num_evaluations=1", "--set", "train.average_best=1", "--set", "data.speeds=[1.0]",
    ),
    models=(
        ("an4", _CONFORMER),
        ("an4-cnn-lstm", _LSTM),
        ("an4-rnnt", (*_CONFORMER, "embedding_width=8", "predictor_width=16", "joiner_width=16")),
        ("an4-unstructured", _CONFORMER),
        ("mini_librispeech", _CONFORMER),
    ),
)  # fmt: skip
PACKS = ("an4", "mini_librispeech", "coffee_commands", "asterisk_en")
_COUNTS = {"train": 12, "dev": 4, "test": 6}
_LONGEST_S = 6.0
_RATE_HZ = 16000


def write_packs(folder, *, data_dir):
    """Write small packs into a folder, once: shares of those in data_dir, of the embedded corpus where one is absent.

    Returns:
        the folder.
    """
    for number, name in enumerate(PACKS):
        if has_manifests(folder / name):
            continue
        is_there = data_dir is not None and has_manifests(data_dir / name)
        corpus = find_corpus(name, data_dir=data_dir) if is_there else find_corpus("embedded")
        for split in sorted(SPLITS, key="train".__eq__):
            utterances, _ = read_manifest(corpus.splits[split])
            short = (each for each in utterances if 0.8 <= each.duration_s <= _LONGEST_S)
            first = 0 if is_there else number * _COUNTS[split]
            (folder / name).mkdir(parents=True, exist_ok=True)
            share = list(itertools.islice(short, first, first + _COUNTS[split]))
            write_manifest(folder / name / f"{split}.jsonl", utterances=share)
    write_noise(folder / "noise")
    return folder


def write_noise(folder):
    """Write two seconds of white noise for training, and of brown noise for tests."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    white = rng.standard_normal(2 * _RATE_HZ)
    for split, samples in (("train", white), ("test", np.cumsum(white) / 50)):
        path = folder / f"{split}.wav"
        if not path.exists():
            soundfile.write(path, np.clip(0.1 * samples, -1, 1).astype(np.float32), _RATE_HZ)
        noise = Utterance(audio_path=path, duration_s=2.0, text="")
        write_manifest(folder / f"{split}.jsonl", utterances=[noise])
