"""Tiny bundles with a made-up origin, for lottery-bench."""

import dataclasses

from runtime.manifest import Manifest
from tests.tiny_bundle import CHUNK_FRAMES, write_tiny_bundle


def write_bundle(path, *, has_int8=True, chunk_frames=CHUNK_FRAMES, **provenance):
    """Write a tiny bundle whose provenance says what is given, and return its path as text."""
    write_tiny_bundle(path, has_int8=has_int8, chunk_frames=chunk_frames)
    dataclasses.replace(Manifest.load(path), provenance=provenance).write(path)
    return str(path)
