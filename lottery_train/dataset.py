"""Features of a corpus, computed once, cached on disk, and mapped into memory.

The cache holds one copy of the audio for each variant (speed, noise); an epoch draws one variant for each utterance.
"""

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, replace

import numpy as np
from tqdm import tqdm

from lottery_train.augment import add_noise, speed
from lottery_train.corpora import cache_dir, draw_noise, load_audio, load_noise, read_manifest
from lottery_train.corpora.room import reverberate
from lottery_train.errors import CorpusError
from lottery_train.feature_cache import DATA_NAME, FeatureWriter, open_index
from runtime.features import HOP_SAMPLES, NUM_MELS, fbank
from runtime.files import atomic_directory

# Raised whenever the arithmetic of the features or of the augmentation changes: old caches are then left alone.
CACHE_VERSION = 4


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One copy of the audio.

    Args:
        speed: factor it is played at.
        noise_copy: number of the noise at a drawn SNR (0: clean).
        room_copy: number of the drawn room (0: none).
    """

    speed: float = 1.0
    noise_copy: int = 0
    room_copy: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the features of a split are made from its recordings.

    Args:
        variants: copies to make of each utterance; the first is what statistics are taken from.
        noise: manifest of noise recordings for noisy variants, or None.
        noise_snrs_db: signal-to-noise ratios to draw from, dB.
        seed: of the noise.
        dtype: of the stored features; float16 halves the cache and errs by less than 0.008.
    """

    variants: tuple[Variant, ...] = (Variant(),)
    noise: str | None = None
    noise_snrs_db: tuple[float, ...] = ()
    seed: int = 0
    dtype: str = "float32"

    @classmethod
    def for_training(cls, data, *, seed):
        """Return the recipe that a `DataConfig` asks for."""
        noises = range(data.num_noise_copies + 1) if data.noise else range(1)
        copies = [{"noise_copy": number} for number in noises]
        rooms = range(1, data.num_room_copies + 1)
        copies += [{"room_copy": number, "noise_copy": number if data.noise else 0} for number in rooms]
        variants = tuple(Variant(speed=speed, **copy) for speed in data.speeds for copy in copies)
        return cls(variants=variants, noise=data.noise, noise_snrs_db=data.noise_snrs_db, seed=seed, dtype="float16")


class Dataset:
    """Features and texts of one split.

    Args:
        features: (all frames, 80) of the recipe's dtype, every variant of every utterance.
        starts, lengths: int64 (variants, utterances): first row and number of rows of each.
        texts, origins: one for each utterance: its transcript, and where it stands (`manifest:line`).
        skipped: what could not be used, as "file:line: reason".
        fingerprint: identity of the data, see `fingerprint`.
        needed_frames: int64 (utterances,): encoder frames that each text needs, see `lottery_train.alignment`; None
            where nobody asked.
    """

    def __init__(self, *, features, starts, lengths, texts, origins, skipped, fingerprint, needed_frames=None):
        self.features, self.starts, self.lengths = features, starts, lengths
        self.texts, self.origins = texts, origins
        self.skipped, self.fingerprint = skipped, fingerprint
        self.needed_frames = np.zeros(len(texts), np.int64) if needed_frames is None else needed_frames

    def __len__(self):
        return len(self.texts)

    @property
    def num_variants(self):
        """Copies of each utterance."""
        return len(self.lengths)

    def num_frames(self, variant):
        """Return int64 (utterances,): frames of each utterance in a variant."""
        return self.lengths[variant]

    def frames(self, utterance, *, variant=0):
        """Return float32 (T, 80), a fresh array."""
        first = self.starts[variant, utterance]
        return self.features[first : first + self.lengths[variant, utterance]].astype(np.float32)

    def statistics(self):
        """Return (mean, standard deviation) of every mel bin over the first variant: float64 (80,) each."""
        total, squares = np.zeros(NUM_MELS), np.zeros(NUM_MELS)
        for utterance in range(len(self)):
            frames = self.frames(utterance).astype(np.float64)
            total, squares = total + frames.sum(0), squares + np.square(frames).sum(0)
        mean = total / self.lengths[0].sum()
        return mean, np.sqrt(np.maximum(squares / self.lengths[0].sum() - mean**2, 0))


