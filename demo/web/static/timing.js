/** Percentiles as lottery-bench reports them: linear interpolation between the values in order. */
export function percentiles(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share) => {
    const position = share * (sorted.length - 1);
    const low = Math.floor(position);
    const high = Math.min(low + 1, sorted.length - 1);
    return round(sorted[low] + (sorted[high] - sorted[low]) * (position - low));
  };
  const mean = round(sorted.reduce((sum, value) => sum + value, 0) / sorted.length);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), mean, count: sorted.length };
}

/** Return a number with at most four decimals. */
export function round(value) {
  return Math.round(1e4 * value) / 1e4;
}

/** A Session that notes how long each step takes. */
export class TimedSession {
  #session;

  constructor(session) {
    this.#session = session;
    this.stepMs = [];
  }

  initialState() {
    return this.#session.initialState();
  }

  async step(window, state) {
    const start = performance.now();
    const result = await this.#session.step(window, state);
    this.stepMs.push(performance.now() - start);
    return result;
  }
}
