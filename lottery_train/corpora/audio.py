"""Recordings as the training sees them: float32, mono, 16 kHz, read as lottery-transcribe reads them."""

import functools

import numpy as np
import soxr

from lottery_train.corpora.sound_files import check_duration
from lottery_train.errors import CorpusError
from runtime.audio import AudioBlocks, print_note
from runtime.errors import AudioError
from runtime.features import SAMPLE_RATE_HZ

# A long recording is opened once for each of its utterances.
_note_once = functools.lru_cache(maxsize=1000)(print_note)


def measure_duration_s(path):
    """Return the length of a sound file in seconds: from its header where its bytes bear that out, else by decoding.

    Raises:
        CorpusError: the file cannot be opened as sound, is empty, truncated or damaged.
    """
    try:
        return AudioBlocks(path).measure_s()
    except (OSError, AudioError) as error:
        raise CorpusError(str(error), hint=getattr(error, "hint", None)) from error


def load_audio(utterance):
    """Load an utterance.

    A whole file is read to its end, since manifests round `duration_s`; a part of a file (`offset_s` given) holds
    `duration_s` seconds.

    Returns:
        float32 (n,), samples in [-1, 1], mono, 16 kHz; see runtime.audio.AudioBlocks for files that are not that.
    Raises:
        CorpusError: missing, corrupt, truncated or empty file, samples that are not numbers, an offset beyond the end,
            or another length than `duration_s`, see `check_duration`.
    """
    part = {}
    if utterance.offset_s is not None:
        part = {"start_s": utterance.offset_s, "length_s": utterance.duration_s}
    try:
        with AudioBlocks(utterance.audio_path, note=_note_once, **part) as blocks:
            samples, rate_hz = np.concatenate(list(blocks)), blocks.sample_rate_hz
    except (OSError, AudioError) as error:
        reason = f"cannot read {utterance.audio_path}: {error}" if isinstance(error, OSError) else str(error)
        where = f"{utterance.origin}: " if utterance.manifest else ""
        raise CorpusError(f"{where}{reason}", hint=getattr(error, "hint", None)) from error
    check_duration(utterance, found_s=len(samples) / rate_hz)
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return np.ascontiguousarray(samples, dtype=np.float32)
