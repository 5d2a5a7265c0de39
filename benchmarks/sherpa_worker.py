"""Recognise clips in whatever sherpa-onnx this interpreter has; one JSON object in on stdin, one out on stdout.

    python benchmarks/sherpa_worker.py < request.json

benchmarks/sherpa.py runs it in throw-away environments, one a version of sherpa-onnx: it imports nothing else.
In: `model` and `tokens` (files), `clips` (files of raw float32 samples, 16 kHz). Out: `sherpa_onnx` and `onnxruntime`
(versions), `clips` (`tokens` and `times` in seconds, for each).
"""

import array
import ctypes
import importlib.metadata
import json
import sys
from pathlib import Path

import sherpa_onnx

SAMPLE_RATE_HZ = 16000
# What a microphone would hand over: 100 ms.
BLOCK_SAMPLES = 1600


class _OrtApiBase(ctypes.Structure):
    """Source: onnxruntime_c_api.h, struct OrtApiBase."""

    _fields_ = [("get_api", ctypes.c_void_p), ("get_version", ctypes.CFUNCTYPE(ctypes.c_char_p))]


def onnxruntime_version():
    """Return the version of the onnxruntime that the wheel brings, or None where it brings none as a file."""
    for path in sorted((Path(sherpa_onnx.__file__).parent / "lib").glob("*onnxruntime*")):
        library = ctypes.CDLL(str(path))
        library.OrtGetApiBase.restype = ctypes.POINTER(_OrtApiBase)
        return library.OrtGetApiBase().contents.get_version().decode()
    return None


def recognise(recognizer, samples):
    """Stream one clip and return its tokens, as sherpa-onnx spells them, and their times in seconds."""
    stream = recognizer.create_stream()
    for start in range(0, len(samples), BLOCK_SAMPLES):
        stream.accept_waveform(SAMPLE_RATE_HZ, samples[start : start + BLOCK_SAMPLES])
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    result = recognizer.get_result_all(stream)
    return {"tokens": list(result.tokens), "times": list(result.timestamps)}


def main():
    """Answer the request on stdin."""
    request = json.load(sys.stdin)
    recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=request["tokens"], model=request["model"], num_threads=1
    )
    clips = []
    for path in request["clips"]:
        samples = array.array("f")
        samples.frombytes(Path(path).read_bytes())
        clips.append(recognise(recognizer, samples))
    versions = {"sherpa_onnx": importlib.metadata.version("sherpa-onnx"), "onnxruntime": onnxruntime_version()}
    json.dump({**versions, "clips": clips}, sys.stdout)


if __name__ == "__main__":
    main()
