/** How far a result can be trusted; the same as runtime/confidence.py. */

const MIN_PROBABILITY = 1e-6;
const ENTROPY_FLOOR = 0.1;
const MIN_SPOKEN_FRAMES = 1e-3;

/** Return 1 / (1 + exp(-(bias + weight x))). */
function logistic({ bias, weight }, x) {
  return 1 / (1 + Math.exp(-(bias + weight * x)));
}

/** Return the calibrated confidence of a word from the mean probability of its symbols. */
export function wordConfidence(calibration, probability) {
  const p = Math.min(Math.max(probability, MIN_PROBABILITY), 1 - MIN_PROBABILITY);
  return logistic(calibration.word, Math.log(p / (1 - p)));
}

/** Return the calibrated confidence of an utterance from the entropy of its spoken frames. */
export function utteranceConfidence(calibration, natsPerFrame) {
  return logistic(calibration.utterance, Math.log(natsPerFrame + ENTROPY_FLOOR));
}

/** Adds up the entropy of the frames of a segment, in nats per spoken frame: one that is not the blank, as far as it is not. */
export class FrameEntropy {
  #first = 0;
  #totals = [0];
  #spoken = [0];

  /**
   * Take the next frames; symbol 0 is the blank.
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
      this.#spoken.push(this.#spoken.at(-1) + Math.max(1 - Math.exp(logprobs[row]), 0));
    }
  }

  /** Return the nats per spoken frame before the frame `end`, counted from the start of the stream. */
  natsPerFrame(end) {
    const count = this.#count(end);
    return this.#totals[count] / Math.max(this.#spoken[count], MIN_SPOKEN_FRAMES);
  }

  /** Drop the frames before `frame`: a segment ended there. */
  forget(frame) {
    const count = this.#count(frame);
    const rest = (sums) => sums.slice(count).map((total) => total - sums[count]);
    this.#totals = rest(this.#totals);
    this.#spoken = rest(this.#spoken);
    this.#first += count;
  }

  #count(frame) {
    return Math.min(Math.max(frame - this.#first, 0), this.#totals.length - 1);
  }
}
