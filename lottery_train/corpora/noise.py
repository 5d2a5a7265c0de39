"""Noise recordings to mix into speech."""

import sys

from lottery_train.corpora.audio import load_audio
from lottery_train.corpora.manifest import read_manifest
from lottery_train.errors import CorpusError


def load_noise(path):
    """Load the recordings of a noise manifest (one like any other, only that `text` may be absent).

    Recordings that cannot be decoded are left out and counted on stderr. About 4 MB of memory a minute of noise.

    Returns:
        tuple of float32 (n,), 16 kHz; at least one.
    Raises:
        CorpusError: the manifest cannot be used, or none of its recordings can.
    """
    clips, _ = read_manifest(path, needs_text=False)
    recordings, errors = [], []
    for clip in clips:
        try:
            recordings.append(load_audio(clip))
        except CorpusError as error:
            errors.append(error)
    if not recordings:
        raise errors[0]
    if errors:
        print(f"noise: {len(errors)} of {len(clips)} recordings left out, the first: {errors[0]}", file=sys.stderr)
    return tuple(recordings)


def draw_noise(recordings, *, rng):
    """Return one of the recordings, each as likely as any other whatever its length."""
    return recordings[rng.integers(len(recordings))]
