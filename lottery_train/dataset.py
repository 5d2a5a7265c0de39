"""Features of a corpus, computed once, cached on disk, and mapped into memory.

The cache holds one copy of the audio for each variant (speed, noise); an epoch draws one variant for each utterance.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lottery_train.augment import add_noise, speed
from lottery_train.corpora import cache_dir, draw_noise, load_audio, load_noise
from lottery_train.errors import CorpusError
from runtime.features import NUM_MELS, SAMPLE_RATE_HZ, fbank
from runtime.files import atomic_directory, read_json, write_json

# Raised whenever the arithmetic of the features or of the augmentation changes: old caches are then left alone.
CACHE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One copy of the audio: played at `speed`, with noise number `noise_copy` at a drawn SNR (0: clean)."""

    speed: float = 1.0
    noise_copy: int = 0


def training_variants(data):
    """Return the variants that a `DataConfig` asks for."""
    copies = range(data.num_noise_copies + 1) if data.noise else range(1)
    return tuple(Variant(speed=speed, noise_copy=copy) for speed in data.speeds for copy in copies)


class Dataset:
    """Features and texts of one split.

    Args:
        features: float16 or float32 (all frames, 80), every variant of every utterance, back to back.
        offsets: int64 (variants, utterances + 1): where an utterance of a variant starts and ends.
        texts, speakers: one for each utterance.
        skipped: what could not be used, as "file:line: reason".
    """

    def __init__(self, *, features, offsets, texts, speakers, skipped, fingerprint):
        self.features = features
        self.offsets = offsets
        self.texts = texts
        self.speakers = speakers
        self.skipped = skipped
        self.fingerprint = fingerprint

    def __len__(self):
        return len(self.texts)

    @property
    def num_variants(self):
        return self.offsets.shape[0]

    @property
    def audio_s(self):
        """Seconds of audio of the first variant."""
        return self.num_frames(0).sum() / 100

    def num_frames(self, variant):
        """Return int64 (utterances,): frames of each utterance in a variant."""
        return np.diff(self.offsets[variant])

    def frames(self, utterance, *, variant=0):
        """Return float32 (T, 80), a fresh array."""
        first, last = self.offsets[variant, utterance], self.offsets[variant, utterance + 1]
        return self.features[first:last].astype(np.float32)

    def statistics(self):
        """Return (mean, standard deviation) of every mel bin over the first variant: float64 (80,) each."""
        first, last = self.offsets[0, 0], self.offsets[0, -1]
        frames = self.features[first:last].astype(np.float64)
        return frames.mean(0), frames.std(0)


def load_dataset(
    utterances,
    *,
    variants=(Variant(),),
    noise=None,
    noise_snrs_db=(),
    seed=0,
    skipped=(),
    dtype=np.float32,
    name="audio",
):
    """Compute, or find in the cache, the features of a split.

    Args:
        utterances: sequence of `corpora.Utterance`.
        variants: copies to make; noise is drawn from the `noise` manifest at one of `noise_snrs_db`.
        skipped: skipped manifest lines so far; recordings that cannot be read are added.
        dtype: of the stored features; float16 halves the cache and errs by less than 0.008.
        name: what the progress bar calls it.
    Returns:
        Dataset.
    Raises:
        CorpusError: not one utterance can be used.
    """
    noise = Path(noise) if noise else None
    fingerprint = _fingerprint(utterances)
    recipe = json.dumps(
        [
            CACHE_VERSION,
            fingerprint,
            [asdict(variant) for variant in variants],
            np.dtype(dtype).name,
            seed,
            hashlib.sha256(noise.read_bytes()).hexdigest() if noise else None,
            list(noise_snrs_db),
        ]
    )
    folder = cache_dir() / "features" / hashlib.sha256(recipe.encode()).hexdigest()[:24]
    if not (folder / "index.json").exists():
        with atomic_directory(folder) as partial:
            _build(partial, utterances, variants, noise, noise_snrs_db, seed, dtype, name)
    index = read_json(folder / "index.json")
    features = np.memmap(folder / "features.bin", dtype=dtype, mode="r").reshape(-1, NUM_MELS)
    used = [utterances[number] for number in index["utterances"]]
    return Dataset(
        features=features,
        offsets=np.array(index["offsets"], np.int64),
        texts=[u.text for u in used],
        speakers=[u.speaker for u in used],
        skipped=[*map(str, skipped), *index["skipped"]],
        fingerprint=fingerprint,
    )


def _fingerprint(utterances):
    """Return a SHA-256 over names, sizes and texts: the identity of the data without its location."""
    digest = hashlib.sha256()
    for utterance in utterances:
        path = utterance.audio_path
        size = path.stat().st_size if path.exists() else -1
        digest.update(f"{path.name}\t{size}\t{utterance.offset_s}\t{utterance.duration_s}\t{utterance.text}\n".encode())
    return digest.hexdigest()


def _build(folder, utterances, variants, noise, noise_snrs_db, seed, dtype, name):
    noises = load_noise(noise) if noise else []
    offsets, used, skipped = [], [], []
    with open(folder / "features.bin", "wb") as file:
        position = 0
        for number, variant in enumerate(variants):
            row = [position]
            bar = tqdm(
                utterances,
                desc=f"features {name} {number + 1}/{len(variants)}",
                unit="utt",
                file=sys.stderr,
                disable=None,
                leave=False,
            )
            for place, utterance in enumerate(bar):
                if number and place not in used:
                    continue
                try:
                    samples = load_audio(utterance)
                    if len(samples) < SAMPLE_RATE_HZ // 100:
                        raise CorpusError(f"{utterance.audio_path}: {len(samples)} samples, shorter than one frame")
                except CorpusError as error:
                    skipped.append(str(error))
                    continue
                rng = np.random.default_rng([seed, place, number])
                frames = fbank(_render(samples, variant, noises, noise_snrs_db, rng)).astype(dtype)
                file.write(frames.tobytes())
                position += len(frames)
                row.append(position)
                if number == 0:
                    used.append(place)
            offsets.append(row)
    if not used:
        raise CorpusError(f"{name}: none of {len(utterances)} recordings can be used; the first: {skipped[:1]}")
    write_json(folder / "index.json", {"offsets": offsets, "utterances": used, "skipped": skipped})


def _render(samples, variant, noises, noise_snrs_db, rng):
    if variant.speed != 1.0:
        samples = speed(samples, factor=variant.speed)
    if variant.noise_copy:
        samples = add_noise(
            samples, noise=draw_noise(noises, rng=rng), snr_db=float(rng.choice(noise_snrs_db)), rng=rng
        )
    return samples.astype(np.float32)
