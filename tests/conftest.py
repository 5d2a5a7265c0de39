"""Fixtures that every test package shares."""

from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[1]
_DATA_DIRS = (_CHECKOUT.parent / "shared" / "data", _CHECKOUT / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data():
    """Return a function from a pack's name to its folder of recordings; it skips visibly where the pack is absent."""

    def locate(pack):
        for folder in _DATA_DIRS:
            if (folder / pack).is_dir():
                return folder / pack
        pytest.skip(f"speech pack {pack!r} is not at ../shared/data beside the checkout")

    return locate
