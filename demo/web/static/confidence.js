/** How far a result can be trusted; the same as runtime/confidence.py. */

const MIN_PROBABILITY = 1e-6;
const ENTROPY_FLOOR = 0.01;

/** Return 1 / (1 + exp(-(bias + weight x))). */
function logistic({ bias, weight }, x) {
  return 1 / (1 + Math.exp(-(bias + weight * x)));
}

/** Return the calibrated confidence of a word from the mean probability of its symbols. */
export function wordConfidence(calibration, probability) {
  const p = Math.min(Math.max(probability, MIN_PROBABILITY), 1 - MIN_PROBABILITY);
  return logistic(calibration.word, Math.log(p / (1 - p)));
}

/** Return the calibrated confidence of an utterance from the entropy of its frames over its number of words. */
export function utteranceConfidence(calibration, natsPerWord) {
  return logistic(calibration.utterance, Math.log(natsPerWord + ENTROPY_FLOOR));
}

/** Adds up the entropy of the frames of a segment, natural logarithm. */
export class FrameEntropy {
  #first = 0;
  #totals = [0];

  /**
   * Take the next frames.
   * @param {Float32Array} logprobs frames x vocabSize, natural-log probabilities.
   * @param {number} vocabSize symbols, blank included.
   */
  accept(logprobs, vocabSize) {
    for (let row = 0; row + vocabSize <= logprobs.length; row += vocabSize) {
      let entropy = 0;
      for (let symbol = row; symbol < row + vocabSize; symbol++) {
        const logprob = Math.max(logprobs[symbol], -80);
        entropy -= Math.exp(logprob) * logprob;
      }
      this.#totals.push(this.#totals.at(-1) + Math.max(entropy, 0));
    }
  }

  /** Return the entropy of the frames before `end`, counted from the start of the stream. */
  nats(end) {
    return this.#totals[this.#count(end)];
  }

  /** Drop the frames before `frame`: a segment ended there. */
  forget(frame) {
    const count = this.#count(frame);
    const base = this.#totals[count];
    this.#totals = this.#totals.slice(count).map((total) => total - base);
    this.#first += count;
  }

  #count(frame) {
    return Math.min(Math.max(frame - this.#first, 0), this.#totals.length - 1);
  }
}
