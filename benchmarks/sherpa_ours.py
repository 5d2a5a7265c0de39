"""Recognise clips in our runtime, with our features or with Kaldi's; one JSON object in on stdin, one out on stdout.

    python -m benchmarks.sherpa_ours < request.json

benchmarks/sherpa.py uses it to find what a difference from sherpa-onnx comes from, also in environments with the
onnxruntime that a version of sherpa-onnx brings. In: `bundle`, `backend`, `precision`, `features` ("ours" or "kaldi"),
`clips` (files of raw float32 samples, 16 kHz). Out: `onnxruntime` (version), `clips` (`tokens`, `times` in seconds and
`margins`, for each).
"""

import importlib.metadata
import json
import sys

import numpy as np

from runtime.decoder import GreedySearch
from runtime.features import NUM_MELS, PADDING_VALUE, SAMPLE_RATE_HZ, num_chunks, padded_frames
from runtime.recognizer import Recognizer, Stream
from runtime.tokenizer import WORD_START

FEATURES = ("ours", "kaldi")


class WatchedSearch(GreedySearch):
    """A best path that remembers how decided each frame was: `margins`, ln p(best symbol) - ln p(second best)."""

    def __init__(self, *, blank):
        super().__init__(blank=blank)
        self.margins = []

    def accept(self, logprobs_TV):
        """See Search."""
        super().accept(logprobs_TV)
        second_T2 = np.partition(logprobs_TV, -2, axis=1)[:, -2:]
        self.margins.extend((second_T2[:, 1] - second_T2[:, 0]).tolist())


def kaldi_features(samples):
    """Return kaldi-native-fbank's features with sherpa-onnx's settings: float32 (T, 80). It is the same code."""
    import kaldi_native_fbank  # not everywhere: our own features need none of it

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = NUM_MELS
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = -400
    extractor = kaldi_native_fbank.OnlineFbank(options)
    extractor.accept_waveform(SAMPLE_RATE_HZ, samples.tolist())
    extractor.input_finished()
    return np.stack([extractor.get_frame(index) for index in range(extractor.num_frames_ready)])


def run_features(session, features_TF, *, search):
    """Run a clip's features through the model, on the chunks that a Stream runs."""
    shape = session.geometry
    chunks = num_chunks(len(features_TF), chunk_frames=shape.chunk_frames)
    missing = padded_frames(chunks, chunk_frames=shape.chunk_frames) - len(features_TF)
    features_TF = np.pad(features_TF, ((0, missing), (0, 0)), constant_values=PADDING_VALUE)
    state = session.initial_state()
    for start in range(0, chunks * shape.shift_frames, shape.shift_frames):
        logprobs_NTV, state = session.step(features_TF[None, start : start + shape.window_frames], state)
        search.accept(logprobs_NTV[0])


def recognise(recognizer, samples, *, features):
    """Recognise one clip: tokens as sherpa-onnx spells them, their times in seconds, margins of all frames."""
    search = WatchedSearch(blank=recognizer.session.geometry.blank)
    if features == "kaldi":
        run_features(recognizer.session, kaldi_features(samples), search=search)
    else:
        stream = Stream(recognizer.session, tokenizer=recognizer.tokenizer, search=search)
        stream.accept(samples)
        stream.finish()
    symbols = search.best(is_final=True)
    return {
        # sherpa-onnx shows the start of a word as a space.
        "tokens": [recognizer.tokenizer.symbols[index].replace(WORD_START, " ") for index in symbols.ids],
        "times": [frame * recognizer.session.geometry.frame_s for frame in symbols.frames],
        "margins": search.margins,
    }


def answer(request):
    """Return the answer to a request; see the head of the file."""
    recognizer = Recognizer(request["bundle"], precision=request["precision"], backend=request["backend"])
    clips = [
        recognise(recognizer, np.fromfile(path, np.float32), features=request["features"]) for path in request["clips"]
    ]
    return {"onnxruntime": importlib.metadata.version("onnxruntime"), "clips": clips}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
