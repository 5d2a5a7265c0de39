"""Features against kaldi-native-fbank, and streaming against one shot."""

import subprocess
import sys

import kaldi_native_fbank as knf
import numpy as np
import pytest

from runtime.features import (
    ENCODER_FRAME_MS,
    FEATURE_FRAMES_PER_S,
    HOP_SAMPLES,
    NUM_MELS,
    PADDING_VALUE,
    RECEPTIVE_FRAMES,
    SAMPLE_RATE_HZ,
    SUBSAMPLING,
    TAIL_FRAMES,
    WINDOW_SAMPLES,
    Fbank,
    fbank,
    num_chunks,
    padded_frames,
)

# float32 sums in another order; the largest seen over these signals is 4e-4, in bins at the floor.
TOLERANCE = 1e-3
EDGE_LENGTHS = (0, 1, 79, 80, 81, 159, 160, 161, 239, 240, 399, 400, 401, 559, 560, 561, 16000, 16079, 16080, 33333)


def oracle(samples):
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = NUM_MELS
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = -400
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(16000, samples.tolist())
    extractor.input_finished()
    frames = [extractor.get_frame(index) for index in range(extractor.num_frames_ready)]
    return np.stack(frames) if frames else np.zeros((0, NUM_MELS), np.float32)


def noise(num_samples, *, level=0.1, seed=0):
    return (np.random.default_rng(seed).standard_normal(num_samples) * level).astype(np.float32)


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.max(initial=0) <= tolerance, f"max {difference.max()}, mean {difference.mean()}"


@pytest.mark.parametrize("num_samples", EDGE_LENGTHS)
def test_equals_kaldi_at_edge_lengths(num_samples):
    samples = noise(num_samples)
    assert_close(fbank(samples), oracle(samples), TOLERANCE)


@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0])
def test_equals_kaldi_at_any_loudness(level):
    samples = noise(16000, level=level, seed=1)
    assert_close(fbank(samples), oracle(samples), TOLERANCE)


@pytest.mark.parametrize("num_samples", EDGE_LENGTHS)
@pytest.mark.parametrize("push", [1, 37, HOP_SAMPLES, 1600])
def test_streaming_equals_one_shot(num_samples, push):
    if push == 1 and num_samples > 1000:
        num_samples = 1000
    samples = noise(num_samples, seed=2)
    extractor = Fbank()
    parts = [extractor.accept(samples[first : first + push]) for first in range(0, num_samples, push)]
    # Same windows, but the mel product runs on fewer rows at a time: float32 sums differ in the last bit.
    assert_close(np.concatenate([*parts, extractor.finish()]), fbank(samples), 1e-5)


def test_frames_come_as_soon_as_their_window_is_complete():
    extractor = Fbank()
    assert len(extractor.accept(noise(WINDOW_SAMPLES // 2 + HOP_SAMPLES // 2 - 1))) == 0
    assert len(extractor.accept(noise(1))) == 1


def test_memory_is_constant():
    extractor = Fbank()
    for _ in range(200):
        extractor.accept(noise(1600))
    assert len(extractor._samples) < 4 * WINDOW_SAMPLES


def test_the_clocks_are_those_that_the_features_keep():
    assert (FEATURE_FRAMES_PER_S, ENCODER_FRAME_MS) == (100, 40)
    assert len(fbank(np.zeros(3 * SAMPLE_RATE_HZ))) == 3 * FEATURE_FRAMES_PER_S
    # a window more for each encoder frame more
    hops = padded_frames(2, chunk_frames=1) - padded_frames(1, chunk_frames=1)
    assert 1000 * hops == ENCODER_FRAME_MS * FEATURE_FRAMES_PER_S


def test_the_work_stays_on_the_calling_thread():
    """Threads of OpenBLAS that are called once a chunk spin until the next one: several times the work."""
    program = """if True:
        import time
        import numpy as np
        from runtime.features import Fbank
        extractor, block = Fbank(), np.full(10240, 0.1, np.float32)
        extractor.accept(block)
        time.sleep(0.5)  # threads spin for a while after they were made, too
        process_s, thread_s = time.process_time(), time.thread_time()
        for _ in range(100):
            extractor.accept(block)
        print((time.process_time() - process_s) / (time.thread_time() - thread_s))
    """
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # All threads beside this one. Two cores had 1.9 with one product of all frames; both clocks count processor time.
    assert float(child.stdout) == pytest.approx(1, abs=0.2)


def test_digital_silence_has_the_padding_value():
    np.testing.assert_allclose(fbank(np.zeros(8000, np.float32)), PADDING_VALUE, rtol=1e-6)


def test_wrong_use_is_refused():
    extractor = Fbank()
    with pytest.raises(ValueError, match="shape"):
        extractor.accept(np.zeros((2, 10), np.float32))
    extractor.finish()
    with pytest.raises(ValueError, match="finish"):
        extractor.accept(np.zeros(10, np.float32))


@pytest.mark.parametrize("chunk", [1, 4, 16])
def test_chunks_see_every_frame_and_the_tail_and_not_a_chunk_more(chunk):
    for num_frames in range(1, 300):
        count = num_chunks(num_frames, chunk_frames=chunk)
        # The last encoder frame must exist that starts at or before the last tail frame's receptive field.
        needed = num_frames + TAIL_FRAMES - SUBSAMPLING + 1
        assert padded_frames(count, chunk_frames=chunk) >= needed
        assert padded_frames(count - 1, chunk_frames=chunk) < num_frames + TAIL_FRAMES
    assert num_chunks(0, chunk_frames=chunk) == 0
    assert padded_frames(1, chunk_frames=1) == RECEPTIVE_FRAMES


def test_equals_kaldi_on_speech(shared_data):
    import soundfile

    path = sorted((shared_data("an4") / "audio").rglob("*.opus"))[0]
    samples, _ = soundfile.read(path, dtype="float32")
    assert_close(fbank(samples), oracle(samples), TOLERANCE)
