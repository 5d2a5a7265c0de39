"""Log-mel filter bank features, streaming, in numpy: the one definition that training and deployment share.

The definition is Kaldi's fbank with the settings that sherpa-onnx uses for streaming zipformer2-CTC models:
16 kHz, 25 ms Povey window every 10 ms, DC removal, pre-emphasis 0.97, 512-point FFT, 80 mel bins from 20 to 7600 Hz,
power spectrum, natural log floored at the float32 epsilon, no dither, snip_edges False (edges are mirrored), samples
in ±1.
Source: Kaldi feat/feature-fbank.cc, feat/mel-computations.cc; kaldi-native-fbank is the oracle in the tests.
"""

import numpy as np

SAMPLE_RATE_HZ = 16000
NUM_MELS = 80
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
LOW_HZ = 20.0
HIGH_HZ = 7600.0
PREEMPHASIS = 0.97
# The feature value of digital silence; it pads every utterance, in training as in deployment.
PADDING_VALUE = float(np.log(np.finfo(np.float32).eps))
# Padding after the last real frame, so that a word cut short at the end still gets its symbols: 200 ms.
TAIL_FRAMES = 20

# Encoder frame j (40 ms) sees feature frames 4j ... 4j+6.
SUBSAMPLING = 4
RECEPTIVE_FRAMES = 7

# The two clocks of the project: feature frames come every 10 ms, encoder frames (chunks count these) every 40 ms.
FEATURE_FRAMES_PER_S = SAMPLE_RATE_HZ // HOP_SAMPLES
ENCODER_FRAME_MS = 1000 * SUBSAMPLING * HOP_SAMPLES // SAMPLE_RATE_HZ

_FFT_SAMPLES = 512
# The work of so many frames fits the processor's cache: a long clip takes a third of the time.
_PIECE_FRAMES = 60
# OpenBLAS shares products of more than 2**18 multiplications among threads, and these go on spinning when they are
# done: a stream that lives in such products costs several times its work.
_PRODUCT_FRAMES = 2**18 // (NUM_MELS * (_FFT_SAMPLES // 2 + 1))
# First sample of frame t is t * HOP + _OFFSET: Kaldi centres frames on their hop when snip_edges is False.
_OFFSET = HOP_SAMPLES // 2 - WINDOW_SAMPLES // 2


def _povey_window():
    phase = 2 * np.pi * np.arange(WINDOW_SAMPLES) / (WINDOW_SAMPLES - 1)
    return ((0.5 - 0.5 * np.cos(phase)) ** 0.85).astype(np.float32)


def _mel_matrix():
    """Return float32 (257, 80): triangular filters, linear on the mel axis (HTK formula)."""

    def mel(hz):
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(LOW_HZ), mel(HIGH_HZ), NUM_MELS + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = mel(np.arange(_FFT_SAMPLES // 2 + 1) * SAMPLE_RATE_HZ / _FFT_SAMPLES)[None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).T.astype(np.float32)


_WINDOW = _povey_window()
_MELS = _mel_matrix()


def _log_mel(frames):
    """Map float32 (T, 400) windows to float32 (T, 80) log-mel energies."""
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - np.float32(PREEMPHASIS) * previous) * _WINDOW, _FFT_SAMPLES, axis=1)
    num_products = -(-len(frames) // _PRODUCT_FRAMES)
    power = np.zeros((num_products * _PRODUCT_FRAMES, len(_MELS)), np.float32)
    power[: len(frames)] = spectrum.real**2 + spectrum.imag**2
    # A stack of small products, not one of all frames.
    mels = power.reshape(num_products, _PRODUCT_FRAMES, len(_MELS)) @ _MELS
    energies = mels.reshape(-1, NUM_MELS)[: len(frames)]
    return np.log(np.maximum(energies, np.finfo(np.float32).eps)).astype(np.float32)


class Fbank:
    """Streaming extractor: push samples of any count, get the frames that are complete; memory stays constant."""

    def __init__(self):
        self._samples = np.zeros(0, np.float32)
        self._first_sample = 0
        self._num_frames = 0
        self._is_finished = False

    def accept(self, samples):
        """Add samples and return the frames whose window is now complete.

        Args:
            samples: float32 (n,), ±1, 16 kHz mono; n may be 0.
        Returns:
            float32 (T, 80), T >= 0.
        Raises:
            ValueError: samples is not 1-D, or the stream was finished.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"samples has shape {samples.shape}, expected (n,)")
        if self._is_finished:
            raise ValueError("accept() after finish(): open a new Fbank")
        self._samples = np.concatenate([self._samples, samples])
        total = self._first_sample + len(self._samples)
        return self._emit((total - WINDOW_SAMPLES - _OFFSET) // HOP_SAMPLES + 1, total)

    def finish(self):
        """Return the last frames, whose windows mirror the end of the signal: float32 (T, 80)."""
        self._is_finished = True
        total = self._first_sample + len(self._samples)
        return self._emit((total + HOP_SAMPLES // 2) // HOP_SAMPLES, total)

    def _emit(self, last, total):
        pieces = [np.zeros((0, NUM_MELS), np.float32)]
        while self._num_frames < last:
            stop = min(self._num_frames + _PIECE_FRAMES, last)
            pieces.append(_log_mel(self._windows(self._num_frames, stop, total=total)))
            self._num_frames = stop
        # One window behind the next frame stays: finish() mirrors up to a window of the past.
        drop = max(0, self._num_frames * HOP_SAMPLES + _OFFSET - WINDOW_SAMPLES - self._first_sample)
        self._samples = self._samples[drop:]
        self._first_sample += drop
        return np.concatenate(pieces)

    def _windows(self, first, stop, *, total):
        """Return the windows of frames first ... stop - 1 of a signal of `total` samples, its edges mirrored."""
        starts = np.arange(first, stop) * HOP_SAMPLES + _OFFSET
        index = starts[:, None] + np.arange(WINDOW_SAMPLES)[None]
        # Mirroring may need several reflections when the signal is shorter than a window.
        while index.min() < 0 or index.max() >= total:
            index = np.where(index < 0, -index - 1, index)
            index = np.where(index >= total, 2 * total - 1 - index, index)
        return self._samples[index - self._first_sample]


def fbank(samples):
    """Return the features of a whole clip.

    Args:
        samples: float32 (n,), ±1, 16 kHz mono.
    Returns:
        float32 (T, 80), T = round(n / 160).
    """
    extractor = Fbank()
    return np.concatenate([extractor.accept(samples), extractor.finish()])


def num_chunks(num_frames, *, chunk_frames):
    """Return how many chunks recognise a clip: enough to see every frame and TAIL_FRAMES of padding after the last.

    Args:
        num_frames: feature frames (10 ms) of the clip; 0 gives 0.
        chunk_frames: encoder frames (40 ms) a chunk.
    """
    if num_frames == 0:
        return 0
    num_encoder_frames = (num_frames + TAIL_FRAMES - RECEPTIVE_FRAMES) // SUBSAMPLING + 1
    return -(-num_encoder_frames // chunk_frames)


def padded_frames(num_chunks, *, chunk_frames):
    """Return the feature frames that `num_chunks` chunks read: 4 * chunk a chunk, and three more."""
    return SUBSAMPLING * chunk_frames * num_chunks + RECEPTIVE_FRAMES - SUBSAMPLING
