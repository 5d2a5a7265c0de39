"""The same files in sherpa-onnx, which someone else wrote: its features, its states, our tokens and times."""

import difflib
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import load_audio, read_manifest
from runtime.ctc import greedy_ctc
from runtime.features import fbank
from runtime.manifest import Manifest
from runtime.recognizer import Recognizer
from runtime.session import open_session
from runtime.synthetic import speech_like
from tests.export.models import TOKENIZER

sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="PyPI sherpa-onnx is not installed")
from benchmarks import sherpa_worker  # noqa: E402 - it imports sherpa_onnx

SAMPLE_RATE_HZ = 16000
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "devices.md"
# Real clips: pack, split, and how many of it.
CLIPS = (
    ("an4", "test", 10),
    ("coffee_commands", "test", 4),
    ("fsdd", "test", 4),
    ("asterisk_en", "test", 4),
    ("mini_librispeech", "dev", 4),
)


@pytest.fixture(scope="module")
def bundle(exported):
    return exported.folder


def open_sherpa(bundle, *, model="model.onnx"):
    return sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=str(bundle / "tokens.txt"), model=str(bundle / model), num_threads=1
    )


def recognise_with_sherpa(bundle, samples, **options):
    """Stream samples through sherpa-onnx; return (tokens, times in seconds)."""
    found = sherpa_worker.recognise(open_sherpa(bundle, **options), samples)
    return found["tokens"], found["times"]


def recognise(bundle, samples, *, precision="fp32"):
    """Run our features, session and decoding on the chunks that sherpa-onnx runs: it leaves out an unfilled one."""
    session = open_session(bundle, manifest=Manifest.load(bundle), precision=precision)
    shape, features = session.geometry, fbank(samples)
    state, outputs, start = session.initial_state(), [], 0
    # sherpa-onnx asks for one frame more than the window before it runs.
    while start + shape.window_frames < len(features):
        logprobs, state = session.step(features[None, start : start + shape.window_frames], state)
        outputs.append(logprobs[0])
        start += shape.shift_frames
    found = greedy_ctc(np.concatenate(outputs), blank=shape.blank)
    return [TOKENIZER.symbols[index] for index in found.ids], [frame * shape.frame_s for frame in found.frames]


def spoken(tokens):
    """Return tokens as sherpa-onnx shows them: the word start is a space."""
    return [token.replace("\u2581", " ") for token in tokens]


@pytest.mark.parametrize("seed", [1, 2])
def test_tokens_and_times_are_ours(bundle, seed):
    samples = speech_like(6.0, seed=seed)
    tokens, times = recognise_with_sherpa(bundle, samples)
    expected, expected_times = recognise(bundle, samples)
    assert tokens == spoken(expected)
    assert len(tokens) > 40
    assert len(set(tokens)) >= 6
    assert times == pytest.approx(expected_times, abs=1e-4)


@pytest.mark.parametrize(("pack", "split", "count"), CLIPS, ids=[pack for pack, _, _ in CLIPS])
def test_real_clips_have_our_tokens_and_times(bundle, shared_data, pack, split, count):
    utterances, _ = read_manifest(shared_data(pack) / f"{split}.jsonl")
    spoken_tokens = 0
    for utterance in random.Random(5).sample(utterances, count):
        # A digit alone is shorter than a chunk, of which sherpa-onnx hears nothing.
        samples = np.concatenate([load_audio(utterance), np.zeros(SAMPLE_RATE_HZ // 2, np.float32)])
        tokens, times = recognise_with_sherpa(bundle, samples)
        expected, expected_times = recognise(bundle, samples)
        assert tokens == spoken(expected), utterance.origin
        assert times == pytest.approx(expected_times, abs=1e-4), utterance.origin
        spoken_tokens += len(tokens)
    assert spoken_tokens > 3 * count


def test_our_runtime_says_the_same_and_goes_on_to_the_end(bundle):
    samples = speech_like(6.0, seed=1)
    tokens, _ = recognise_with_sherpa(bundle, samples)
    ours = [
        TOKENIZER.symbols[index]
        for index in Recognizer(bundle, precision="fp32").transcribe(samples, sample_rate_hz=SAMPLE_RATE_HZ).ids
    ]
    assert spoken(ours)[: len(tokens)] == tokens
    assert len(ours) > len(tokens)


def test_streams_that_began_at_different_times_share_a_batch(bundle):
    recognizer = open_sherpa(bundle)
    signals = [speech_like(5.0, seed=seed) for seed in (1, 2)]
    streams = [recognizer.create_stream() for _ in signals]
    streams[0].accept_waveform(SAMPLE_RATE_HZ, signals[0][:SAMPLE_RATE_HZ])
    while recognizer.is_ready(streams[0]):
        recognizer.decode_stream(streams[0])
    streams[0].accept_waveform(SAMPLE_RATE_HZ, signals[0][SAMPLE_RATE_HZ:])
    streams[1].accept_waveform(SAMPLE_RATE_HZ, signals[1])
    for stream in streams:
        stream.input_finished()
    while ready := [stream for stream in streams if recognizer.is_ready(stream)]:
        recognizer.decode_streams(ready)
    for stream, signal in zip(streams, signals, strict=True):
        assert list(recognizer.get_result_all(stream).tokens) == spoken(recognise(bundle, signal)[0])


def test_int8_runs_there_too(bundle):
    samples = speech_like(6.0, seed=1)
    tokens, _ = recognise_with_sherpa(bundle, samples, model="model.int8.onnx")
    expected, _ = recognise(bundle, samples, precision="int8")
    # A feature that differs in the last digit may round to another of 256 steps: an undecided frame can tip.
    assert difflib.SequenceMatcher(None, tokens, spoken(expected)).ratio() > 0.9
    assert len(tokens) > 40


def test_the_guides_program_runs(bundle, tmp_path):
    program = textwrap.dedent(GUIDE.read_text(encoding="utf-8").partition("In Python:\n")[2].partition("\n## ")[0])
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, speech_like(4.0, seed=1), SAMPLE_RATE_HZ, subtype="FLOAT")
    child = subprocess.run([sys.executable, "-c", program, bundle, clip], check=True, capture_output=True, text=True)
    samples = np.concatenate([speech_like(4.0, seed=1), np.zeros(SAMPLE_RATE_HZ, np.float32)])
    tokens, times = recognise_with_sherpa(bundle, samples, model="model.int8.onnx")
    assert child.stdout.endswith(f"{tokens} {times}\n")
    assert len(tokens) > 20
