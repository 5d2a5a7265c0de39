"""Fixtures that every test package shares."""

import os
import signal
from pathlib import Path

import pytest

from runtime.engine import build, library

_CHECKOUT = Path(__file__).resolve().parents[1]
_DATA_DIRS = (_CHECKOUT.parent / "shared" / "data", _CHECKOUT / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def heard_ctrl_c():
    """Let Ctrl-C interrupt, as it does at a terminal: what a shell runs in the background starts with it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def shared_data():
    """Return a function from a pack's name to its folder of recordings; it skips visibly where the pack is absent."""

    def locate(pack):
        for folder in _DATA_DIRS:
            if (folder / pack).is_dir():
                return folder / pack
        pytest.skip(f"speech pack {pack!r} is not at ../shared/data beside the checkout")

    return locate


@pytest.fixture(scope="session")
def engine_library(tmp_path_factory):
    """Return the path of the ticket engine's library, for this process and those it starts.

    The installed one, or one built now where that is absent or older than the sources. Skips visibly where there is no
    compiler; sources that do not compile are a failure.
    """
    path = library.library_path()
    sources = [file for folder in (build.SOURCE_DIR, build.INCLUDE_DIR) for file in folder.iterdir()]
    if path.is_file() and path.stat().st_mtime > max(file.stat().st_mtime for file in sources):
        yield path
        return
    try:
        build.find_compiler()
    except build.BuildError as error:
        pytest.skip(f"the ticket engine is neither installed nor can it be built: {error}")
    path = build.build(tmp_path_factory.mktemp("engine")).path
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, library.LIBRARY_VARIABLE, str(path))
        yield path
