"""The deployed half of lottery-asr: a bundle and sound in, words out, in the ticket engine or onnxruntime.

Names are loaded on first use: `import runtime` alone costs nothing.
"""

import importlib

__version__ = "0.1.0"

_MODULES = {
    "AudioBlocks": "audio",
    "AudioError": "errors",
    "BeamDecoder": "beam",
    "BundleError": "errors",
    "Calibration": "confidence",
    "Collapse": "ctc",
    "DeviceError": "errors",
    "Endpoint": "endpoint",
    "EndpointRules": "endpoint",
    "Endpointer": "endpoint",
    "EngineSession": "engine.session",
    "EngineUnavailableError": "engine.library",
    "Fbank": "features",
    "FileEntry": "manifest",
    "Geometry": "manifest",
    "Grammar": "grammar",
    "GreedyDecoder": "decoder",
    "Hotword": "hotwords",
    "Hotwords": "hotwords",
    "LanguageModel": "language_model",
    "LexiconDecoder": "lexicon",
    "LotteryError": "errors",
    "Manifest": "manifest",
    "Microphone": "microphone",
    "MissingExtraError": "errors",
    "OrtSession": "session",
    "Recognizer": "recognizer",
    "ReplaySource": "microphone",
    "Result": "result",
    "Session": "session",
    "StateSpec": "manifest",
    "Stream": "recognizer",
    "Symbols": "decoder",
    "Tokenizer": "tokenizer",
    "Word": "result",
    "fbank": "features",
    "greedy_ctc": "ctc",
    "list_devices": "microphone",
    "read_blocks": "audio",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
