"""Recognition: a shared, stateless Recognizer opens one Stream per utterance or conversation."""

from pathlib import Path

import numpy as np
import soxr

from runtime.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from runtime.confidence import FrameEntropy
from runtime.decoder import GreedyDecoder, GreedySearch
from runtime.errors import BundleError
from runtime.features import (
    HOP_SAMPLES,
    NUM_MELS,
    PADDING_VALUE,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    Fbank,
    num_chunks,
    padded_frames,
)
from runtime.foreign import short
from runtime.lexicon import MAX_WORDS_BYTES, LexiconDecoder, read_words
from runtime.manifest import WORDS_ROLE, Manifest
from runtime.result import Result, ResultMaker, Word
from runtime.samples import to_float32
from runtime.session import choose_model, open_session
from runtime.shipped import shipped_bundle
from runtime.tokenizer import Tokenizer

__all__ = ["Recognizer", "Result", "Stream", "Word"]


class Recognizer:
    """A loaded bundle.

    Args:
        bundle_path: directory that lottery-export wrote; None is the recogniser that comes with the package.
        precision: "fp32", "int8", or "auto": what the backend has, int8 where it has both.
        backend: "engine", "onnxruntime", or "auto": the engine where it can run the bundle, else onnxruntime.
        num_threads: threads inside an operator of onnxruntime, >= 1.
        decoder: a Decoder; None is LexiconDecoder with the words of the bundle where its vocabulary is closed, else
            GreedyDecoder().
        min_confidence: results below it are rejected, 0 to 1; 0 rejects none, None takes the bundle's own threshold,
            0 where it is not calibrated.
        calibration: Calibration in the place of the bundle's.
        require_signature: path of an Ed25519 public key (PEM) that must have signed the bundle; None takes any bundle.
        allow_any_operators: run an ONNX model with operators that lottery-export does not write, loops among them: for
            models of others whom you trust.
    Raises:
        ValueError: min_confidence is out of range.
        BundleError: the bundle is missing, damaged, altered, not signed by the owner of the key, of another schema
            version, or contradicts itself; or its model holds what lottery-export does not write.
        LotteryError: the backend cannot run here, its hint says what to install; or the decoder does not fit the model.

    Attributes:
        precision, backend: what was chosen, never "auto".
        instruction_set: what the engine runs on, such as "avx2"; None for onnxruntime.
        start_search: function without arguments that returns a Search for a stream.
        calibration: Calibration of the confidences, None where the bundle has none.
        min_confidence: the threshold in use.
    """

    def __init__(
        self,
        bundle_path=None,
        *,
        precision="auto",
        backend="auto",
        num_threads=1,
        decoder=None,
        min_confidence=None,
        calibration=None,
        require_signature=None,
        allow_any_operators=False,
    ):
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence is {min_confidence}, expected 0 to 1")
        bundle_path = shipped_bundle() if bundle_path is None else bundle_path
        # The tokens and the model that is used are verified when they are opened.
        self.manifest = Manifest.load(bundle_path, verify="used", require_signature=require_signature)
        self.tokenizer = _load_tokens(bundle_path, manifest=self.manifest)
        self.backend, self.precision = choose_model(self.manifest, precision=precision, backend=backend)
        self.session = open_session(
            bundle_path,
            manifest=self.manifest,
            precision=self.precision,
            backend=self.backend,
            num_threads=num_threads,
            allow_any_operators=allow_any_operators,
        )
        self.instruction_set = self.session.instruction_set
        decoder = _default_decoder(bundle_path, manifest=self.manifest) if decoder is None else decoder
        self.start_search = decoder.prepare(self.tokenizer, blank=self.session.geometry.blank)
        self.calibration = self.manifest.confidence if calibration is None else calibration
        threshold = self.calibration.min_confidence if self.calibration else 0.0
        self.min_confidence = threshold if min_confidence is None else min_confidence

    def stream(self, sample_rate_hz=SAMPLE_RATE_HZ):
        """Open a Stream for samples of any rate."""
        return Stream(
            self.session,
            tokenizer=self.tokenizer,
            sample_rate_hz=sample_rate_hz,
            search=self.start_search(),
            calibration=self.calibration,
            min_confidence=self.min_confidence,
        )

    def transcribe(self, samples, *, sample_rate_hz=SAMPLE_RATE_HZ):
        """Recognise a whole clip, samples as Stream.accept() takes them; equal to pushing it in any pieces."""
        stream = self.stream(sample_rate_hz=sample_rate_hz)
        stream.accept(samples)
        return stream.finish()


