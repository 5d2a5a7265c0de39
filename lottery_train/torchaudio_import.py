"""The one place that imports torchaudio."""

import importlib
import sys
import types

from runtime.errors import MissingExtraError, require_extra


def _stub_extension():
    """Return a stand-in for torchaudio._extension: everything that needs no compiled operator works with it."""
    stub = types.ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = lambda function: function
    return stub


def import_torchaudio():
    """Import torchaudio, also beside a build of torch that its compiled part cannot be loaded with.

    The torchaudio 2.11.0 wheel on PyPI is linked against CUDA libraries, so that beside a CPU build of torch its
    import ends in an OSError. Its datasets, transforms, functional, compliance.kaldi and models need no compiled
    operator: where the plain import fails, they are imported over a stub of the compiled part.

    Returns:
        the torchaudio module.
    Raises:
        MissingExtraError: torchaudio is not installed, or does not fit the installed torch even so.
    """
    try:
        return require_extra("torchaudio", extra="train")
    except (OSError, ImportError):
        _forget_torchaudio()
    sys.modules["torchaudio._extension"] = _stub_extension()
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError) as error:
        _forget_torchaudio()
        raise MissingExtraError(
            f"torchaudio cannot be imported beside the installed torch: {error}",
            hint='pip install --force-reinstall "lottery-asr[train]"',
        ) from error


def _forget_torchaudio():
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
