"""Arrays of samples of every type, as they come from sound libraries."""

import io

import numpy as np
import pytest
import soundfile

from runtime.recognizer import Recognizer
from runtime.samples import to_float32
from tests.tiny_bundle import speak, write_tiny_bundle

TEXT = "cab bad"


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return Recognizer(write_tiny_bundle(tmp_path_factory.mktemp("samples") / "bundle"))


def stored(dtype, subtype):
    """Return the array that libsndfile gives for a file, and the floats that it gives for the same one."""
    file = io.BytesIO()
    soundfile.write(file, speak(TEXT), 16000, format="WAV", subtype=subtype)
    arrays = []
    for each in (dtype, "float32"):
        file.seek(0)
        arrays.append(soundfile.read(file, dtype=each)[0])
    return arrays


@pytest.mark.parametrize(("dtype", "subtype"), [("int16", "PCM_16"), ("int32", "PCM_24"), ("int32", "PCM_16")])
def test_integers_mean_what_libsndfile_makes_of_them(recognizer, dtype, subtype):
    integers, floats = stored(dtype, subtype)
    assert np.array_equal(to_float32(integers), floats)
    assert np.array_equal(to_float32(integers.astype(integers.dtype.newbyteorder(">"))), floats)
    result = recognizer.transcribe(integers)
    assert result == recognizer.transcribe(floats)
    assert result.text == TEXT


def test_8_bits_with_and_without_a_sign(recognizer):
    _, floats = stored("int16", "PCM_U8")
    signed = np.rint(floats * 128).astype(np.int8)
    unsigned = (np.rint(floats * 128) + 128).astype(np.uint8)
    for integers in (signed, unsigned):
        assert np.array_equal(to_float32(integers), floats)
        assert recognizer.transcribe(integers).text == TEXT


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_stay_what_they_are(recognizer, dtype):
    samples = speak(TEXT).astype(dtype)
    assert np.array_equal(to_float32(samples), samples.astype(np.float32))
    assert recognizer.transcribe(samples).text == TEXT


def test_what_comes_back_is_a_copy():
    samples = np.zeros(10, np.float32)
    to_float32(samples)[0] = 1
    assert samples[0] == 0


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint16, np.uint32, np.uint64, complex, object, "U1", "M8[s]"])
def test_types_that_tell_no_scale_are_refused(recognizer, dtype):
    samples = np.zeros(1600).astype(dtype)
    with pytest.raises(ValueError, match=r"samples has type .*, expected floats in ±1, or integers"):
        recognizer.transcribe(samples)
    stream = recognizer.stream()
    with pytest.raises(ValueError, match="samples has type"):
        stream.accept(samples)


def test_lists_are_taken_as_numpy_takes_them(recognizer):
    assert recognizer.transcribe(speak(TEXT).tolist()).text == TEXT
    assert recognizer.transcribe([]).text == ""
    with pytest.raises(ValueError, match="type int64"):
        recognizer.transcribe([0] * 1600)


@pytest.mark.parametrize(("value", "complaint"), [(np.nan, "NaN"), (-np.inf, "infinity"), (1e300, "samples reach 1e")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_no_samples_are_refused(recognizer, value, complaint, dtype):
    if dtype is np.float32 and value == 1e300:
        value = 1e30
    samples = np.zeros(1600, dtype)
    samples[800] = value
    with pytest.raises(ValueError, match=complaint):
        recognizer.transcribe(samples)


def test_floats_of_another_scale_are_refused_and_loud_ones_are_not(recognizer):
    integers, floats = stored("int16", "PCM_16")
    with pytest.raises(ValueError, match=r"expected ±1: divide them by full scale \(32768 for 16 bits\)"):
        recognizer.transcribe(integers.astype(np.float32))
    # 20 dB more than full scale.
    assert recognizer.transcribe(floats / np.abs(floats).max() * 10).text == TEXT
