/** A speech-like test signal, so that a benchmark needs no recording: voiced syllables and pauses, the same on every device. */
import { SAMPLE_RATE_HZ } from "./features.js";

const FORMANTS_HZ = [730, 1090, 2440];
const NUM_HARMONICS = 24;
const SYLLABLE_S = 0.2;
const PAUSE_S = 0.3;
const SYLLABLES_A_WORD = 4;

/** Return Float32Array, within ±0.5. */
export function speechLike(durationS) {
  const signal = new Float32Array(Math.round(durationS * SAMPLE_RATE_HZ));
  const wordS = SYLLABLES_A_WORD * SYLLABLE_S + PAUSE_S;
  let noise = 1;
  for (let n = 0; n < signal.length; n++) {
    const timeS = n / SAMPLE_RATE_HZ;
    const inWordS = timeS % wordS;
    // A linear congruential generator: no device has another Math.random.
    noise = (1664525 * noise + 1013904223) % 2 ** 32;
    signal[n] = 1e-3 * (noise / 2 ** 31 - 1);
    if (inWordS >= SYLLABLES_A_WORD * SYLLABLE_S) continue;
    const syllable = Math.floor(timeS / SYLLABLE_S);
    const pitchHz = 100 + 15 * (syllable % 5);
    const envelope = Math.sin((Math.PI * (inWordS % SYLLABLE_S)) / SYLLABLE_S) ** 2;
    let voice = 0;
    for (let harmonic = 1; harmonic <= NUM_HARMONICS; harmonic++) {
      const hz = harmonic * pitchHz;
      const gain = FORMANTS_HZ.reduce((sum, formant) => sum + 1 / (1 + ((hz - formant) / 150) ** 2), 0);
      voice += gain * Math.sin(2 * Math.PI * hz * timeS);
    }
    signal[n] += 0.05 * envelope * voice;
  }
  return signal;
}