class Stream:
    """One utterance or one endless conversation: audio in, words out, at constant cost a chunk and constant memory.

    Results do not depend on how the audio is cut into pushes, bit for bit: the resampler is push-invariant, and the
    16 kHz signal goes to the features in blocks of exactly one model step (numpy's matrix product rounds differently
    for other block lengths).

    Args:
        session: a Session, shared.
        tokenizer: its symbols.
        sample_rate_hz: rate of the samples to come.
        search: a Search that has heard nothing yet; None is a GreedySearch.
        calibration: Calibration, or None.
        min_confidence: results below it are rejected, 0 to 1.
    Raises:
        ValueError: sample_rate_hz is out of range.
    """

    def __init__(
        self,
        session,
        *,
        tokenizer,
        sample_rate_hz=SAMPLE_RATE_HZ,
        search=None,
        calibration=None,
        min_confidence=0.0,
    ):
        if not MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise ValueError(
                f"sample_rate_hz is {sample_rate_hz}, expected {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ}"
            )
        self.sample_rate_hz = sample_rate_hz
        self._session, self._tokenizer, self._geometry = session, tokenizer, session.geometry
        is_native = sample_rate_hz == SAMPLE_RATE_HZ
        self._resampler = None if is_native else soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        self._fbank = Fbank()
        self._state = session.initial_state(1)
        self._num_samples = 0
        self._blocks, self._num_waiting = [np.zeros(0, np.float32)], 0
        # The first step needs a whole window, each later one a shift more.
        self._block_samples = (self._geometry.window_frames - 1) * HOP_SAMPLES + (WINDOW_SAMPLES + HOP_SAMPLES) // 2
        self._features = np.zeros((0, NUM_MELS), np.float32)
        self._num_features = 0
        self._num_steps = 0
        self._search = GreedySearch(blank=self._geometry.blank) if search is None else search
        self._make_result = ResultMaker(tokenizer, calibration=calibration, min_confidence=min_confidence)
        self._entropy = FrameEntropy(blank=self._geometry.blank)
        # So many symbols are those that the last result was made of.
        self._num_same = 0
        self._segment_start = 0
        self._is_finished = False

    @property
    def duration_s(self):
        """Seconds of audio accepted."""
        return self._num_samples / self.sample_rate_hz

    @property
    def silence_s(self):
        """Seconds since the last symbol, in audio decoded since the segment began."""
        num_segment_frames = self._num_decoded_frames - self._segment_start
        return min(self._search.num_trailing_blanks, num_segment_frames) * self._geometry.frame_s

    @property
    def segment_s(self):
        """Seconds of audio decoded since the segment began."""
        return (self._num_decoded_frames - self._segment_start) * self._geometry.frame_s

    @property
    def has_text(self):
        """Whether the segment holds any symbol."""
        return self._search.has_symbols

    @property
    def _num_decoded_frames(self):
        return self._num_steps * self._geometry.chunk_frames

    def accept(self, samples):
        """Add audio and decode the chunks it completes.

        Args:
            samples: (n,), mono, any n: floats in ±1, or int8, int16, int32 or uint8, which are divided by full scale.
        Returns:
            The number of chunks decoded; result() can only have changed when it is not 0.
        Raises:
            ValueError: samples is not 1-D, has another type, holds NaN or infinity, or lies far beyond ±1; or the
                stream is finished.
        """
        # A copy: the part that waits for the next push must survive a caller that reuses its buffer.
        samples = to_float32(samples)
        if self._is_finished:
            raise ValueError("accept() after finish(): open a new stream")
        self._num_samples += len(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._accept_native(samples)

    def result(self):
        """Return what the current segment holds so far.

        Its last word may still grow; another decoder than the greedy one may take back more than that.
        """
        symbols = self._best(is_final=self._is_finished)
        return self._result(symbols, count=len(symbols.ids), is_final=self._is_finished)

    def finish(self):
        """Decode what is left, with padding so that the last word gets its symbols; return the final Result.

        Afterwards the stream takes no more audio; calling finish() again returns the same Result.
        """
        if not self._is_finished:
            self._is_finished = True
            if self._resampler is not None:
                self._accept_native(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._add_features(self._fbank.accept(self._take_waiting(self._num_waiting)))
            self._add_features(self._fbank.finish())
            chunks = num_chunks(self._num_features, chunk_frames=self._geometry.chunk_frames)
            if chunks:
                total = padded_frames(chunks, chunk_frames=self._geometry.chunk_frames)
                self._add_features(np.full((total - self._num_features, NUM_MELS), PADDING_VALUE, np.float32))
        return self.result()

    def end_segment(self, *, keep_open_word=False):
        """End a segment (at an endpoint): return its final Result and go on with empty text.

        The caches and the times continue, so nothing at the seam is lost and the segments, put together, are exactly
        what one uninterrupted stream recognises. (Starting again from empty caches would lose the beginning of a word
        that has been heard but not yet been decided.) A beam search keeps what agrees with the segment's text, so
        that later speech cannot change it; uninterrupted, it might have.

        Args:
            keep_open_word: leave the last word, which may still grow, to the next segment: for a cut without silence.
                A segment of a single word is cut as it is.
        """
        cut = 0
        if keep_open_word and not self._is_finished:
            symbols = self._best()
            words = self._tokenizer.words(symbols.ids)
            cut = self._search.boundary(words[-1].first) if len(words) > 1 else 0
        if cut:
            self._search.commit(cut)
            self._segment_start = symbols.frames[cut]
        else:
            symbols = self._best(is_final=True)
            cut = len(symbols.ids)
            self._search.commit()
            self._segment_start = self._num_decoded_frames
        result = self._result(symbols, count=cut, is_final=True, end=self._segment_start)
        self._entropy.forget(self._segment_start)
        self._make_result.forget()
        self._num_same = 0
        return result

    def _accept_native(self, samples):
        """Hand 16 kHz samples to the features, one model step at a time; return the number of steps."""
        self._blocks.append(samples)
        self._num_waiting += len(samples)
        steps_before = self._num_steps
        while self._num_waiting >= self._block_samples:
            self._add_features(self._fbank.accept(self._take_waiting(self._block_samples)))
            self._block_samples = self._geometry.shift_frames * HOP_SAMPLES
        return self._num_steps - steps_before

    def _take_waiting(self, count):
        waiting = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        self._blocks, self._num_waiting = [waiting[count:]], self._num_waiting - count
        return waiting[:count]

    def _add_features(self, features_TF):
        self._num_features += len(features_TF)
        self._features = np.concatenate([self._features, features_TF])
        while len(self._features) >= self._geometry.window_frames:
            self._step(self._features[: self._geometry.window_frames])
            self._features = self._features[self._geometry.shift_frames :]

    def _step(self, window_TF):
        logprobs_NTV, self._state = self._session.step(window_TF[None], self._state)
        self._search.accept(logprobs_NTV[0])
        self._entropy.accept(logprobs_NTV[0])
        self._num_steps += 1

    def _best(self, *, is_final=False):
        symbols = self._search.best(is_final=is_final)
        self._num_same = min(self._num_same, symbols.num_same)
        return symbols

    def _result(self, symbols, *, count, is_final, end=None):
        """Spell the first `count` symbols and judge them by the frames before `end`; None is the newest."""
        end = self._num_decoded_frames if end is None else end
        num_same, self._num_same = self._num_same, len(symbols.ids)
        nats = self._entropy.nats_per_frame(symbols, count=count, end=end, num_same=num_same)
        return self._make_result(
            symbols, count=count, nats=nats, time_s=self._time_s, is_final=is_final, num_same=num_same
        )

    def _time_s(self, frame):
        # The padding at the end can bring symbols after the last sample.
        return round(min(frame * self._geometry.frame_s, self.duration_s), 3)


def _default_decoder(bundle_path, *, manifest):
    if manifest.vocabulary == "open":
        return GreedyDecoder()
    entry = manifest.files[WORDS_ROLE]
    source = Path(bundle_path) / entry.path
    if entry.bytes > MAX_WORDS_BYTES:
        raise BundleError(f"{source}: {entry.bytes} bytes, at most {MAX_WORDS_BYTES} are supported")
    return LexiconDecoder(read_words(manifest.read(WORDS_ROLE, bundle=bundle_path), source=source))


def _load_tokens(bundle_path, *, manifest):
    path = Path(bundle_path) / manifest.files["tokens"].path
    tokenizer = Tokenizer.from_bytes(manifest.read("tokens", bundle=bundle_path), source=path)
    if len(tokenizer) != manifest.vocab_size:
        raise BundleError(
            f"{path}: {len(tokenizer)} symbols, the manifest says {manifest.vocab_size}",
            hint="re-run lottery-export on the ticket",
        )
    for number, symbol in enumerate(tokenizer.symbols, start=1):
        # A control character among the symbols could drive the terminal that shows the text.
        if not symbol.isprintable():
            raise BundleError(f"{path}:{number}: symbol {short(symbol)} is not printable")
    return tokenizer
