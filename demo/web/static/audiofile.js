/** Sound files as 16 kHz mono samples, decoded by the browser. */
import { UserError } from "./errors.js";
import { SAMPLE_RATE_HZ } from "./features.js";

// Decoded audio is held in memory as a whole.
const MAX_FILE_BYTES = 256 * 2 ** 20;

/**
 * @param {File} file anything that the browser plays.
 * @returns {Promise<{samples: Float32Array, sampleRateHz: number}>} channels averaged; 16 kHz, or 48 kHz in browsers
 *     that cannot decode to 16 kHz.
 * @throws {UserError} too large, not a sound file, or no samples.
 */
export async function decodeFile(file) {
  if (file.size > MAX_FILE_BYTES) {
    throw new UserError(`${file.name}: larger than ${MAX_FILE_BYTES / 2 ** 20} MB.`, { hint: "Use lottery-transcribe for long recordings." });
  }
  const bytes = await file.arrayBuffer();
  const context = makeContext();
  let audio;
  try {
    audio = await context.decodeAudioData(bytes);
  } catch {
    throw new UserError(`${file.name}: not a sound file that this browser plays.`, {
      hint: "Convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 output.wav",
    });
  }
  if (!audio.length) throw new UserError(`${file.name}: holds no samples.`);
  const samples = audio.getChannelData(0).slice();
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((sample, index) => (samples[index] += sample));
  }
  if (audio.numberOfChannels > 1) samples.forEach((sample, index) => (samples[index] = sample / audio.numberOfChannels));
  return { samples, sampleRateHz: audio.sampleRate };
}

function makeContext() {
  try {
    return new OfflineAudioContext(1, 1, SAMPLE_RATE_HZ);
  } catch {
    return new OfflineAudioContext(1, 1, 48000);
  }
}
