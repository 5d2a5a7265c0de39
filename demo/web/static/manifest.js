/** The bundle's manifest.json, checked as the untrusted input it is: what runtime/manifest.py demands and a browser needs. */
import { UserError } from "./errors.js";
import {
  HOP_SAMPLES, NUM_MELS, RECEPTIVE_FRAMES, SAMPLE_RATE_HZ, SUBSAMPLING, WINDOW_SAMPLES,
} from "./features.js";

const SCHEMA_VERSION = 1;
// Limits that no real bundle comes near; they keep a hostile one from eating the memory.
const MAX_STATES = 64;
const MAX_STATE_ELEMENTS = 2 ** 26;
const MAX_MODEL_BYTES = 2 ** 30;
const MAX_COEFFICIENT = 1000;
const MODEL_ROLES = { fp32: "model", int8: "model_int8" };
// What features.js computes: a bundle that asks for anything else would be fed the wrong numbers.
const FRONT_END = {
  sample_rate_hz: SAMPLE_RATE_HZ,
  window_ms: (1000 * WINDOW_SAMPLES) / SAMPLE_RATE_HZ,
  hop_ms: (1000 * HOP_SAMPLES) / SAMPLE_RATE_HZ,
  num_mels: NUM_MELS,
  subsampling: SUBSAMPLING,
  blank: 0,
};

/** What a bundle is: its model's geometry and states, and its files. */
export class Manifest {
  /**
   * @param {object} value parsed manifest.json.
   * @throws {UserError} another schema version or front end, a wrong type or range (the field is named).
   */
  constructor(value) {
    if (value?.schema_version !== SCHEMA_VERSION) {
      fail(`a bundle of schema version ${value?.schema_version}, this page reads ${SCHEMA_VERSION}`);
    }
    for (const [name, supported] of Object.entries(FRONT_END)) {
      if (value[name] !== supported) fail(`${name} is ${value[name]}, this page computes ${supported}`);
    }
    this.name = String(value.name);
    this.blank = FRONT_END.blank;
    this.chunkFrames = integer(value.chunk_frames, { name: "chunk_frames", low: 1, high: 1024 });
    this.vocabSize = integer(value.vocab_size, { name: "vocab_size", low: 2, high: 65536 });
    if (!Array.isArray(value.states) || value.states.length > MAX_STATES) fail("states is no short list");
    this.states = value.states.map(checkState);
    /** {word, utterance, minConfidence}, or null where the bundle is not calibrated: then nothing is rejected. */
    this.confidence = value.confidence === undefined ? null : checkConfidence(value.confidence);
    this.tokens = checkFile(value.files?.tokens, "tokens");
    if (![undefined, "open", "closed"].includes(value.vocabulary)) fail(`vocabulary is ${value.vocabulary}`);
    /** The file of the words where the vocabulary is closed, else null. */
    this.words = value.vocabulary === "closed" ? checkFile(value.files.words, "words") : null;
    /** Precision -> its file {path, sha256, bytes}; one at least. */
    this.models = {};
    for (const [precision, role] of Object.entries(MODEL_ROLES)) {
      if (value.files[role]) this.models[precision] = checkFile(value.files[role], role);
    }
    if (!Object.keys(this.models).length) fail(`files has neither of ${Object.values(MODEL_ROLES).join(", ")}`);
  }

  /** Feature frames (10 ms) that one step reads. */
  get windowFrames() {
    return (this.chunkFrames - 1) * SUBSAMPLING + RECEPTIVE_FRAMES;
  }

  /** Feature frames between the starts of two steps. */
  get shiftFrames() {
    return this.chunkFrames * SUBSAMPLING;
  }
}

function fail(complaint) {
  throw new UserError(`bundle/manifest.json: ${complaint}.`, { hint: "Export the bundle again with lottery-export." });
}

function integer(value, { name, low, high }) {
  if (!Number.isInteger(value) || value < low || value > high) fail(`${name} is ${value}, expected ${low} to ${high}`);
  return value;
}

/** Return a state for one stream: -1, the batch, becomes 1. */
function checkState(state) {
  const { name, shape, dtype, initial } = state ?? {};
  if (!Array.isArray(shape) || shape.length > 8 || shape.filter((size) => size === -1).length !== 1) {
    fail(`state ${name} has shape ${JSON.stringify(shape)}, expected one -1`);
  }
  const dims = shape.map((size) => (size === -1 ? 1 : integer(size, { name: `a side of ${name}`, low: 0, high: MAX_STATE_ELEMENTS })));
  const size = dims.reduce((product, side) => product * side, 1);
  if (size > MAX_STATE_ELEMENTS) fail(`state ${name} has ${size} elements`);
  if (!["float32", "int64"].includes(dtype)) fail(`state ${name} has dtype ${dtype}`);
  if (!Number.isFinite(initial) || (dtype === "int64" && !Number.isInteger(initial))) {
    fail(`state ${name} begins with ${initial}`);
  }
  return { name: String(name), dims, size, dtype, initial };
}

function checkConfidence(value) {
  const parts = {};
  for (const name of ["word", "utterance"]) {
    const { bias, weight } = value?.[name] ?? {};
    if (![bias, weight].every((number) => Number.isFinite(number) && Math.abs(number) <= MAX_COEFFICIENT)) {
      fail(`confidence.${name} is no bias and weight`);
    }
    parts[name] = { bias, weight };
  }
  const minConfidence = value.min_confidence;
  if (!Number.isFinite(minConfidence) || minConfidence < 0 || minConfidence > 1) {
    fail(`confidence.min_confidence is ${minConfidence}, expected 0 to 1`);
  }
  return { ...parts, minConfidence };
}

function checkFile(entry, role) {
  const { path, sha256, bytes } = entry ?? {};
  if (typeof path !== "string" || !/^[\w.-]+(\/[\w.-]+)*$/.test(path) || path.split("/").includes("..")) {
    fail(`files.${role} has no usable path`);
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) fail(`files.${role} has no sha256`);
  return { path, sha256, bytes: integer(bytes, { name: `files.${role}.bytes`, low: 1, high: MAX_MODEL_BYTES }) };
}
