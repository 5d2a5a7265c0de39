"""The measuring process: a clip long enough, threads fixed, this package and no other, errors that arrive as such."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from runtime import measurement
from runtime.errors import LotteryError
from runtime.measurement import Candidate, Conditions, load_clip, measure_clips, measure_footprint
from tests.runtime.bench_bundles import write_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bench") / "small")


def test_the_measuring_process_refuses_a_clip_without_enough_chunks(tmp_path):
    long = write_bundle(tmp_path / "long", has_int8=False, chunk_frames=100)
    with pytest.raises(LotteryError, match=r"long: 10\.00 s of audio, chunks of 4 s need 16 s"):
        measure_footprint(Candidate(bundle=long, precision="fp32"), conditions=Conditions())


def test_a_folder_of_the_user_named_runtime_does_not_become_this_package(bundle, tmp_path, monkeypatch):
    for name in ("runtime", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    found = measure_footprint(Candidate(bundle=bundle, precision="fp32"), conditions=Conditions())
    assert found["load_s"] > 0


def test_a_clip_too_short_to_measure(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(8000), 16000)
    with pytest.raises(LotteryError, match=r"short.wav: 0.50 s of audio"):
        load_clip(tmp_path / "short.wav")


def test_a_clip_of_another_rate_is_resampled_and_bounded(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 70), 8000)
    assert load_clip(tmp_path / "long.wav").shape == (60 * 16000,)


def test_an_error_in_the_measuring_process_arrives_as_one(bundle):
    lost = Candidate(bundle=bundle + "-gone", precision="fp32")
    with pytest.raises(LotteryError, match="no such bundle") as caught:
        measure_clips([lost], conditions=Conditions(), repeats=1)
    assert caught.value.hint


def test_the_measuring_process_has_its_threads_fixed(bundle, monkeypatch):
    seen = {}

    def run(command, *, env, **_):
        seen.update(env)
        return SimpleNamespace(returncode=-9, stdout="")

    monkeypatch.setattr(measurement, "subprocess", SimpleNamespace(run=run, PIPE=subprocess.PIPE))
    with pytest.raises(LotteryError, match="status -9"):
        measure_clips([Candidate(bundle=bundle, precision="fp32")], conditions=Conditions(threads=3), repeats=1)
    assert {seen[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}
