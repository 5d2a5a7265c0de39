"""Corpora: manifests, where they are found, how official layouts become manifests, and the embedded corpus."""

from lottery_train.corpora.audio import load_audio, measure_duration_s
from lottery_train.corpora.corpus import SPLITS, Corpus, open_corpus
from lottery_train.corpora.embedded import build as build_embedded
from lottery_train.corpora.locate import cache_dir, find_corpus
from lottery_train.corpora.manifest import Skipped, Utterance, check_characters, read_manifest, write_manifest
from lottery_train.corpora.mix import find_mix, parse_mix, read_mix
from lottery_train.corpora.noise import draw_noise, load_noise
from lottery_train.corpora.registry import IMPORTERS, import_corpus
from lottery_train.corpora.segments import read_negatives
from lottery_train.corpora.transcript import normalize_transcript

__all__ = [
    "IMPORTERS",
    "SPLITS",
    "Corpus",
    "Skipped",
    "Utterance",
    "build_embedded",
    "cache_dir",
    "check_characters",
    "draw_noise",
    "find_corpus",
    "find_mix",
    "import_corpus",
    "load_audio",
    "load_noise",
    "measure_duration_s",
    "normalize_transcript",
    "open_corpus",
    "parse_mix",
    "read_manifest",
    "read_mix",
    "read_negatives",
    "write_manifest",
]
