/**
 * Log-mel filter bank features, streaming: the definition of runtime/features.py, number for number.
 *
 * Kaldi's fbank: 16 kHz, 25 ms Povey window every 10 ms, DC removal, pre-emphasis 0.97, 512-point FFT, 80 mel bins from
 * 20 to 7600 Hz, power spectrum, natural log floored at the float32 epsilon, edges mirrored, samples in ±1.
 * Sums are in double precision here and in float32 there; features are Float32Array (frames x NUM_MELS), row by row.
 */
import { RealFft } from "./fft.js";

export const SAMPLE_RATE_HZ = 16000;
export const NUM_MELS = 80;
export const WINDOW_SAMPLES = 400;
export const HOP_SAMPLES = 160;
export const TAIL_FRAMES = 20;
export const SUBSAMPLING = 4;
export const RECEPTIVE_FRAMES = 7;
export const ENCODER_FRAME_MS = (1000 * SUBSAMPLING * HOP_SAMPLES) / SAMPLE_RATE_HZ;

const LOW_HZ = 20;
const HIGH_HZ = 7600;
const PREEMPHASIS = Math.fround(0.97);
const FFT_SAMPLES = 512;
const EPSILON = 2 ** -23;
/** The feature value of digital silence; it pads every utterance. */
export const PADDING_VALUE = Math.fround(Math.log(EPSILON));
// First sample of frame t is t * HOP + OFFSET: Kaldi centres frames on their hop when snip_edges is False.
const OFFSET = HOP_SAMPLES / 2 - WINDOW_SAMPLES / 2;

const WINDOW = Float32Array.from({ length: WINDOW_SAMPLES }, (_, n) => {
  const phase = (2 * Math.PI * n) / (WINDOW_SAMPLES - 1);
  return (0.5 - 0.5 * Math.cos(phase)) ** 0.85;
});
const MELS = melFilters();

/** Return, for each mel bin, {first, weights}: the FFT bins of its triangle, linear on the mel axis (HTK formula). */
function melFilters() {
  const mel = (hz) => 1127 * Math.log1p(hz / 700);
  const low = mel(LOW_HZ);
  const width = (mel(HIGH_HZ) - low) / (NUM_MELS + 1);
  return Array.from({ length: NUM_MELS }, (_, bin) => {
    const left = low + bin * width;
    const weights = [];
    let first = 0;
    for (let k = 0; k <= FFT_SAMPLES / 2; k++) {
      const at = (mel((k * SAMPLE_RATE_HZ) / FFT_SAMPLES) - left) / width;
      const weight = Math.min(at, 2 - at);
      if (weight <= 0) continue;
      if (!weights.length) first = k;
      weights.push(weight);
    }
    return { first, weights: Float32Array.from(weights) };
  });
}

/** Streaming extractor: push samples of any count, get the frames that are complete; memory stays constant. */
export class Fbank {
  #samples = new Float32Array(0);
  #firstSample = 0;
  #numFrames = 0;
  #isFinished = false;
  #frame = new Float64Array(FFT_SAMPLES);
  #power = new Float64Array(FFT_SAMPLES / 2 + 1);
  #fft = new RealFft(FFT_SAMPLES);

  /**
   * Add samples and return the frames whose window is now complete.
   * @param {Float32Array} samples 16 kHz mono, ±1; any length.
   * @returns {Float32Array} frames x NUM_MELS.
   */
  accept(samples) {
    if (this.#isFinished) throw new Error("accept() after finish(): open a new Fbank");
    const joined = new Float32Array(this.#samples.length + samples.length);
    joined.set(this.#samples);
    joined.set(samples, this.#samples.length);
    this.#samples = joined;
    const total = this.#firstSample + joined.length;
    return this.#emit(Math.floor((total - WINDOW_SAMPLES - OFFSET) / HOP_SAMPLES) + 1, total);
  }

  /** Return the last frames, whose windows mirror the end of the signal. */
  finish() {
    this.#isFinished = true;
    const total = this.#firstSample + this.#samples.length;
    return this.#emit(Math.floor((total + HOP_SAMPLES / 2) / HOP_SAMPLES), total);
  }

  #emit(last, total) {
    const count = Math.max(0, last - this.#numFrames);
    const features = new Float32Array(count * NUM_MELS);
    if (!count) return features;
    for (let t = 0; t < count; t++) {
      this.#load((this.#numFrames + t) * HOP_SAMPLES + OFFSET, total);
      this.#logMel(features, t * NUM_MELS);
    }
    this.#numFrames = last;
    // One window behind the next frame stays: finish() mirrors up to a window of the past.
    const drop = Math.max(0, last * HOP_SAMPLES + OFFSET - WINDOW_SAMPLES - this.#firstSample);
    this.#samples = this.#samples.slice(drop);
    this.#firstSample += drop;
    return features;
  }

  /** Copy the window that begins at sample `start`, which may lie before the signal or reach beyond its end. */
  #load(start, total) {
    for (let i = 0; i < WINDOW_SAMPLES; i++) {
      let index = start + i;
      // Mirroring may need several reflections when the signal is shorter than a window.
      while (index < 0 || index >= total) index = index < 0 ? -index - 1 : 2 * total - 1 - index;
      this.#frame[i] = this.#samples[index - this.#firstSample];
    }
  }

  #logMel(features, at) {
    const frame = this.#frame;
    let mean = 0;
    for (let i = 0; i < WINDOW_SAMPLES; i++) mean += frame[i];
    mean /= WINDOW_SAMPLES;
    let previous = frame[0] - mean;
    for (let i = 0; i < WINDOW_SAMPLES; i++) {
      const sample = frame[i] - mean;
      frame[i] = (sample - PREEMPHASIS * previous) * WINDOW[i];
      previous = sample;
    }
    this.#fft.power(frame, this.#power);
    for (let bin = 0; bin < NUM_MELS; bin++) {
      const { first, weights } = MELS[bin];
      let energy = 0;
      for (let k = 0; k < weights.length; k++) energy += weights[k] * this.#power[first + k];
      features[at + bin] = Math.log(Math.max(energy, EPSILON));
    }
    frame.fill(0, WINDOW_SAMPLES);
  }
}

/** Return the features of a whole clip: frames x NUM_MELS, frames = round(samples / 160). */
export function fbank(samples) {
  const extractor = new Fbank();
  const parts = [extractor.accept(samples), extractor.finish()];
  const features = new Float32Array(parts[0].length + parts[1].length);
  features.set(parts[0]);
  features.set(parts[1], parts[0].length);
  return features;
}

/** Return how many chunks recognise a clip: enough to see every frame and TAIL_FRAMES of padding after the last. */
export function numChunks(numFrames, chunkFrames) {
  if (numFrames === 0) return 0;
  const numEncoderFrames = Math.floor((numFrames + TAIL_FRAMES - RECEPTIVE_FRAMES) / SUBSAMPLING) + 1;
  return Math.ceil(numEncoderFrames / chunkFrames);
}

/** Return the feature frames that `count` chunks read: 4 * chunk a chunk, and three more. */
export function paddedFrames(count, chunkFrames) {
  return SUBSAMPLING * chunkFrames * count + RECEPTIVE_FRAMES - SUBSAMPLING;
}
