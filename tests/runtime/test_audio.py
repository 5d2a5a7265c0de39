"""Sound files of every kind a user may have, the broken ones included."""

import numpy as np
import pytest
import soundfile

from runtime.audio import read_blocks
from runtime.errors import AudioError
from tests.tiny_bundle import speak


def write(path, samples, *, rate=16000, subtype=None):
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def read_whole(path):
    blocks = read_blocks(path)
    return np.concatenate(list(blocks)), blocks.sample_rate_hz


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 2**-24),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.wav", "ULAW", 0.03),
        ("a.flac", "PCM_S8", 2**-7),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
        ("a.aiff", "PCM_16", 2**-15),
    ],
)
def test_every_sample_format_gives_the_same_samples(tmp_path, name, subtype, step):
    samples = speak("cab")
    read, rate = read_whole(write(tmp_path / name, samples, subtype=subtype))
    assert rate == 16000
    assert read.dtype == np.float32
    assert read.shape == samples.shape
    # half a quantisation step; PCM_32 is limited by float32 itself
    assert np.abs(read - samples).max() <= step


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_the_rate_is_the_files_own(tmp_path, rate):
    blocks = read_blocks(write(tmp_path / "a.wav", np.zeros(rate // 2), rate=rate))
    assert blocks.sample_rate_hz == rate
    assert blocks.duration_s == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged(tmp_path, channels):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, channels)).astype(np.float32)
    read, _ = read_whole(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert np.abs(read - samples.mean(axis=1)).max() < 1e-7


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_compressed_files_are_read(tmp_path, name):
    samples = speak("cab bad")
    read, _ = read_whole(write(tmp_path / name, samples))
    assert abs(len(read) - len(samples)) < 0.2 * 16000
    assert np.abs(read).mean() > 0.05


@pytest.mark.parametrize("block_s", [0.01, 0.1, 1.0, 100.0])
def test_blocks_put_together_are_the_file(tmp_path, block_s):
    samples = speak("cab bad")
    blocks = list(read_blocks(write(tmp_path / "a.wav", samples, subtype="FLOAT"), block_s=block_s))
    assert all(len(block) <= max(1, block_s * 16000) for block in blocks)
    assert np.array_equal(np.concatenate(blocks), samples)


def test_a_file_is_closed_early_by_its_context(tmp_path):
    with read_blocks(write(tmp_path / "a.wav", speak("cab")), block_s=0.1) as blocks:
        assert len(next(iter(blocks))) == 1600
    with pytest.raises(RuntimeError, match="closed"):
        next(iter(blocks))


def error_of(path):
    with pytest.raises(AudioError) as caught:
        read_whole(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


def test_what_is_not_there(tmp_path):
    assert "no such file" in error_of(tmp_path / "a.wav")
    assert "a directory" in error_of(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    assert "empty" in error_of(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.aiff"])
def test_zero_length_audio(tmp_path, name):
    assert "no samples" in error_of(write(tmp_path / name, np.zeros(0)))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.raw", "a.txt", "a"])
def test_text_is_not_a_sound_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is a text about sound " * 20)
    message = error_of(tmp_path / name)
    assert "not a sound file" in message or "no samples" in message or "corrupt" in message


def test_a_damaged_flac_says_where(tmp_path):
    path = write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.3, 0.3, 64000))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    message = error_of(path)
    assert "corrupt after" in message or "truncated" in message


def test_a_truncated_mp3_is_noticed(tmp_path, capfd):
    path = write(tmp_path / "a.mp3", np.random.default_rng(0).uniform(-0.3, 0.3, 64000))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "truncated" in error_of(path)
    capfd.readouterr()  # the decoder's own complaint


def test_a_cut_wav_gives_what_is_there_and_then_says_so(tmp_path):
    samples = speak("cab bad")
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    read = []
    with pytest.raises(AudioError, match="truncated"):
        read.extend(read_blocks(path))
    read = np.concatenate(read)
    assert 0.45 * len(samples) < len(read) < 0.5 * len(samples)
    assert np.array_equal(read, samples[: len(read)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    samples = speak("cab")
    samples[len(samples) // 2] = value
    assert "NaN or infinity" in error_of(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_an_impossible_rate_is_refused(tmp_path):
    assert "out of range" in error_of(write(tmp_path / "a.wav", np.zeros(100), rate=100))
