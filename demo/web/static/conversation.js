/** One live session: blocks of audio in, lines of text and figures out, as runtime/conversation.py in small. */
import { endpoint } from "./endpoint.js";
import { percentiles } from "./timing.js";

// The newest word is complete, although none follows it, after this much silence.
const CLOSED_AFTER_S = 0.5;
// Figures are of the newest chunks: ten minutes of them.
const MAX_TIMES = 1000;

export class Conversation {
  #stream;
  #sampleRateHz;
  #chunkMs = [];
  #firstTextMs = [];
  #spentMs = 0;
  #totalMs = 0;
  #numHeard = 0;
  #decodedS = 0;
  #chunkS;
  #isLineShown = false;

  /** @param {Recognizer} recognizer @param {{sampleRateHz: number}} options rate of the microphone. */
  constructor(recognizer, { sampleRateHz }) {
    this.#stream = recognizer.stream({ sampleRateHz });
    this.#sampleRateHz = sampleRateHz;
    this.#chunkS = (recognizer.manifest.shiftFrames * 10) / 1000;
  }

  /**
   * Take a block of samples.
   * @param {Float32Array} samples
   * @param {{numCaptured: number}} options samples that the microphone has delivered up to now, this block among them.
   * @returns {Promise<?{finals: object[], partial: object}>} null where nothing was decoded.
   */
  async hear(samples, { numCaptured }) {
    const start = performance.now();
    this.#numHeard += samples.length;
    const numChunks = await this.#stream.accept(samples);
    this.#spentMs += performance.now() - start;
    if (!numChunks) return null;
    this.#note(numChunks, numCaptured);
    const reason = endpoint(this.#stream);
    const finals = [];
    if (reason) {
      const result = this.#stream.endSegment({ keepOpenWord: reason === "max_length" });
      if (result.words.length) finals.push({ ...result, reason });
      this.#isLineShown = this.#stream.hasText;
    }
    return { finals, partial: this.#partial() };
  }

  /** Decode what is left and return the last lines. */
  async finish() {
    const result = await this.#stream.finish();
    return { finals: result.words.length ? [{ ...result, reason: "end" }] : [], partial: this.#partial(true) };
  }

  /** Milliseconds a chunk (features, model and decoding), real-time factor, and the delay of the first text of a line. */
  get figures() {
    return {
      heardS: this.#numHeard / this.#sampleRateHz,
      chunkMs: percentiles(this.#chunkMs),
      rtf: this.#decodedS ? this.#totalMs / 1000 / this.#decodedS : null,
      firstTextMs: percentiles(this.#firstTextMs),
    };
  }

  #note(numChunks, numCaptured) {
    this.#chunkMs.push(...Array(numChunks).fill(this.#spentMs / numChunks));
    this.#chunkMs.splice(0, this.#chunkMs.length - MAX_TIMES);
    this.#totalMs += this.#spentMs;
    this.#decodedS += numChunks * this.#chunkS;
    const { words } = this.#stream.result();
    if (words.length && !this.#isLineShown) {
      this.#isLineShown = true;
      // What was captured while the chunk was computed is not counted yet.
      this.#firstTextMs.push(1000 * (numCaptured / this.#sampleRateHz - words[0].startS) + this.#spentMs);
      this.#firstTextMs.splice(0, this.#firstTextMs.length - MAX_TIMES);
    }
    this.#spentMs = 0;
  }

  /**
   * Return {words, numSettled, isRejected}: the line being spoken; so many words from the left will not change; whether
   * it would be rejected as things stand.
   */
  #partial(isEmpty = false) {
    if (isEmpty) return { words: [], numSettled: 0, isRejected: false };
    const { words, isRejected } = this.#stream.result();
    const isClosed = this.#stream.silenceS >= CLOSED_AFTER_S;
    return { words, numSettled: isClosed ? words.length : Math.max(0, words.length - 1), isRejected };
  }
}