def load_dataset(utterances, *, recipe=None, skipped=(), name="audio"):
    """Compute, or find in the cache, the features of a split; a cache that is damaged is computed again.

    Args:
        utterances: sequence of `corpora.Utterance`.
        recipe: Recipe; None for the recordings as they are.
        skipped: skipped manifest lines so far; recordings that cannot be read, or are not as long as their manifest
            says, are added.
        name: what the progress bar calls it.
    Returns:
        Dataset.
    Raises:
        CorpusError: not one utterance can be used, or the noise cannot be read.
    """
    recipe = recipe or Recipe()
    folder = cache_dir() / "features" / _cache_key(utterances, recipe)
    check = {"dtype": recipe.dtype, "num_utterances": len(utterances), "name": name}
    index = open_index(folder, **check)
    if index is None:
        noises = load_noise(recipe.noise) if recipe.noise else ()
        with atomic_directory(folder) as partial:
            _build(partial, utterances, recipe=recipe, noises=noises, name=name)
        index = open_index(folder, **check)
        if index is None:
            raise CorpusError(f"{folder}: the features are not what was just written", hint="check the disk")
    return Dataset(
        features=np.memmap(folder / DATA_NAME, dtype=recipe.dtype, mode="r").reshape(-1, NUM_MELS),
        starts=np.array(index["starts"], np.int64).T,
        lengths=np.array(index["lengths"], np.int64).T,
        texts=[utterances[number].text for number in index["utterances"]],
        origins=[utterances[number].origin for number in index["utterances"]],
        # The origin is today's: lines of a manifest move while the cache stays.
        skipped=[*map(str, skipped), *(f"{utterances[place].origin}: {reason}" for place, reason in index["skipped"])],
        fingerprint=fingerprint(utterances),
    )


def fingerprint(utterances):
    """Return a SHA-256 over names, sizes, places and texts: the identity of data wherever it lies."""
    digest = hashlib.sha256()
    for utterance in utterances:
        size = utterance.audio_path.stat().st_size
        digest.update(os.fsencode(utterance.audio_path.name))
        digest.update(f"\t{size}\t{utterance.offset_s}\t{utterance.duration_s}\t{utterance.text}\n".encode())
    return digest.hexdigest()


def _cache_key(utterances, recipe):
    """Return what names a cache: data, recipe, and the age of every recording."""
    paths = [utterance.audio_path for utterance in utterances]
    settings = asdict(replace(recipe, noise=None))
    if recipe.noise:
        noises, _ = read_manifest(recipe.noise, needs_text=False)
        settings["noise"] = fingerprint(noises)
        paths += [utterance.audio_path for utterance in noises]
    ages = [path.stat().st_mtime_ns for path in paths]
    key = json.dumps([CACHE_VERSION, fingerprint(utterances), settings, ages])
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def _build(folder, utterances, *, recipe, noises, name):
    bar = tqdm(
        utterances, desc=f"features {name}", unit="utt", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False
    )
    with open(folder / DATA_NAME, "wb") as file:
        writer = FeatureWriter(file, dtype=recipe.dtype)
        for place, utterance in enumerate(bar):
            try:
                writer.add(place, _variants(_load(utterance), place=place, recipe=recipe, noises=noises))
            except CorpusError as error:
                writer.skip(place, str(error).removeprefix(f"{utterance.origin}: "))
    if not writer.index["utterances"]:
        first = [f"; the first: {utterances[place].origin}: {reason}" for place, reason in writer.index["skipped"][:1]]
        raise CorpusError(f"{name}: none of {len(utterances)} recordings can be used{''.join(first)}")
    writer.write_index(folder)


def _load(utterance):
    samples = load_audio(utterance)
    if len(samples) < HOP_SAMPLES:
        raise CorpusError(f"{utterance.audio_path} holds {len(samples)} samples, less than a frame")
    return samples


def _variants(samples, *, place, recipe, noises):
    """Return the features of every variant of a recording: list of float32 (T, 80)."""
    variants = []
    for number, variant in enumerate(recipe.variants):
        rng = np.random.default_rng([recipe.seed, place, number])
        variants.append(fbank(_render(samples, variant=variant, recipe=recipe, noises=noises, rng=rng)))
    return variants


def _render(samples, *, variant, recipe, noises, rng):
    if variant.speed != 1.0:
        samples = speed(samples, factor=variant.speed)
    if variant.room_copy:
        samples = reverberate(samples, rng=rng)
    if variant.noise_copy:
        noise = draw_noise(noises, rng=rng)
        samples = add_noise(samples, noise=noise, snr_db=float(rng.choice(recipe.noise_snrs_db)), rng=rng)
    return samples.astype(np.float32)
