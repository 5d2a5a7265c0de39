"""The installed and the oldest supported sherpa-onnx, each in a process of its own: their features, tokens and times.

Nothing tells when another version computes other features: a bundle would only hear worse. The probe would tell.
"""

import tomllib

import kaldi_native_fbank
import numpy as np
import onnx
import pytest

from benchmarks.results import CHECKOUT
from benchmarks.sherpa_environment import INSTALLED, Environment
from runtime.errors import LotteryError
from runtime.features import HOP_SAMPLES, NUM_MELS, SAMPLE_RATE_HZ, fbank
from runtime.synthetic import speech_like
from tests.export import sherpa_probe
from tests.export.test_sherpa import recognise, spoken

# As in tests/runtime/test_features.py, where the oracle is the code that sherpa-onnx uses.
TOLERANCE = 1e-3
NUM_CHUNKS = 110
_DEV = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
(OLDEST,) = (each.removeprefix("sherpa-onnx>=") for each in _DEV if each.startswith("sherpa-onnx>="))


@pytest.fixture(scope="module", params=[INSTALLED, OLDEST])
def environment(request, tmp_path_factory):
    """Return an Environment; it takes seconds, PyPI, and 30 MB to have another version than the installed one."""
    try:
        return Environment(request.param, folder=tmp_path_factory.mktemp("sherpa"))
    except LotteryError as error:
        pytest.skip(f"sherpa-onnx {request.param} cannot be installed here: {error}")


@pytest.fixture(scope="module")
def signal():
    """Speech, loud and quiet, with an offset, and silence; its last visible frame mirrors the end."""
    speech = speech_like(1.5, seed=3)
    parts = [2.0 * speech, 0.01 * speech + 0.2, np.zeros(4000), 0.3 * speech]
    shape = sherpa_probe.container().geometry
    # sherpa-onnx leaves the last frame out; the window of the one before reaches beyond an end half a hop early.
    num_frames = (NUM_CHUNKS - 1) * shape.shift_frames + shape.window_frames + 1
    num_samples = num_frames * HOP_SAMPLES - HOP_SAMPLES // 2
    return np.concatenate(parts)[:num_samples].astype(np.float32)


@pytest.fixture(scope="module")
def windows(environment, signal, tmp_path_factory):
    """Return the features of every chunk as sherpa-onnx computes them: float64 (chunks, 7, 80)."""
    folder = tmp_path_factory.mktemp("probe")
    onnx.save(sherpa_probe.build_probe(), folder / "probe.onnx")
    sherpa_probe.TOKENIZER.save(folder / "tokens.txt")
    (clip,) = ask(environment, folder, model="probe.onnx", signals=[signal])
    return sherpa_probe.read_probe(clip["tokens"])


def ask(environment, folder, *, model, signals):
    """Recognise signals; return sherpa_worker's clips."""
    clips = []
    for index, samples in enumerate(signals):
        clips.append(str(folder / f"{index}.f32"))
        samples.tofile(clips[-1])
    return environment.theirs(model=str(folder / model), tokens=str(folder / "tokens.txt"), clips=clips)["clips"]


def chunks_of(features_TF, *, count):
    shape = sherpa_probe.container().geometry
    starts = range(0, count * shape.shift_frames, shape.shift_frames)
    return np.stack([features_TF[start : start + shape.window_frames] for start in starts])


def test_features_are_ours(windows, signal):
    features_TF, shape = fbank(signal), sherpa_probe.container().geometry
    assert len(windows) == NUM_CHUNKS
    assert (NUM_CHUNKS - 1) * shape.shift_frames + shape.window_frames == len(features_TF) - 1
    difference = np.abs(windows - chunks_of(features_TF, count=len(windows)))
    assert difference.max() < TOLERANCE, f"max {difference.max()}, mean {difference.mean()}"
    # The signal reaches the floor and the top: nothing was clipped by the probe.
    assert windows.min() == pytest.approx(np.log(np.finfo(np.float32).eps), abs=1e-4)
    assert 0 < windows.max() < 32


@pytest.mark.parametrize(
    "change",
    [
        {"dither": 3e-5},
        {"preemph_coeff": 0.95},
        {"remove_dc_offset": False},
        {"window_type": "hanning"},
        {"snip_edges": True},
        {"low_freq": 0.0},
        {"high_freq": 0.0},
        {"use_power": False},
        {"scale": 32768.0},
    ],
    ids=lambda change: "-".join(change),
)
def test_other_features_would_show(windows, signal, change):
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = NUM_MELS, 20, -400
    change = dict(change)
    scale = change.pop("scale", 1.0)
    for name, value in change.items():
        (part,) = (each for each in (options.frame_opts, options.mel_opts, options) if hasattr(each, name))
        setattr(part, name, value)
    extractor = kaldi_native_fbank.OnlineFbank(options)
    extractor.accept_waveform(SAMPLE_RATE_HZ, (scale * signal).tolist())
    extractor.input_finished()
    found = np.stack([extractor.get_frame(index) for index in range(extractor.num_frames_ready)])
    # Without mirrored edges there are two frames less.
    count = len(windows) - 1
    assert np.abs(windows[:count] - chunks_of(found, count=count)).max() > 10 * TOLERANCE


def test_tokens_and_times_are_ours(environment, exported, tmp_path):
    signals = [speech_like(duration_s, seed=seed) for seed, duration_s in enumerate((0.9, 2.0, 3.3, 5.0))]
    for name in ("model.onnx", "tokens.txt"):
        (tmp_path / name).write_bytes((exported.folder / name).read_bytes())
    found = ask(environment, tmp_path, model="model.onnx", signals=signals)
    for clip, samples in zip(found, signals, strict=True):
        tokens, times = recognise(exported.folder, samples)
        assert clip["tokens"] == spoken(tokens)
        assert clip["times"] == pytest.approx(times, abs=1e-4)
    assert sum(len(clip["tokens"]) for clip in found) > 40
