/** Recognition: a loaded bundle opens one Stream per utterance or conversation; as in runtime/recognizer.py. */
import { FrameEntropy, utteranceConfidence, wordConfidence } from "./confidence.js";
import { GreedySearch } from "./ctc.js";
import {
  ENCODER_FRAME_MS, Fbank, NUM_MELS, PADDING_VALUE, SAMPLE_RATE_HZ, numChunks, paddedFrames,
} from "./features.js";
import { Resampler } from "./resampler.js";

const FRAME_S = ENCODER_FRAME_MS / 1000;

export class Recognizer {
  /**
   * @param {{manifest: Manifest, tokenizer: Tokenizer, session: Session, words: ?Set<string>}} parts of a bundle; words:
   *     of a closed vocabulary.
   */
  constructor({ manifest, tokenizer, session, words = null }) {
    this.manifest = manifest;
    this.tokenizer = tokenizer;
    this.session = session;
    this.words = words;
  }

  /** Open a Stream for samples of any rate. */
  stream({ sampleRateHz = SAMPLE_RATE_HZ } = {}) {
    return new Stream(this, { sampleRateHz });
  }
}

/** One utterance or one endless conversation: audio in, words out, at constant cost a chunk and constant memory. */
export class Stream {
  #manifest;
  #tokenizer;
  #session;
  #lexicon;
  #resampler;
  #sampleRateHz;
  #fbank = new Fbank();
  #state;
  #search;
  #entropy = new FrameEntropy();
  #features = new Float32Array(0);
  #numFeatures = 0;
  #numSamples = 0;
  #numSteps = 0;
  #segmentStart = 0;
  #isFinished = false;

  /** @param {Recognizer} recognizer @param {{sampleRateHz: number}} options rate of the samples to come. */
  constructor({ manifest, tokenizer, session, words }, { sampleRateHz }) {
    this.#lexicon = words;
    this.#manifest = manifest;
    this.#tokenizer = tokenizer;
    this.#session = session;
    this.#sampleRateHz = sampleRateHz;
    this.#resampler = sampleRateHz === SAMPLE_RATE_HZ ? null : new Resampler(sampleRateHz, SAMPLE_RATE_HZ);
    this.#state = session.initialState();
    this.#search = new GreedySearch({ blank: manifest.blank });
  }

  /** Seconds of audio accepted. */
  get durationS() {
    return this.#numSamples / this.#sampleRateHz;
  }

