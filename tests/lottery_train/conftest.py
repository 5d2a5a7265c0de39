"""Fixtures of the training tests."""

import pytest
import torch

from tests.lottery_train.tiny import write_tones


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """Yield a small corpus of tone words, with a cache of its own."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tones")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOTTERY_CACHE", str(folder / "cache"))
        yield write_tones(folder / "pack")
