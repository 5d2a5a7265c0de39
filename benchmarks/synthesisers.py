"""Corpora of letters, digits and commands from synthesisers that the product does not use.

    python -m benchmarks.synthesisers OUT --data-dir ../shared/data

flite is for training, festival for choices on dev, the others for tests alone; benchmarks/synthesiser_engines.py says
what each needs and how its voices are licensed. Training utterances stand in drawn rooms (`place_in_room`), and their
vocal tract is stretched by resampling. Those of dev and test are clean: 16 kHz, 0.2 s of white noise at -66 dBFS before
and after, and under the speech.
"""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from benchmarks.synthesiser_engines import SYNTHESISERS, Request
from benchmarks.synthesiser_lines import KINDS, draw_line, read_commands
from lottery_train.corpora.room import place_in_room
from lottery_train.errors import CorpusError
from runtime.command import run_command
from runtime.features import SAMPLE_RATE_HZ
from runtime.files import atomic_directory, write_atomic
from runtime.options import create_parser

# Share of the kinds in each split.
_SHARES = {"train": (0.5, 0.2, 0.3), "dev": (1 / 3, 1 / 3, 1 / 3), "test": (1 / 3, 1 / 3, 1 / 3)}
# Ranges of duration, pitch and vocal-tract length, relative to the voice's own.
_STRETCH = {"train": (0.75, 1.35), "dev": (0.85, 1.2), "test": (0.85, 1.2)}
_PITCH = {"train": (0.75, 1.35), "dev": (0.9, 1.1), "test": (0.9, 1.1)}
_TRACT = {"train": (0.85, 1.18), "dev": (1.0, 1.0), "test": (1.0, 1.0)}
_MARGIN_S = 0.2
_NOISE_FLOOR_DBFS = -66


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One utterance: what is said, and how.

    Args:
        kind: one of KINDS.
        text: transcript.
        request: what the synthesiser is asked for.
        tract: factor on all frequencies, by resampling; the request's stretch makes up for it.
    """

    kind: str
    text: str
    request: Request
    tract: float


def draw_lines(*, voices, split, count, commands, seed):
    """Return `count` lines: kinds in fixed shares and mixed order, voices in turn; a function of the seed alone."""
    rng = np.random.default_rng(seed)
    edges = np.round(np.cumsum(_SHARES[split]) * count).astype(int)
    kinds = rng.permutation(np.searchsorted(edges, np.arange(count), side="right"))
    lines = []
    for number, kind_number in enumerate(kinds):
        kind = KINDS[kind_number]
        text, spoken = draw_line(rng, kind=kind, commands=commands)
        tract = float(rng.uniform(*_TRACT[split]))
        request = Request(
            spoken=spoken,
            voice=voices[number % len(voices)],
            stretch=float(rng.uniform(*_STRETCH[split])) * tract,
            pitch=float(rng.uniform(*_PITCH[split])),
        )
        lines.append(Line(kind=kind, text=text, request=request, tract=tract))
    return lines


def _with_noise_floor(samples, *, rng):
    """Return samples between margins, over white noise, as float32."""
    margin = np.zeros(round(_MARGIN_S * SAMPLE_RATE_HZ))
    padded = np.concatenate([margin, samples, margin])
    return (padded + rng.standard_normal(len(padded)) * 10 ** (_NOISE_FLOOR_DBFS / 20)).astype(np.float32)


def finish(speech, rate_hz, *, split, tract, rng):
    """Return float32 (n,) at 16 kHz from a synthesiser's samples: in a room for train, over a noise floor otherwise."""
    samples = soxr.resample(speech, rate_hz * tract, SAMPLE_RATE_HZ)
    if split == "train":
        return place_in_room(samples, rng=rng)
    peak = np.abs(samples).max()
    return np.clip(_with_noise_floor(samples * min(1.0, 0.99 / peak), rng=rng), -1, 1)


def _write_split(folder, *, name, split, lines, seed):
    """Synthesise a split into `folder`: audio/SPLIT/*.flac, then SPLIT.jsonl."""
    (folder / "audio" / split).mkdir(parents=True)
    synthesiser = SYNTHESISERS[name]
    requests = [dataclasses.replace(line.request, spoken=synthesiser.spell(line.request.spoken)) for line in lines]
    spoken = synthesiser.speak(requests)
    progress = tqdm(lines, desc=f"{name} {split}", unit="utterance", disable=None)
    records = []
    for number, (line, (speech, rate_hz)) in enumerate(zip(progress, spoken, strict=True)):
        if not np.any(speech):
            raise CorpusError(f"{name}: no sound for {line.request.spoken!r} by voice {line.request.voice}")
        rng = np.random.default_rng([*seed, number])
        samples = finish(speech, rate_hz, split=split, tract=line.tract, rng=rng)
        relative = f"audio/{split}/{number:05d}.flac"
        soundfile.write(folder / relative, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
        record = {
            "audio_filepath": relative,
            "duration": round(len(samples) / SAMPLE_RATE_HZ, 6),
            "text": line.text,
            "speaker": f"{name}_{line.request.voice}",
            "lang": "en",
            "kind": line.kind,
        }
        records.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_atomic(folder / f"{split}.jsonl", "".join(records))


def build(out_dir, *, name, commands, seed=0, sizes=None):
    """Make the corpus of one synthesiser; the folder appears when it is complete.

    Args:
        out_dir: folder for OUT/NAME; one that is there already stays as it is.
        name: key of SYNTHESISERS.
        commands: what `read_commands` returns.
        seed: >= 0.
        sizes: split -> number of utterances; the synthesiser's own by default.
    Returns:
        The corpus folder.
    Raises:
        CorpusError: the synthesiser is not installed, or fails.
    """
    synthesiser = SYNTHESISERS[name]
    folder = Path(out_dir) / name
    if folder.is_dir():
        return folder
    if missing := synthesiser.missing():
        raise CorpusError(f"{name}: not installed: {', '.join(missing)}", hint=f"install it: {synthesiser.package}")
    with atomic_directory(folder) as temporary:
        for number, (split, count) in enumerate((sizes or synthesiser.sizes).items()):
            own_seed = [seed, list(SYNTHESISERS).index(name), number]
            lines = draw_lines(voices=synthesiser.voices, split=split, count=count, commands=commands, seed=own_seed)
            _write_split(temporary, name=name, split=split, lines=lines, seed=own_seed)
    return folder


def _parse(argv):
    parser = create_parser(
        "python -m benchmarks.synthesisers",
        description="Make corpora of letters, digits and commands with synthesisers that the product does not use.",
        examples="  python -m benchmarks.synthesisers data/synth --data-dir ../shared/data --only flite",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder that receives one corpus per synthesiser")
    parser.add_argument("--only", choices=tuple(SYNTHESISERS), metavar="NAME", help="make one: %(choices)s")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder of corpora with an4 and coffee_commands")
    parser.add_argument("--seed", type=int, default=0, help="of texts, voices and rooms (default: 0)")
    return parser.parse_args(argv)


def _main(argv):
    arguments = _parse(argv)
    commands = read_commands(arguments.data_dir)
    for name in [arguments.only] if arguments.only else SYNTHESISERS:
        print(build(arguments.out, name=name, commands=commands, seed=arguments.seed))


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
