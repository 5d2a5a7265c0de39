"""The embedded corpus: synthetic speech that a machine makes for itself, with no download but PyPI packages.

Letters, numbers and device commands, spoken by espeak-ng voices at many rates and pitches. Good for trying the whole
tool out and for its tests; a recogniser trained on it knows only synthetic voices.
"""

import dataclasses
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from lottery_train.corpora.corpus import SPLITS, has_manifests, open_corpus
from lottery_train.corpora.espeak import Request, synthesise
from lottery_train.corpora.manifest import Utterance, write_manifest
from lottery_train.corpora.room import place_in_room
from lottery_train.corpora.sentences import draw_sentence, spoken_form
from lottery_train.corpora.voices import draw_voice
from lottery_train.errors import CorpusError
from runtime.features import SAMPLE_RATE_HZ
from runtime.files import atomic_directory, read_json, write_json

NAME = "embedded"
# Raise it whenever other samples come out of the same parameters: cached corpora of older versions are then remade.
RECIPE_VERSION = 1
_PARAMETERS_FILE = "corpus.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Line:
    """One utterance of the script: what is said, and how."""

    split: str
    number: int
    text: str
    request: Request


def _write_script(*, sizes, seed):
    """Draw every utterance of every split; a split's lines do not depend on the sizes of the others."""
    lines = []
    for split_number, split in enumerate(SPLITS):
        rng = np.random.default_rng([seed, split_number])
        for number in range(sizes[split]):
            text = draw_sentence(rng)
            request = Request(
                text=spoken_form(text),
                voice=draw_voice(rng, split=split),
                rate_wpm=int(rng.integers(110, 181)),
                pitch=int(rng.integers(30, 71)),
                pitch_range=int(rng.integers(30, 71)),
                seed=int(rng.integers(1, 1 << 31)),
            )
            lines.append(_Line(split=split, number=number, text=text, request=request))
    return lines


def _record(line, *, folder, speech, speech_rate_hz, rng):
    """Put one synthesised utterance into its room, write it, and return it as an Utterance."""
    samples = place_in_room(soxr.resample(speech, speech_rate_hz, SAMPLE_RATE_HZ), rng=rng)
    path = folder / "audio" / line.split / f"{line.number:05d}.flac"
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return Utterance(
        audio_path=path,
        duration_s=round(len(samples) / SAMPLE_RATE_HZ, 6),
        text=line.text,
        speaker=line.request.voice,
        lang="en",
    )


def build(out_dir, *, num_train=1500, num_dev=120, num_test=200, seed=0):
    """Synthesise the corpus, or return it where it is already there with the same parameters.

    About 50 utterances a minute of speech; a minute takes well under a second.

    Args:
        out_dir: folder for train.jsonl, dev.jsonl, test.jsonl, corpus.json and audio/ (16 kHz FLAC). An embedded
            corpus with other parameters is replaced; anything else there is not.
        num_train, num_dev, num_test: utterances a split, >= 1.
        seed: >= 0. The same parameters give the same files, bit for bit, on the same machine and package versions.
    Returns:
        Corpus; no voice variant is in two splits, and the speaker is the name of the voice.
    Raises:
        CorpusError: out_dir holds something else, or synthesis failed.
        MissingExtraError: espeakng-loader is not installed.
        LotteryError: out_dir cannot be written; nothing stays behind.
    """
    out_dir = Path(out_dir)
    sizes = {"train": num_train, "dev": num_dev, "test": num_test}
    if min(sizes.values()) < 1:
        raise CorpusError(f"the embedded corpus needs at least one utterance a split, found {sizes}")
    parameters = {"corpus": NAME, "recipe_version": RECIPE_VERSION, "seed": seed, **sizes}
    parameters_path = out_dir / _PARAMETERS_FILE
    if parameters_path.is_file():
        if has_manifests(out_dir) and read_json(parameters_path) == parameters:
            return open_corpus(out_dir, name=NAME)
    elif out_dir.is_dir() and any(out_dir.iterdir()):
        raise CorpusError(f"{out_dir}: not empty, and not an embedded corpus", hint="choose another output directory")
    lines = _write_script(sizes=sizes, seed=seed)
    utterances = {split: [] for split in SPLITS}
    with atomic_directory(out_dir) as temporary:
        for split in SPLITS:
            (temporary / "audio" / split).mkdir(parents=True)
        spoken = synthesise([line.request for line in lines])
        progress = tqdm(lines, desc="embedded corpus", unit="utterance", disable=None)
        for line, (speech, speech_rate_hz) in zip(progress, spoken, strict=True):
            rng = np.random.default_rng([seed, SPLITS.index(line.split), line.number])
            utterances[line.split].append(
                _record(line, folder=temporary, speech=speech, speech_rate_hz=speech_rate_hz, rng=rng)
            )
        for split in SPLITS:
            write_manifest(temporary / f"{split}.jsonl", utterances=utterances[split])
        write_json(temporary / _PARAMETERS_FILE, parameters)
    return open_corpus(out_dir, name=NAME)
