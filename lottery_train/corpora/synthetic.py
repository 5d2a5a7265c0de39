"""Synthetic corpora: a script of utterances becomes recordings in rooms, and manifests."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from lottery_train.corpora.corpus import SPLITS, has_manifests, open_corpus
from lottery_train.corpora.espeak import Request, synthesise
from lottery_train.corpora.manifest import Utterance, write_manifest
from lottery_train.corpora.room import place_in_room
from lottery_train.errors import CorpusError
from runtime.features import SAMPLE_RATE_HZ
from runtime.files import atomic_directory, read_json, write_json

_PARAMETERS_FILE = "corpus.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One utterance of the script: its transcript, its language tag, and how it is spoken."""

    split: str
    number: int
    text: str
    lang: str
    request: Request


def draw_request(rng, *, text, voice, rate_wpm=(110, 181)):
    """Return a Request to speak `text` at a random pitch, liveliness, and rate in [rate_wpm[0], rate_wpm[1])."""
    return Request(
        text=text,
        voice=voice,
        rate_wpm=int(rng.integers(*rate_wpm)),
        pitch=int(rng.integers(30, 71)),
        pitch_range=int(rng.integers(30, 71)),
        seed=int(rng.integers(1, 1 << 31)),
    )


def _record(line, *, folder, speech, speech_rate_hz, rng):
    """Put one synthesised utterance into its room, write it, and return it as an Utterance."""
    samples = place_in_room(soxr.resample(speech, speech_rate_hz, SAMPLE_RATE_HZ), rng=rng)
    path = folder / "audio" / line.split / f"{line.number:05d}.flac"
    soundfile.write(os.fsencode(path), samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return Utterance(
        audio_path=path,
        duration_s=round(len(samples) / SAMPLE_RATE_HZ, 6),
        text=line.text,
        speaker=line.request.voice,
        lang=line.lang,
    )


def build_corpus(out_dir, *, name, noun, recipe_version, sizes, seed, write_script):
    """Synthesise a corpus, or return it where it is already there with the same parameters.

    Args:
        out_dir: folder for one manifest per split, corpus.json and audio/ (16 kHz FLAC). A corpus of the same kind
            with other parameters is replaced; anything else there is not.
        name: corpus name.
        noun: the same for messages, with its article: "an embedded corpus".
        recipe_version: changes whenever other samples come out of the same parameters.
        sizes: split -> number of utterances, >= 1.
        seed: >= 0.
        write_script: called with `sizes` and `seed`, returns the list of Line.
    Returns:
        Corpus.
    Raises:
        CorpusError: a size is below 1, out_dir holds something else, or synthesis failed.
        MissingExtraError: espeakng-loader is not installed.
        LotteryError: out_dir cannot be written; nothing stays behind.
    """
    out_dir = Path(out_dir)
    if min(sizes.values()) < 1:
        raise CorpusError(f"{noun} needs at least one utterance a split, found {sizes}")
    parameters = {"corpus": name, "recipe_version": recipe_version, "seed": seed, **sizes}
    parameters_path = out_dir / _PARAMETERS_FILE
    if parameters_path.is_file():
        found = read_json(parameters_path)
        if has_manifests(out_dir) and found == parameters:
            return open_corpus(out_dir, name=name)
    elif out_dir.is_dir() and any(out_dir.iterdir()):
        raise CorpusError(f"{out_dir}: not empty, and not {noun}", hint="choose another output directory")
    lines = write_script(sizes=sizes, seed=seed)
    utterances = {split: [] for split in sizes}
    with atomic_directory(out_dir) as temporary:
        for split in sizes:
            (temporary / "audio" / split).mkdir(parents=True)
        spoken = synthesise([line.request for line in lines])
        progress = tqdm(lines, desc=f"{name} corpus", unit="utterance", disable=None)
        for line, (speech, speech_rate_hz) in zip(progress, spoken, strict=True):
            rng = np.random.default_rng([seed, SPLITS.index(line.split), line.number])
            utterances[line.split].append(
                _record(line, folder=temporary, speech=speech, speech_rate_hz=speech_rate_hz, rng=rng)
            )
        for split in sizes:
            write_manifest(temporary / f"{split}.jsonl", utterances=utterances[split])
        write_json(temporary / _PARAMETERS_FILE, parameters)
    return open_corpus(out_dir, name=name)
