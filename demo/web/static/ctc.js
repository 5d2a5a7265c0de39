/** Best-path CTC decoding, one chunk at a time; the same as runtime/ctc.py and the GreedySearch of runtime/decoder.py. */

/** The best path of one stream: symbols with blanks and repeats removed. Where the frames are cut does not show. */
export class GreedySearch {
  #blank;
  #last = null;
  #numFrames = 0;

  /** @param {{blank: number}} options index of the CTC blank. */
  constructor({ blank }) {
    this.#blank = blank;
    /** Symbol ids; for each the frame where its run begins, and its natural-log probability there. */
    this.ids = [];
    this.frames = [];
    this.logprobs = [];
    /** Blank frames up to the newest one. */
    this.numTrailingBlanks = 0;
  }

  /**
   * Take the next frames.
   * @param {Float32Array} logprobs frames x vocabSize, natural-log probabilities.
   * @param {number} vocabSize symbols, blank included.
   */
  accept(logprobs, vocabSize) {
    for (let row = 0; row + vocabSize <= logprobs.length; row += vocabSize) {
      let best = 0;
      for (let symbol = 1; symbol < vocabSize; symbol++) {
        if (logprobs[row + symbol] > logprobs[row + best]) best = symbol;
      }
      this.numTrailingBlanks = best === this.#blank ? this.numTrailingBlanks + 1 : 0;
      if (best !== this.#blank && best !== this.#last) {
        this.ids.push(best);
        this.frames.push(this.#numFrames);
        this.logprobs.push(logprobs[row + best]);
      }
      this.#last = best;
      this.#numFrames += 1;
    }
  }

  /** Forget the first `count` symbols; the sentence goes on with the others. */
  commit(count) {
    for (const recorded of [this.ids, this.frames, this.logprobs]) recorded.splice(0, count);
  }
}
