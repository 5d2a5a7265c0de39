"""Recordings as the training sees them: float32, mono, 16 kHz."""

import os

import numpy as np
import soundfile
import soxr

from lottery_train.errors import CorpusError
from runtime.features import SAMPLE_RATE_HZ
from runtime.streams import quiet_libraries


def measure_duration_s(path):
    """Return the length of a sound file in seconds, from its header.

    Raises:
        CorpusError: the file cannot be opened as sound, or is empty.
    """
    try:
        with quiet_libraries():
            info = soundfile.info(os.fsencode(path))
    except (OSError, soundfile.SoundFileError) as error:
        raise CorpusError(f"{path}: cannot read the recording: {error}") from error
    if not info.frames:
        raise CorpusError(f"{path}: the recording is empty")
    return info.frames / info.samplerate


def _read(utterance):
    """Return (samples (n, channels) float32, rate in Hz) of the utterance's part of its file."""
    with quiet_libraries(), soundfile.SoundFile(os.fsencode(utterance.audio_path)) as file:
        if utterance.offset_s is None:
            return file.read(dtype="float32", always_2d=True), file.samplerate
        first = round(utterance.offset_s * file.samplerate)
        if first >= file.frames:
            raise CorpusError(
                f"{utterance.origin}: offset {utterance.offset_s} s lies beyond the end of {utterance.audio_path} "
                f"({file.frames / file.samplerate:.3f} s)"
            )
        file.seek(first)
        frames = max(1, round(utterance.duration_s * file.samplerate))
        return file.read(frames, dtype="float32", always_2d=True), file.samplerate


def load_audio(utterance):
    """Load an utterance.

    A whole file is read to its end whatever `duration_s` says, since manifests round it; a part of a file
    (`offset_s` given) holds `duration_s` seconds.

    Returns:
        float32 (n,), samples in [-1, 1], mono (channels averaged), 16 kHz.
    Raises:
        CorpusError: missing, corrupt or empty file, samples that are not numbers, or an offset beyond the end.
    """
    try:
        samples, rate_hz = _read(utterance)
    except (OSError, soundfile.SoundFileError) as error:
        raise CorpusError(f"{utterance.origin}: cannot read {utterance.audio_path}: {error}") from error
    if not samples.size:
        raise CorpusError(f"{utterance.origin}: {utterance.audio_path} holds no sound")
    samples = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise CorpusError(f"{utterance.origin}: {utterance.audio_path} holds samples that are not numbers")
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return np.ascontiguousarray(samples, dtype=np.float32)
