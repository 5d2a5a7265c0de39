/** The benchmark: how long a chunk takes on this device, as lottery-bench measures it on others. */
import { describeDevice, describeRuntime } from "./device.js";
import { HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES } from "./features.js";
import { Recognizer } from "./recognizer.js";
import { speechLike } from "./synthetic.js";
import { TimedSession, percentiles, round } from "./timing.js";

const CLIP_S = 10;
// Long enough for a steady median on a laptop, short enough for the patience of whoever holds a slow phone.
const MIN_PASSES = 3;
const MIN_WALL_MS = 5000;
const MIN_CHUNKS = 200;
const MAX_WALL_MS = 30000;

/**
 * Time the recogniser on a synthetic clip.
 * @param {Recognizer} recognizer
 * @param {{description: object, ort: object, numThreads: number, onProgress: function}} options description: what
 *     loadBundle returned; onProgress takes a share.
 * @returns {Promise<object>} the JSON of docs/browser.md.
 */
export async function benchmark(recognizer, { description, ort, numThreads, onProgress = () => {} }) {
  const { manifest, tokenizer, session } = recognizer;
  const timed = new TimedSession(session);
  const candidate = new Recognizer({ manifest, tokenizer, session: timed });
  const samples = speechLike(CLIP_S);
  await timeClip(candidate, samples);
  timed.stepMs.length = 0;
  const [chunkMs, rtfs] = [[], []];
  const start = performance.now();
  for (let share = 0; share < 1; ) {
    const pass = await timeClip(candidate, samples);
    chunkMs.push(...pass.chunkMs);
    rtfs.push(pass.wallMs / 1000 / CLIP_S);
    const wallMs = performance.now() - start;
    const goals = [rtfs.length / MIN_PASSES, wallMs / MIN_WALL_MS, chunkMs.length / MIN_CHUNKS];
    share = Math.max(Math.min(...goals), wallMs / MAX_WALL_MS);
    onProgress(Math.min(1, share));
  }
  return {
    schema_version: 1,
    type: "lottery-asr browser benchmark",
    made_at: new Date().toISOString(),
    device: await describeDevice(),
    runtime: describeRuntime({ ort, numThreads }),
    model: {
      bundle: description.name,
      precision: description.precision,
      file: description.file,
      sha256: description.sha256,
      is_verified: description.isVerified,
      bytes: description.bytes,
      chunk_frames: description.chunkFrames,
      chunk_audio_ms: (1000 * manifest.shiftFrames * HOP_SAMPLES) / SAMPLE_RATE_HZ,
    },
    download_ms: round(description.downloadMs),
    load_ms: round(description.loadMs),
    warm_up_ms: round(description.warmUpMs),
    chunk_ms: percentiles(chunkMs),
    model_ms: percentiles(timed.stepMs),
    rtf: percentiles(rtfs).p50,
    audio_s: round(CLIP_S * rtfs.length),
  };
}

/** Recognise the clip once, in pushes of exactly one chunk; {chunkMs: time of each push, wallMs: of the whole clip}. */
async function timeClip(recognizer, samples) {
  const { windowFrames, shiftFrames } = recognizer.manifest;
  const stream = recognizer.stream();
  const chunkMs = [];
  // The first push completes a whole window, whose first frame is centred on the beginning; each later one a shift.
  let length = (windowFrames - 1) * HOP_SAMPLES + (WINDOW_SAMPLES + HOP_SAMPLES) / 2;
  const begin = performance.now();
  for (let at = 0; at < samples.length; ) {
    const start = performance.now();
    const numChunks = await stream.accept(samples.subarray(at, at + length));
    if (numChunks) chunkMs.push(performance.now() - start);
    at += length;
    length = shiftFrames * HOP_SAMPLES;
  }
  await stream.finish();
  return { chunkMs, wallMs: performance.now() - begin };
}
