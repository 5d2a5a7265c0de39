/** Streaming conversion of the sample rate, for browsers that give the microphone only at the rate of the device. */

// Zero crossings of the sinc on each side, at the lower of the two rates; with this Kaiser window the pass band ends at
// 0.92 of its half, and what lies beyond 1.08 of it is 80 dB down.
const NUM_CROSSINGS = 32;
const KAISER_BETA = 8;

export class Resampler {
  #cutoff;
  #reach;
  #kernels = new Map();
  #samples;
  #firstSample;
  #numOut = 0;
  #numIn = 0;
  #to;
  #from;

  /** @param {number} fromHz @param {number} toHz whole numbers; output sample n is the input at time n / toHz. */
  constructor(fromHz, toHz) {
    const divisor = greatestCommonDivisor(fromHz, toHz);
    this.#from = fromHz / divisor;
    this.#to = toHz / divisor;
    this.#cutoff = Math.min(1, toHz / fromHz);
    this.#reach = Math.ceil(NUM_CROSSINGS / this.#cutoff);
    // Silence before the beginning.
    this.#samples = new Float32Array(this.#reach);
    this.#firstSample = -this.#reach;
  }

  /** Add samples of any count; return the output that they complete. */
  accept(samples) {
    this.#numIn += samples.length;
    this.#append(samples);
    return this.#emit(this.#numIn - this.#reach);
  }

  /** Return the rest; the end is padded with silence. */
  finish() {
    this.#append(new Float32Array(this.#reach + 1));
    return this.#emit(this.#numIn);
  }

  #append(samples) {
    const joined = new Float32Array(this.#samples.length + samples.length);
    joined.set(this.#samples);
    joined.set(samples, this.#samples.length);
    this.#samples = joined;
  }

  /** Return the outputs whose centre lies before input sample `end`. */
  #emit(end) {
    const last = Math.max(this.#numOut, Math.ceil((end * this.#to) / this.#from));
    const out = new Float32Array(last - this.#numOut);
    for (let n = 0; n < out.length; n++) {
      const position = (this.#numOut + n) * this.#from;
      const whole = Math.floor(position / this.#to);
      const kernel = this.#kernel(position % this.#to);
      const at = whole - this.#reach + 1 - this.#firstSample;
      let sum = 0;
      for (let k = 0; k < kernel.length; k++) sum += kernel[k] * this.#samples[at + k];
      out[n] = sum;
    }
    this.#numOut = last;
    const needed = Math.floor((last * this.#from) / this.#to) - this.#reach + 1;
    const drop = Math.min(this.#samples.length, Math.max(0, needed - this.#firstSample));
    this.#samples = this.#samples.slice(drop);
    this.#firstSample += drop;
    return out;
  }

  /** Return the weights of 2 * reach input samples for an output that lies phase / to behind one of them. */
  #kernel(phase) {
    if (!this.#kernels.has(phase)) {
      const kernel = Float64Array.from({ length: 2 * this.#reach }, (_, k) => {
        const distance = phase / this.#to + this.#reach - 1 - k;
        return this.#cutoff * sinc(this.#cutoff * distance) * kaiser(distance / this.#reach);
      });
      // Constant input stays what it is.
      const sum = kernel.reduce((total, weight) => total + weight, 0);
      this.#kernels.set(phase, kernel.map((weight) => weight / sum));
    }
    return this.#kernels.get(phase);
  }
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(x) {
  return Math.abs(x) >= 1 ? 0 : besselI0(KAISER_BETA * Math.sqrt(1 - x * x)) / besselI0(KAISER_BETA);
}

function besselI0(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
