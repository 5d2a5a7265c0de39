"""Recordings of every kind arrive as float32, mono, 16 kHz."""

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from lottery_train.corpora import Utterance, load_audio, measure_duration_s
from lottery_train.errors import CorpusError


def _tone(*, rate_hz, seconds=1.0):
    times = np.arange(int(rate_hz * seconds)) / rate_hz
    return 0.5 * np.sin(2 * np.pi * 440 * times) * np.hanning(len(times))


def _utterance(path, **fields):
    return Utterance(audio_path=path, duration_s=fields.pop("duration_s", 1.0), text="a", **fields)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1 / 127),
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", 2**-24),
        ("flac", "PCM_16", 2**-15),
        ("nist", "PCM_16", 2**-15),
    ],
)
def test_sample_formats(tmp_path, suffix, subtype, tolerance):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, _tone(rate_hz=16000), 16000, subtype=subtype)
    samples = load_audio(_utterance(path))
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    # One quantisation step of the format.
    assert np.abs(samples - _tone(rate_hz=16000)).max() <= tolerance


def test_stereo_is_averaged(tmp_path):
    left, right = _tone(rate_hz=16000), -0.5 * _tone(rate_hz=16000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(_utterance(tmp_path / "a.wav")), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_other_rates_are_resampled(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.wav", _tone(rate_hz=rate_hz), rate_hz, subtype="FLOAT")
    samples = load_audio(_utterance(tmp_path / "a.wav"))
    expected = resample_poly(_tone(rate_hz=rate_hz), 16000 // 8000, rate_hz // 8000)
    assert samples.shape == expected.shape == (16000,)
    # Two different low-pass filters, on a tone far below their edges.
    assert np.abs(samples - expected).max() < 2e-3


def test_a_part_of_a_recording(tmp_path):
    whole = np.random.default_rng(0).uniform(-1, 1, 16000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", whole, 16000, subtype="FLOAT")
    samples = load_audio(_utterance(tmp_path / "a.wav", offset_s=0.25, duration_s=0.5))
    np.testing.assert_array_equal(samples, whole[4000:12000])
    samples = load_audio(_utterance(tmp_path / "a.wav", offset_s=0.0, duration_s=0.1))
    np.testing.assert_array_equal(samples, whole[:1600])


def test_a_whole_file_is_read_to_its_end_whatever_the_manifest_rounded_to(tmp_path):
    soundfile.write(tmp_path / "a.wav", _tone(rate_hz=16000, seconds=1.04), 16000)
    assert load_audio(_utterance(tmp_path / "a.wav", duration_s=1.0)).shape == (16640,)


def test_faults_name_the_file_and_the_manifest_line(tmp_path):
    corrupt, empty, missing = tmp_path / "corrupt.flac", tmp_path / "empty.wav", tmp_path / "missing.wav"
    corrupt.write_bytes(b"fLaC" + bytes(200))
    soundfile.write(empty, np.zeros(0), 16000)
    broken = tmp_path / "nan.wav"
    soundfile.write(broken, np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    for path in (corrupt, empty, missing, broken):
        with pytest.raises(CorpusError) as caught:
            load_audio(_utterance(path, manifest=tmp_path / "train.jsonl", line=7))
        assert str(caught.value).startswith(f"{tmp_path / 'train.jsonl'}:7: ")
        assert path.name in str(caught.value)
    for path in (corrupt, empty, missing):
        with pytest.raises(CorpusError, match=path.name):
            measure_duration_s(path)


def test_an_offset_beyond_the_end_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", _tone(rate_hz=16000), 16000)
    with pytest.raises(CorpusError, match=r"offset 2\.0 s lies beyond the end"):
        load_audio(_utterance(tmp_path / "a.wav", offset_s=2.0))


def test_duration_comes_from_the_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(22050), 44100)
    assert measure_duration_s(tmp_path / "a.wav") == 0.5


@pytest.mark.parametrize("duration_s", [0.49, 1.01, 1.99, 2.51, 1200.0])
def test_a_duration_that_is_not_the_files_is_named_with_its_line(tmp_path, duration_s):
    soundfile.write(tmp_path / "a.wav", np.zeros(24000), 16000)
    utterance = _utterance(tmp_path / "a.wav", duration_s=duration_s, manifest=tmp_path / "train.jsonl", line=7)
    if 1.0 <= duration_s <= 2.0:
        assert load_audio(utterance).shape == (24000,)
    else:
        with pytest.raises(CorpusError, match=r"train\.jsonl:7: 'duration' is [\d.]+ s, .*a\.wav holds 1\.50 s$"):
            load_audio(utterance)


def test_a_part_that_its_file_ends_before_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(24000), 16000)
    assert load_audio(_utterance(tmp_path / "a.wav", offset_s=1.0, duration_s=0.9)).shape == (8000,)
    with pytest.raises(CorpusError, match=r"'duration' is 1\.2 s, .* holds 0\.50 s from 1 s on"):
        load_audio(_utterance(tmp_path / "a.wav", offset_s=1.0, duration_s=1.2))
