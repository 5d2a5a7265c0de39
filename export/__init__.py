"""From tickets to bundles: shrinking, ONNX, int8, verification.

Names are loaded on first use, so that the command line answers --help, or names a missing package, without torch.
"""

import importlib

_MODULES = {
    "Container": "container",
    "Export": "bundle",
    "ExportError": "errors",
    "StreamingStep": "streaming",
    "calibrate_bundle": "calibrate",
    "choose_words": "vocabulary",
    "export_onnx": "graph",
    "export_ticket": "bundle",
    "model_card": "card",
    "quantize": "graph",
    "removable_units": "shrink",
    "required_operators": "ort_format",
    "to_ort_format": "ort_format",
    "write_ticket": "ticket_file",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
