/** Loading a bundle: manifest, tokens and one model, each checked; the model is warmed up. */
import { UserError } from "./errors.js";
import { NUM_MELS } from "./features.js";
import { Manifest } from "./manifest.js";
import { Recognizer } from "./recognizer.js";
import { Session } from "./session.js";
import { Tokenizer } from "./tokens.js";

const MAX_WORDS = 20000;
const COPY_AGAIN = "Copy the whole bundle again, or export it again.";

/**
 * @param {(path: string, options: {bytes: ?number, onProgress: ?function}) => Promise<Uint8Array>} read returns a file
 *     of the bundle.
 * @param {{precision: string, ort: object, onProgress?: function}} options precision "int8", "fp32", or "auto": int8
 *     where the bundle has it; ort: the module onnxruntime-web, set up; onProgress takes the share of the model read.
 * @returns {Promise<{recognizer: Recognizer, description: object}>} description: what was loaded, and how long it took.
 * @throws {UserError} a file is missing, damaged, or not what the manifest says.
 */
export async function loadBundle(read, { precision = "auto", ort, onProgress = null }) {
  const manifest = new Manifest(parseJson(await read("manifest.json", {})));
  const chosen = precision === "auto" ? (manifest.models.int8 ? "int8" : "fp32") : precision;
  const file = manifest.models[chosen];
  if (!file) throw new UserError(`The bundle ${manifest.name} has no ${chosen} model.`, { hint: "Choose another model." });
  const tokens = await readVerified(read, manifest.tokens, {});
  const tokenizer = Tokenizer.parse(new TextDecoder().decode(tokens.bytes), { vocabSize: manifest.vocabSize });
  const words = manifest.words && parseWords((await readVerified(read, manifest.words, {})).bytes);
  let start = performance.now();
  const model = await readVerified(read, file, { onProgress });
  const downloadMs = performance.now() - start;
  start = performance.now();
  const session = await Session.open(model.bytes, { manifest, ort });
  const loadMs = performance.now() - start;
  start = performance.now();
  await session.step(new Float32Array(manifest.windowFrames * NUM_MELS), session.initialState());
  const warmUpMs = performance.now() - start;
  return {
    recognizer: new Recognizer({ manifest, tokenizer, session, words }),
    description: {
      name: manifest.name,
      precision: chosen,
      precisions: Object.keys(manifest.models),
      file: file.path,
      sha256: file.sha256,
      isVerified: model.isVerified,
      bytes: file.bytes,
      chunkFrames: manifest.chunkFrames,
      downloadMs,
      loadMs,
      warmUpMs,
    },
  };
}

/** Return the Set of the words of `words.txt`, one a line. */
function parseWords(bytes) {
  const words = new TextDecoder().decode(bytes).split("\n").filter((word) => word);
  if (!words.length || words.length > MAX_WORDS || words.some((word) => /[\p{C}\p{Z}]/u.test(word))) {
    throw new UserError("words.txt is no list of words, one a line.", { hint: COPY_AGAIN });
  }
  return new Set(words);
}

function parseJson(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new UserError(`bundle/manifest.json: not JSON: ${error.message}`, { hint: COPY_AGAIN });
  }
}

async function readVerified(read, file, { onProgress }) {
  const bytes = await read(file.path, { bytes: file.bytes, onProgress });
  if (bytes.length !== file.bytes) {
    throw new UserError(`bundle/${file.path}: ${bytes.length} bytes, the manifest says ${file.bytes}.`, { hint: COPY_AGAIN });
  }
  // Browsers hash on secure pages alone; the server that reads the bundle has hashed it, too.
  if (!globalThis.crypto?.subtle) return { bytes, isVerified: false };
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== file.sha256) {
    throw new UserError(`bundle/${file.path}: altered: its SHA-256 is not the manifest's.`, { hint: COPY_AGAIN });
  }
  return { bytes, isVerified: true };
}