  /** Seconds since the last symbol, in audio decoded since the segment began. */
  get silenceS() {
    return Math.min(this.#search.numTrailingBlanks, this.#numDecodedFrames - this.#segmentStart) * FRAME_S;
  }

  /** Seconds of audio decoded since the segment began. */
  get segmentS() {
    return (this.#numDecodedFrames - this.#segmentStart) * FRAME_S;
  }

  /** Whether the segment holds any symbol. */
  get hasText() {
    return this.#search.ids.length > 0;
  }

  get #numDecodedFrames() {
    return this.#numSteps * this.#manifest.chunkFrames;
  }

  /**
   * Add audio and decode the chunks it completes. Where the audio is cut does not show in the text.
   * @param {Float32Array} samples mono, ±1, any length.
   * @returns {Promise<number>} chunks decoded; result() can only have changed when it is not 0.
   */
  async accept(samples) {
    if (this.#isFinished) throw new Error("accept() after finish(): open a new stream");
    this.#numSamples += samples.length;
    const before = this.#numSteps;
    await this.#addFeatures(this.#fbank.accept(this.#resampler ? this.#resampler.accept(samples) : samples));
    return this.#numSteps - before;
  }

  /** Decode what is left, with padding so that the last word gets its symbols; return the final result. */
  async finish() {
    if (!this.#isFinished) {
      this.#isFinished = true;
      if (this.#resampler) await this.#addFeatures(this.#fbank.accept(this.#resampler.finish()));
      await this.#addFeatures(this.#fbank.finish());
      const chunks = numChunks(this.#numFeatures, this.#manifest.chunkFrames);
      const missing = chunks ? paddedFrames(chunks, this.#manifest.chunkFrames) - this.#numFeatures : 0;
      await this.#addFeatures(new Float32Array(missing * NUM_MELS).fill(PADDING_VALUE));
    }
    return this.result();
  }

  /**
   * Return what the current segment holds so far; its last word may still grow. The text is empty where the result is
   * rejected, and leaves out what is no word of a closed vocabulary (confidence 0); the words are what was heard.
   * @returns {{text: string, ids: number[], words: {text: string, startS: number, endS: number, confidence: number}[],
   *     confidence: number, isRejected: boolean}}
   */
  result() {
    return this.#result(this.#search.ids.length, this.#numDecodedFrames);
  }

  /**
   * End a segment: return its final result and go on with empty text. The caches and the times continue.
   * @param {{keepOpenWord?: boolean}} [options] leave the last word to the next segment: for a cut without silence.
   */
  endSegment({ keepOpenWord = false } = {}) {
    const words = this.#tokenizer.words(this.#search.ids);
    const isCut = keepOpenWord && words.length > 1;
    const count = isCut ? words.at(-1).first : this.#search.ids.length;
    this.#segmentStart = isCut ? this.#search.frames[count] : this.#numDecodedFrames;
    const result = this.#result(count, this.#segmentStart);
    this.#search.commit(count);
    this.#entropy.forget(this.#segmentStart);
    return result;
  }

  async #addFeatures(features) {
    this.#numFeatures += features.length / NUM_MELS;
    const joined = new Float32Array(this.#features.length + features.length);
    joined.set(this.#features);
    joined.set(features, this.#features.length);
    const [window, shift] = [this.#manifest.windowFrames * NUM_MELS, this.#manifest.shiftFrames * NUM_MELS];
    let at = 0;
    for (; at + window <= joined.length; at += shift) {
      const { logprobs, state } = await this.#session.step(joined.slice(at, at + window), this.#state);
      this.#state = state;
      this.#search.accept(logprobs, this.#manifest.vocabSize);
      this.#entropy.accept(logprobs, this.#manifest.vocabSize);
      this.#numSteps += 1;
    }
    this.#features = joined.slice(at);
  }

  #result(count, end) {
    const calibration = this.#manifest.confidence;
    const { frames, logprobs } = this.#search;
    const ids = this.#search.ids.slice(0, count);
    const words = this.#tokenizer.words(ids).map(({ text, first, last }) => {
      const probability = mean(logprobs.slice(first, last + 1).map(Math.exp));
      return {
        text,
        startS: this.#timeS(frames[first]),
        endS: this.#timeS(frames[last] + 1),
        confidence: this.#isWord(text) ? (calibration ? wordConfidence(calibration, probability) : probability) : 0,
      };
    });
    const known = words.filter(({ text }) => this.#isWord(text));
    const confidence = this.#confidence(words, end);
    const isUnsure = calibration !== null && confidence < calibration.minConfidence;
    const isRejected = words.length > 0 && (isUnsure || !known.length);
    const text = isRejected ? "" : known.map((word) => word.text).join(" ");
    return { text, ids, words, confidence, isRejected };
  }

  #isWord(text) {
    return this.#lexicon === null || this.#lexicon.has(text);
  }

  #confidence(words, end) {
    if (!words.length) return 0;
    const calibration = this.#manifest.confidence;
    if (!calibration) return mean(words.map((word) => word.confidence));
    return utteranceConfidence(calibration, this.#entropy.natsPerFrame(end));
  }

  #timeS(frame) {
    // The padding at the end can bring symbols after the last sample.
    return Math.round(1000 * Math.min(frame * FRAME_S, this.durationS)) / 1000;
  }
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
