"""`model.ticket` files of a few kilobytes, packed by hand from docs/formats.md: one that hears tones, one at random.

The one that hears tones is the model of tests/tiny_bundle.py without its caches: the same texts, in fp32 and int8.
"""

import struct

import numpy as np

from runtime.features import NUM_MELS
from runtime.manifest import TICKET_ROLE, FileEntry, Manifest
from tests.runtime.engine.reference_ticket import CONFIG, WIDTHS, checksum, tensor_shapes
from tests.tiny_bundle import CHUNK_FRAMES, LEFT_CONTEXT, TOKENIZER, emission_weights, write_tiny_bundle

FORMATS = {"fp32": "dense_f32", "int8": "dense_i8"}
_NUMBERS = {"fp32": 0, "int8": 1}
_RAW = 0xFFFFFFFF
_VOCAB = len(TOKENIZER)
_WIDTH = 8
# What a tone must reach to be heard: the last channel holds it at all times, and the blank symbol reads that channel.
_THRESHOLD = 1.0


def config(*, chunk_frames=CHUNK_FRAMES, vocab_size=_VOCAB, width=_WIDTH, num_blocks=1):
    """Return the header of a ticket file as a dict."""
    numbers = (NUM_MELS, width, width, 4, num_blocks, 5, LEFT_CONTEXT, chunk_frames, vocab_size, max(16, chunk_frames))
    return dict(zip(CONFIG, numbers, strict=True))


def hearing_ticket(*, chunk_frames=CHUNK_FRAMES, precision="fp32"):
    """Return the bytes of a ticket that hears tones; its only block has nothing but the norm."""
    emissions, _ = emission_weights()
    tensors = {"mean": np.zeros(NUM_MELS), "inverse_std": np.ones(NUM_MELS)}
    # Feature frame 4t + 3 is in the middle of both convolutions' windows.
    tensors["conv1"], tensors["conv2"] = np.zeros((_WIDTH, 3, NUM_MELS)), np.zeros((_WIDTH, 3, _WIDTH))
    tensors["conv1"][:_VOCAB, 1] = emissions.T
    tensors["conv2"][:, 1] = np.eye(_WIDTH)
    tensors["blocks[0].norm.gain"], tensors["blocks[0].norm.bias"] = np.ones(_WIDTH), np.zeros(_WIDTH)
    tensors["head"] = 4 * np.eye(_VOCAB, _WIDTH)
    tensors["head"][0] = 4 * np.eye(_WIDTH)[-1]
    biases = {"conv1": _THRESHOLD * np.eye(_WIDTH)[-1]}
    blocks = [dict.fromkeys(WIDTHS, 0)]
    return pack(config(chunk_frames=chunk_frames), blocks, tensors, biases=biases, precision=precision)


def random_ticket(*, seed=0, precision="fp32"):
    """Return the bytes of a ticket with every kind of module, of uneven widths, and random numbers."""
    generator = np.random.default_rng(seed)
    header = config(width=12, num_blocks=2)
    widths = ((20, 2, 9, 8, 16), (0, 1, 12, 16, 16))
    blocks = [dict(zip(WIDTHS, each, strict=True)) for each in widths]
    tensors, biases = {}, {}
    for name, shape in tensor_shapes(header, blocks):
        tensors[name] = generator.normal(0, 1 / np.sqrt(shape[-1]), shape)
        biases[name] = generator.normal(0, 0.1, shape[0])
        if name.endswith("gain"):
            tensors[name] = generator.uniform(0.5, 1.5, shape)
    tensors["mean"], tensors["inverse_std"] = np.full(NUM_MELS, -6.0), np.full(NUM_MELS, 0.25)
    return pack(header, blocks, tensors, biases=biases, precision=precision)


def pack(header, blocks, tensors, *, biases, precision):
    """Return the bytes of a file: vectors as float32, matrices dense and uncoded, in the order of the format."""
    body = [struct.pack(f"<{len(CONFIG)}I", *header.values())]
    body += [struct.pack(f"<{len(WIDTHS)}I", *widths.values()) for widths in blocks]
    for name, shape in tensor_shapes(header, blocks):
        values = np.asarray(tensors[name], np.float32).reshape(shape)
        if len(shape) == 1:
            body.append(_vector(values))
            continue
        bias, scale = _vector(biases.get(name, np.zeros(shape[0]))), b""
        if precision == "int8":
            largest = np.abs(values).max(1, keepdims=True)
            steps = np.where(largest > 0, largest / 127, 1)
            values, scale = np.rint(values / steps).astype(np.int8), _vector(steps[:, 0])
        numbers = (_NUMBERS[precision], *shape, 0, _RAW, _RAW, 0, values.nbytes)
        body += [struct.pack("<8I", *numbers), bias, scale, values.tobytes()]
    content = b"".join(body)
    return struct.pack("<8s2I2Q", b"LTICKET\0", 1, 0, 32 + len(content), checksum(content)) + content


def _vector(values):
    return struct.pack("<I", 0) + np.asarray(values, "<f4").tobytes()


def add_ticket(bundle, *, content=None, precision="int8", kind="dense"):
    """Put a `model.ticket` into a bundle, by default one that hears what the bundle's ONNX model hears."""
    manifest = Manifest.load(bundle)
    if content is None:
        content = hearing_ticket(chunk_frames=manifest.chunk_frames, precision=precision)
    (bundle / "model.ticket").write_bytes(content)
    files = manifest.files | {TICKET_ROLE: FileEntry.of("model.ticket", bundle=bundle)}
    formats = {name: FORMATS[precision].replace("dense", kind) for name in ("conv1", "conv2", "head")}
    engine = {"precision": precision, "target": "server", "formats": formats}
    Manifest(**{**vars(manifest), "files": files, "engine": engine}).write(bundle)
    return bundle


def write_engine_bundle(path, *, precision="int8", kind="dense", **options):
    """Write the tiny bundle with a `model.ticket`; `options` go to write_tiny_bundle."""
    return add_ticket(write_tiny_bundle(path, **options), precision=precision, kind=kind)
