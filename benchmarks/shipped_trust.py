"""How far the bundled recogniser can be trusted: levels, what it must not answer to, words that are none, other voices.

Every clip is streamed through the deployed runtime with its defaults. A clip is *kept* where there is text and it is
not rejected.
"""

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from benchmarks.other_languages import SENTENCES
from lottery_train.corpora import find_corpus, load_audio, load_noise, read_manifest
from lottery_train.corpora.espeak import Request, synthesise
from lottery_train.evaluate import score_texts
from runtime.features import SAMPLE_RATE_HZ

GAINS_DB = (-40, -30, -20, -10, 10, 20)
IN_DOMAIN = ("an4", "coffee_commands", "fsdd")
OUT_OF_DOMAIN = "mini_librispeech"
_WINDOW_S = 5.0
_RATE_WPM = (130, 190)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the recogniser made of a clip.

    Args:
        text: the words it heard, rejected or not.
        is_kept: whether there are any, and they were not rejected.
    """

    text: str
    is_kept: bool

    @property
    def answer(self):
        """What a program gets: nothing of what was rejected."""
        return self.text if self.is_kept else ""


def hear(recognizer, clips, *, name, gain_db=0.0):
    """Return the Heard of every clip, float32 (n,) at 16 kHz each, played at a gain."""
    print(f"recognising {name}", file=sys.stderr)
    gain, heard = np.float32(10 ** (gain_db / 20)), []
    for clip in clips:
        result = recognizer.transcribe(clip * gain)
        text = " ".join(word.text for word in result.words)
        heard.append(Heard(text=text, is_kept=bool(text) and not result.is_rejected))
    return heard


def kept_share(heard):
    """Return the share of clips that were kept."""
    return sum(each.is_kept for each in heard) / len(heard)


def measure_levels(recognizer, clips, texts):
    """Return gain in dB -> WER of AN4 clips, float samples that no gain clips."""
    return {
        gain_db: score_texts(
            texts,
            [each.answer for each in hear(recognizer, clips, name=f"an4 at {gain_db:+d} dB", gain_db=gain_db)],
        ).wer
        for gain_db in (0, *GAINS_DB)
    }


def other_languages():
    """Return language -> clips: sentences that espeak-ng speaks, float32 (n,) at 16 kHz."""
    rng = np.random.default_rng(0)
    requests = [
        Request(text=text, voice=voice, rate_wpm=int(rng.integers(*_RATE_WPM)), pitch=int(rng.integers(35, 66)))
        for voice, sentences in SENTENCES.items()
        for text in sentences
    ]
    clips = defaultdict(list)
    for request, (samples, rate_hz) in zip(requests, synthesise(requests), strict=True):
        clips[request.voice].append(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ).astype(np.float32))
    return clips


def noise_windows(data_dir):
    """Return the test sounds of the noise pack, whole and cut into windows of 5 s."""
    sounds = load_noise(Path(data_dir) / "noise" / "test.jsonl")
    size = round(_WINDOW_S * SAMPLE_RATE_HZ)
    windows = [sound[start : start + size] for sound in sounds for start in range(0, len(sound), size)]
    return sounds, [window for window in windows if len(window) == size]


def known_words(data_dir):
    """Return the words of the training texts of the packs that the recogniser is for."""
    manifests = [find_corpus(name, data_dir=data_dir).splits["train"] for name in IN_DOMAIN]
    return {word for path in manifests for each in read_manifest(path)[0] for word in each.text.split()}


def measure_synthesisers(recognizer, folder):
    """Return synthesiser -> kind -> (references, Heards) of the corpora that benchmarks.synthesisers makes for tests.

    Args:
        folder: holds NAME/test.jsonl, whose lines say their `kind`.
    """
    found = {}
    for path in sorted(Path(folder).glob("*/test.jsonl")):
        kinds = [json.loads(line)["kind"] for line in path.read_text(encoding="utf-8").splitlines()]
        utterances, _ = read_manifest(path)
        heard = hear(recognizer, map(load_audio, utterances), name=path.parent.name)
        by_kind = found.setdefault(path.parent.name, defaultdict(lambda: ([], [])))
        for kind, utterance, each in zip(kinds, utterances, heard, strict=True):
            by_kind[kind][0].append(utterance.text)
            by_kind[kind][1].append(each)
    return found


def measure_trust(recognizer, sets, *, data_dir, synthesisers=None):
    """Measure everything of this module.

    Args:
        recognizer: Recognizer with its defaults.
        sets: name -> (clips, texts) of IN_DOMAIN, on the test splits.
        data_dir: folder of packs.
        synthesisers: folder of corpora, see `measure_synthesisers`; None leaves them out.
    Returns:
        (summary, details): dicts of plain numbers, fractions.
    """
    levels = measure_levels(recognizer, *sets["an4"])
    meant = {name: hear(recognizer, sets[name][0], name=name) for name in IN_DOMAIN}
    read = [load_audio(each) for each in read_manifest(find_corpus(OUT_OF_DOMAIN, data_dir=data_dir).splits["test"])[0]]
    strange = {voice: hear(recognizer, clips, name=f"language {voice}") for voice, clips in other_languages().items()}
    read = hear(recognizer, read, name=OUT_OF_DOMAIN)
    sounds, windows = (hear(recognizer, clips, name="noise") for clips in noise_windows(data_dir))
    kept = [(text, each) for name in IN_DOMAIN for text, each in zip(sets[name][1], meant[name], strict=True)]
    kept = [(text, each.text) for text, each in kept if each.is_kept]
    known, said = known_words(data_dir), [word for _, text in kept for word in text.split()]
    summary = {
        "wer_ratio_minus_30_db": levels[-30] / levels[0],
        "wer_ratio_minus_40_db": levels[-40] / levels[0],
        "wer_ratio_plus_20_db": levels[20] / levels[0],
        "in_domain_kept": kept_share([each for heard in meant.values() for each in heard]),
        "out_of_domain_rejected": 1 - kept_share(read),
        "other_languages_rejected": 1 - kept_share([each for heard in strange.values() for each in heard]),
        "noise_rejected": 1 - kept_share(windows),
        "non_word_rate": sum(word not in known for word in said) / len(said),
    }
    details = {
        "wer_by_gain_db": {f"{gain_db:+d}": wer for gain_db, wer in levels.items()},
        "kept": {name: kept_share(heard) for name, heard in meant.items()},
        "wer_of_kept": {name: score_texts(*_kept_pairs(sets[name][1], heard)).wer for name, heard in meant.items()},
        "wer_of_answers": {
            name: score_texts(sets[name][1], [each.answer for each in heard]).wer for name, heard in meant.items()
        },
        "rejected": {
            OUT_OF_DOMAIN: 1 - kept_share(read),
            "noise, whole sounds": 1 - kept_share(sounds),
            "noise, 5 s windows": 1 - kept_share(windows),
            **{voice: 1 - kept_share(heard) for voice, heard in strange.items()},
        },
        "silent": {
            OUT_OF_DOMAIN: sum(not each.text for each in read) / len(read),
            **{voice: sum(not each.text for each in heard) / len(heard) for voice, heard in strange.items()},
        },
        "non_words": sorted({word for word in said if word not in known}),
    }
    if synthesisers is not None:
        found = measure_synthesisers(recognizer, synthesisers)
        details["synthesisers"] = {
            name: {kind: _voice_figures(*pair) for kind, pair in kinds.items()} for name, kinds in found.items()
        }
        letters = [kinds["letters"] for kinds in found.values()]
        texts, heard = ([each for pair in letters for each in pair[side]] for side in (0, 1))
        # What is heard, rejected or not: how well letters of such voices are told apart. What is kept stands beside it.
        summary["unseen_synthesiser_letters_wer"] = _voice_figures(texts, heard)["wer"]
    return summary, details


def _voice_figures(texts, heard):
    """Return WER of what was heard, share of the clips that were kept, and WER of those (None where none was)."""
    kept = _kept_pairs(texts, heard)
    return {
        "wer": score_texts(texts, [each.text for each in heard]).wer,
        "kept": kept_share(heard),
        "wer_of_kept": score_texts(*kept).wer if kept[0] else None,
    }


def _kept_pairs(texts, heard):
    pairs = [(text, each.text) for text, each in zip(texts, heard, strict=True) if each.is_kept]
    return [text for text, _ in pairs], [text for _, text in pairs]
