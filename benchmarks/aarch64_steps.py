"""What benchmarks.aarch64 runs on both machines, through the runtime that is installed there: features, steps, words.

    python aarch64_steps.py record BUNDLE OUT.npz CLIP...    features and log-probabilities of all chunks, and words
    python aarch64_steps.py features BUNDLE IN.npy COUNT     the features of so many chunks, for counting instructions
    python aarch64_steps.py BACKEND:PRECISION BUNDLE IN.npy COUNT    so many model steps, for counting instructions

A script, not a module of the package: on ARM there is no checkout. It needs nothing but what a plain install brings.
"""

import sys

import numpy as np
import soxr

from runtime.audio import read_blocks
from runtime.features import HOP_SAMPLES, PADDING_VALUE, SAMPLE_RATE_HZ, Fbank, fbank, num_chunks, padded_frames
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from runtime.session import open_session


def read_clip(path):
    """Return float32 (n,), 16 kHz mono."""
    with read_blocks(path) as blocks:
        samples = np.concatenate(list(blocks))
    return np.asarray(soxr.resample(samples, blocks.sample_rate_hz, SAMPLE_RATE_HZ), np.float32)


def padded(features_TF, *, chunk_frames):
    """Return the features of whole chunks, padded as every utterance is."""
    count = num_chunks(len(features_TF), chunk_frames=chunk_frames)
    missing = padded_frames(count, chunk_frames=chunk_frames) - len(features_TF)
    return np.pad(features_TF, ((0, missing), (0, 0)), constant_values=PADDING_VALUE)


def run_steps(session, features_TF):
    """Return float32 (chunks, chunk_frames, V): the log-probabilities of every chunk, from the initial state."""
    shape, state, found = session.geometry, session.initial_state(1), []
    for first in range(0, len(features_TF) - shape.window_frames + 1, shape.shift_frames):
        window = np.ascontiguousarray(features_TF[None, first : first + shape.window_frames])
        logprobs, state = session.step(window, state)
        found.append(logprobs[0].copy())
    return np.stack(found)


def record(bundle, out, *clips):
    """Write features, log-probabilities and symbol ids of every clip and model."""
    manifest = Manifest.load(bundle)
    arrays = {}
    for number, clip in enumerate(clips):
        samples = read_clip(clip)
        arrays[f"{number}/samples"] = samples
        arrays[f"{number}/features"] = features = padded(fbank(samples), chunk_frames=manifest.chunk_frames)
        for backend, precision in manifest.models:
            recognizer = Recognizer(bundle, precision=precision, backend=backend)
            name = f"{number}/{backend}/{precision}"
            arrays[f"{name}/logprobs"] = run_steps(recognizer.session, features)
            result = recognizer.transcribe(samples)
            arrays[f"{name}/ids"] = np.array(result.ids, np.int64)
            arrays[f"{name}/text"] = np.array(result.text)
    np.savez(out, **arrays)


def step(model, bundle, features_path, count):
    """Run so many chunks through a model, over and over the same features."""
    backend, precision = model.split(":")
    session = open_session(bundle, manifest=Manifest.load(bundle), backend=backend, precision=precision)
    num_frames = padded_frames(int(count), chunk_frames=session.geometry.chunk_frames)
    run_steps(session, np.resize(np.load(features_path), (num_frames, session.geometry.num_mels)))


def extract(bundle, samples_path, count):
    """Compute the features of so many chunks, chunk by chunk."""
    samples = Manifest.load(bundle).geometry.shift_frames * HOP_SAMPLES
    clip = np.resize(np.load(samples_path), int(count) * samples)
    extractor = Fbank()
    for first in range(0, len(clip), samples):
        extractor.accept(clip[first : first + samples])


def main(what, *arguments):
    """Run one of the jobs above."""
    if what == "record":
        record(*arguments)
    elif what == "features":
        extract(*arguments)
    else:
        step(what, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
