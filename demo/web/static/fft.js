/** Power spectrum of a real signal: one complex FFT of half the length, even samples as real and odd ones as imaginary part. */
export class RealFft {
  /** @param {number} size samples, a power of two. */
  constructor(size) {
    const half = size / 2;
    this.half = half;
    this.re = new Float64Array(half);
    this.im = new Float64Array(half);
    this.cos = Float64Array.from({ length: half }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: half }, (_, k) => Math.sin((2 * Math.PI * k) / size));
    const bits = Math.log2(half);
    this.order = Uint32Array.from({ length: half }, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
  }

  /**
   * @param {Float64Array} signal `size` samples.
   * @param {Float64Array} power receives size / 2 + 1 squared magnitudes.
   */
  power(signal, power) {
    const { half, re, im, cos, sin, order } = this;
    for (let i = 0; i < half; i++) {
      re[i] = signal[2 * order[i]];
      im[i] = signal[2 * order[i] + 1];
    }
    for (let length = 1; length < half; length *= 2) {
      const stride = half / length;
      for (let start = 0; start < half; start += 2 * length) {
        for (let k = 0; k < length; k++) {
          const a = start + k;
          const b = a + length;
          const c = cos[k * stride];
          const s = sin[k * stride];
          const x = re[b] * c + im[b] * s;
          const y = im[b] * c - re[b] * s;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
    // The two interleaved signals are the even and the odd part of the spectrum.
    power[0] = (re[0] + im[0]) ** 2;
    power[half] = (re[0] - im[0]) ** 2;
    for (let k = 1; k < half; k++) {
      const m = half - k;
      const evenRe = (re[k] + re[m]) / 2;
      const evenIm = (im[k] - im[m]) / 2;
      const oddRe = (im[k] + im[m]) / 2;
      const oddIm = (re[m] - re[k]) / 2;
      const x = evenRe + oddRe * cos[k] + oddIm * sin[k];
      const y = evenIm + oddIm * cos[k] - oddRe * sin[k];
      power[k] = x * x + y * y;
    }
  }
}
