"""Tests in noise: the same mix every time, only louder, and never decoded twice."""

import numpy as np
import pytest

from benchmarks.claims.experiment import Bench
from benchmarks.claims.noisy import NoisyTests
from benchmarks.claims.quick import write_noise
from benchmarks.claims.scores import Row
from lottery_train.dataset import Recipe, Variant, load_dataset
from lottery_train.evaluate import Score
from lottery_train.pruning import Mask
from lottery_train.ticket import save_ticket
from runtime.tokenizer import Tokenizer
from tests.benchmarks.claims.runs import score
from tests.lottery_train.tiny import random_model, tiny_config, write_tones


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    bench = Bench(runs=tmp_path / "claims", data_dir=tmp_path / "packs")
    write_tones(bench.data_dir / "an4")
    write_noise(bench.data_dir / "noise")
    config = tiny_config()
    model = random_model(config)
    save_ticket(
        bench.runs / "noise" / "level_00",
        config=config,
        weights=model.state_dict(),
        mask=Mask({}),
        tokenizer=Tokenizer(("<blk>", "▁", "a", "b", "c", "d")),
        record={"level": 0, "chunk_frames": 8},
    )
    return bench


@pytest.fixture
def row():
    known = {0: score((0,) * 5)}
    return Row(path="noise/level_00", name="ticket", level=0, density=1.0, num_nonzeros=1, epochs=1, cost=1.0,
               dev=known, test=known)  # fmt: skip


def test_a_ticket_is_tested_once_at_each_ratio(bench, row, monkeypatch):
    tests = NoisyTests(bench)
    noisy = tests.row(row, snr_db=0.0)
    assert isinstance(noisy.test[0], Score)
    assert noisy.test[0].num_utterances == 4
    assert noisy.dev == row.dev
    monkeypatch.setattr(NoisyTests, "_evaluate", lambda *_, **__: pytest.fail("decoded again"))
    again = NoisyTests(bench).row(row, snr_db=0.0).test[0]
    assert (again.wer, tuple(again.word_errors)) == (noisy.test[0].wer, noisy.test[0].word_errors)
    assert NoisyTests(bench).row(row, snr_db=None) is row


def test_sounds_are_counted(bench):
    (bench.data_dir / "noise" / "broken.wav").write_bytes(b"no sound")
    path = bench.data_dir / "noise" / "test.jsonl"
    path.write_text(path.read_text() * 2 + path.read_text().replace("test.wav", "broken.wav"))
    assert NoisyTests(bench).sounds()["test"] == {"used": 2, "all": 3}


def test_noise_is_in_the_same_place_at_every_ratio(bench):
    """Ratios differ in the gain alone: where noise drowns all speech, 20 dB more are 20 dB in every bin."""
    tests = NoisyTests(bench)
    noise = str(bench.data_dir / "noise" / "test.jsonl")
    quiet, loud = (
        load_dataset(
            tests._utterances,
            recipe=Recipe(variants=(Variant(noise_copy=1),), noise=noise, noise_snrs_db=(ratio,), seed=0),
        ).frames(0)
        for ratio in (-40.0, -60.0)
    )
    # The speech that is left, 40 dB below the noise, is what they differ by; features are kept as float32.
    assert np.median(loud - quiet) == pytest.approx(np.log(100), abs=0.02)
