"""Calibration of a bundle: its recogniser hears dev sets, and its manifest learns how far it can be trusted."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import jiwer

from export.card import with_confidence
from export.errors import ExportError
from export.fitting import choose_threshold, even_weights, fit_logistic
from lottery_train.corpora import load_audio, read_manifest
from lottery_train.errors import CorpusError
from runtime.confidence import UNCALIBRATED, Calibration, logit
from runtime.features import SAMPLE_RATE_HZ
from runtime.files import write_atomic
from runtime.manifest import CARD_ROLE, FileEntry, Manifest
from runtime.recognizer import Recognizer

# Longer recordings, of noise, are judged piece by piece, as live segments are.
_MAX_PIECE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class HeardSet:
    """What the recogniser made of a manifest.

    Args:
        name: folder and file name of the manifest.
        log_entropies: for each utterance the log entropy of its words, None where it has none.
        logits: for each recognised word the logit of its symbols' mean probability.
        is_right: for each of them whether it is what was said; empty for negatives.
    """

    name: str
    log_entropies: tuple[float | None, ...]
    logits: tuple[float, ...] = ()
    is_right: tuple[bool, ...] = ()


def calibrate_bundle(bundle, *, calibration, negatives, progress=print):
    """Fit the confidences of a bundle on dev sets, choose its threshold, and write both into its manifest and card.

    The recognition is the deployed one: streamed, in the backend and precision that "auto" takes, with the default
    decoder. Each manifest counts the same, whatever its size. A bundle that was calibrated before is calibrated anew.

    Args:
        bundle: its directory.
        calibration: manifests of dev sets that the recogniser is for; never test sets.
        negatives: manifests of what it is not for: other words, other languages, noise; texts do not matter.
        progress: called with one line of text at each step.
    Returns:
        dict: the figures, as in the manifest's provenance.
    Raises:
        BundleError: no bundle, or a damaged one.
        CorpusError: a manifest or a recording of it cannot be used.
        ExportError: there is no manifest of either kind, or the recogniser hears no word in the dev sets.
    """
    bundle = Path(bundle)
    if not calibration or not negatives:
        raise ExportError(
            "calibration needs dev sets of both kinds: what the recogniser is for, and what it is not for",
            hint="--calibration DEV.jsonl --negatives OTHER.jsonl",
        )
    recognizer = Recognizer(bundle, calibration=UNCALIBRATED)
    kept = [_hear(recognizer, path, is_negative=False, progress=progress) for path in calibration]
    rejected = [_hear(recognizer, path, is_negative=True, progress=progress) for path in negatives]
    found = fit_calibration(kept, rejected)
    figures = describe(found, kept=kept, rejected=rejected)
    manifest = Manifest.load(bundle, verify="used")
    manifest = replace(manifest, confidence=found, provenance={**manifest.provenance, "calibration": figures})
    if CARD_ROLE in manifest.files:
        path = bundle / manifest.files[CARD_ROLE].path
        write_atomic(path, with_confidence(path.read_text(encoding="utf-8"), figures))
        entry = FileEntry.of(manifest.files[CARD_ROLE].path, bundle=bundle)
        manifest = replace(manifest, files=manifest.files | {CARD_ROLE: entry})
    manifest.write(bundle)
    return figures


def fit_calibration(kept, rejected):
    """Return the Calibration of HeardSets: those that the recogniser is for, and others.

    Raises:
        ExportError: no word was recognised in the first.
    """
    words = [heard for heard in kept if heard.logits]
    if not words:
        raise ExportError("the recogniser hears no word in the dev sets", hint="give dev sets of its own language")
    word = fit_logistic(
        [x for heard in words for x in heard.logits],
        [is_right for heard in words for is_right in heard.is_right],
        weights=even_weights([len(heard.logits) for heard in words]),
    )
    kept, rejected = ([heard.log_entropies for heard in sets] for sets in (kept, rejected))
    if all(x is None for values in rejected for x in values):
        # A recogniser that answers to nothing else still needs a slope: a word e times as unclear as any that is meant.
        rejected = [*rejected, [max(x for values in kept for x in values if x is not None) + 1.0]]
    utterance = _fit_utterances(kept, rejected)
    found = Calibration(word=word, utterance=utterance, min_confidence=0.0)
    threshold = choose_threshold(*([_confidences(found, values) for values in sets] for sets in (kept, rejected)))
    # Rounded down: what is just kept stays kept.
    return replace(found, min_confidence=math.floor(1e4 * threshold) / 1e4)


def _fit_utterances(kept, rejected):
    """Return the Logistic of utterances from their log entropies, lists for each set; both kinds are as frequent."""
    x, is_meant, weights = [], [], []
    for sets, is_kind in ((kept, True), (rejected, False)):
        found = [(value, 1 / len(values)) for values in sets for value in values if value is not None]
        total = sum(weight for _, weight in found)
        x.extend(value for value, _ in found)
        is_meant.extend([is_kind] * len(found))
        weights.extend(weight / total for _, weight in found)
    return fit_logistic(x, is_meant, weights=[weight * len(x) / 2 for weight in weights])


def describe(calibration, *, kept, rejected):
    """Return the figures of a Calibration on HeardSets: shares kept and rejected, in all and set by set."""
    threshold = calibration.min_confidence

    def record(heard, *, is_negative):
        values = _confidences(calibration, heard.log_entropies)
        num_kept = sum(value is not None and value >= threshold for value in values)
        share = num_kept / len(values)
        return {
            "set": heard.name,
            "num_utterances": len(values),
            **({"rejected": 1 - share} if is_negative else {"kept": share}),
            "silent": sum(value is None for value in values) / len(values),
        }

    records = {"kept": [record(heard, is_negative=False) for heard in kept]}
    records["rejected"] = [record(heard, is_negative=True) for heard in rejected]
    pooled = {
        name: sum(each[name] * each["num_utterances"] for each in found) / sum(each["num_utterances"] for each in found)
        for name, found in records.items()
    }
    return {"min_confidence": threshold, **pooled, "sets": records["kept"] + records["rejected"]}


def _confidences(calibration, log_entropies):
    return [None if x is None else calibration.utterance(x) for x in log_entropies]


def _hear(recognizer, path, *, is_negative, progress):
    """Return the HeardSet of a manifest."""
    utterances, skipped = read_manifest(path, on_error="skip", needs_text=not is_negative)
    entropies, logits, is_right, unreadable = [], [], [], [str(each) for each in skipped]
    for utterance in utterances:
        try:
            samples = load_audio(utterance)
        except CorpusError as error:
            unreadable.append(str(error))
            continue
        length = round(_MAX_PIECE_S * SAMPLE_RATE_HZ) if is_negative else len(samples)
        for start in range(0, len(samples), length):
            result = recognizer.transcribe(samples[start : start + length])
            # The calibration in use makes the two numbers readable from the confidences.
            entropies.append(-logit(result.confidence) if result.words else None)
            if not is_negative:
                logits.extend(logit(word.confidence) for word in result.words)
                is_right.extend(words_right(utterance.text, [word.text for word in result.words]))
    name = "/".join(Path(path).absolute().parts[-2:])
    if unreadable:
        progress(f"{name}: {len(unreadable)} left out, the first: {unreadable[0]}")
    if not entropies:
        raise CorpusError(f"{path}: no usable recording")
    num_silent = sum(entropy is None for entropy in entropies)
    progress(f"{name}: {len(entropies)} utterances heard, {num_silent} of them without a word")
    return HeardSet(name=name, log_entropies=tuple(entropies), logits=tuple(logits), is_right=tuple(is_right))


def words_right(reference, words):
    """Return for each recognised word whether it stands in the reference, in the alignment of fewest errors."""
    is_right = [False] * len(words)
    if words:
        for chunk in jiwer.process_words(reference, " ".join(words)).alignments[0]:
            if chunk.type == "equal":
                for index in range(chunk.hyp_start_idx, chunk.hyp_end_idx):
                    is_right[index] = True
    return is_right
