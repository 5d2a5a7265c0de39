"""A bench without runs, and one finished search on it."""

import pytest

from benchmarks.claims.experiment import Bench
from benchmarks.claims.registry import experiments
from benchmarks.claims.scores import Reader
from tests.benchmarks.claims.runs import NONE, ONE, SMALL, write_ticket


@pytest.fixture
def known():
    return experiments(SMALL)


@pytest.fixture
def bench(tmp_path):
    return Bench(runs=tmp_path / "claims", data_dir=tmp_path / "packs")


@pytest.fixture
def reader(bench, known):
    return Reader(bench, known)


@pytest.fixture
def conformer(bench, known):
    """A finished search: dense errs five times in 20 words, level 1 ten times, level 2 never."""
    for level, (test, dev, density) in enumerate(
        ((ONE, ONE, 1.0), ((2,) * 5, NONE, 0.64), (NONE, (1, 0, 0, 0, 0), 0.41))
    ):
        more = {"density": density, "num_nonzeros": round(1000 * density), "dev": dev}
        write_ticket(bench, known["conformer"], f"level_{level:02d}", test=test, **more)
