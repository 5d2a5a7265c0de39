"""Noise recordings to mix into speech."""

from lottery_train.corpora.audio import load_audio
from lottery_train.corpora.manifest import read_manifest


def load_noise(path):
    """Load every recording of a noise manifest (one like any other, only that `text` may be absent).

    About 4 MB of memory a minute of noise.

    Returns:
        tuple of float32 (n,), 16 kHz.
    Raises:
        CorpusError: the manifest, or a recording it names, cannot be used.
    """
    clips, _ = read_manifest(path, needs_text=False)
    return tuple(load_audio(clip) for clip in clips)


def draw_noise(recordings, *, rng):
    """Return one of the recordings, each as likely as any other whatever its length."""
    return recordings[rng.integers(len(recordings))]
