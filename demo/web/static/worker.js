/** The recogniser's thread: answers calls of client.js, so that the page stays smooth while a chunk is computed. */
import { benchmark } from "./bench.js";
import { loadBundle } from "./bundle.js";
import { hasSimd } from "./device.js";
import { endpoint } from "./endpoint.js";
import { UserError, describeError } from "./errors.js";
import { Listener } from "./listener.js";

const PIECE_S = 0.1;
const VENDOR_URL = new URL("../vendor/", import.meta.url);
const BUNDLE_URL = new URL("../bundle/", import.meta.url);

let ort = null;
let recognizer = null;
let description = null;
let listener = null;

const methods = {
  /** Load the bundle; once in the life of a worker, because the runtime's threads cannot be changed. */
  async load({ precision, numThreads }, tell) {
    if (!hasSimd()) {
      throw new UserError("This browser's WebAssembly has no SIMD.", { hint: "Use a browser of 2023 or newer." });
    }
    ort = await importRuntime();
    ort.env.wasm.wasmPaths = VENDOR_URL.href;
    ort.env.wasm.numThreads = numThreads;
    ort.env.logLevel = "error";
    ({ recognizer, description } = await loadBundle(fetchFile, { precision, ort, onProgress: (share) => tell({ share }) }));
    return { ...description, numThreads };
  },

  /** Turn what a microphone's port delivers into lines until it ends. */
  listen({ port, sampleRateHz }, tell) {
    listener = new Listener(port, { recognizer, sampleRateHz, onEvent: tell });
    return listener.run();
  },

  /** End what listens, where its port will not: a phone may stop the sound's thread in the middle. */
  async endListening() {
    listener?.end();
  },

  /** Recognise a whole clip: {text, words, ids, numRejected, audioS, wallS}; pauses end an utterance, each judged by itself. */
  async transcribe({ samples, sampleRateHz }, tell) {
    const stream = recognizer.stream({ sampleRateHz });
    const start = performance.now();
    const results = [];
    // Shorter than most chunks, so that a pause is seen at the chunk that completes it.
    const length = Math.max(1, Math.round(PIECE_S * sampleRateHz));
    for (let at = 0; at < samples.length; at += length) {
      await stream.accept(samples.subarray(at, at + length));
      const reason = endpoint(stream);
      if (reason) results.push(stream.endSegment({ keepOpenWord: reason === "max_length" }));
      tell({ share: Math.min(1, (at + length) / samples.length) });
    }
    results.push(await stream.finish());
    const kept = results.filter((result) => result.text);
    return {
      text: kept.map((result) => result.text).join(" "),
      // What is no word of a closed vocabulary has confidence 0.
      words: kept.flatMap((result) => result.words).filter((word) => word.confidence > 0),
      ids: results.flatMap((result) => result.ids),
      numRejected: results.filter((result) => result.isRejected).length,
      audioS: stream.durationS,
      wallS: (performance.now() - start) / 1000,
    };
  },

  /** Time the bundle on this device. */
  benchmark({ numThreads }, tell) {
    return benchmark(recognizer, { description, ort, numThreads, onProgress: (share) => tell({ share }) });
  },
};

self.onmessage = async ({ data: { id, method, argument } }) => {
  try {
    const value = await methods[method](argument, (news) => self.postMessage({ id, news }));
    self.postMessage({ id, value });
  } catch (error) {
    self.postMessage({ id, error: describeError(error) });
  }
};

async function importRuntime() {
  try {
    return await import(new URL("ort.wasm.min.mjs", VENDOR_URL));
  } catch (error) {
    throw new UserError(`onnxruntime-web does not load: ${error.message}`, {
      hint: "Run npm ci in demo/web, and start python -m demo.web again.",
    });
  }
}

/** Fetch a file of the bundle, never more than the manifest said. */
async function fetchFile(path, { bytes = 1 << 20, onProgress = null }) {
  let response;
  try {
    response = await fetch(new URL(path, BUNDLE_URL));
  } catch (error) {
    throw new UserError(`bundle/${path}: the server does not answer.`, { hint: "Is python -m demo.web still running?" });
  }
  if (!response.ok) {
    throw new UserError(`bundle/${path}: the server says ${response.status} ${response.statusText}.`, {
      hint: "Start python -m demo.web with a bundle directory.",
    });
  }
  const content = new Uint8Array(bytes);
  let length = 0;
  const reader = response.body.getReader();
  const readPart = () => reader.read().catch((error) => {
    throw new UserError(`bundle/${path}: the connection broke off: ${error.message}`, { hint: "Load the page again." });
  });
  for (let part = await readPart(); !part.done; part = await readPart()) {
    if (length + part.value.length > bytes) {
      await reader.cancel();
      throw new UserError(`bundle/${path}: longer than ${bytes} bytes.`, { hint: "Copy the whole bundle again." });
    }
    content.set(part.value, length);
    length += part.value.length;
    onProgress?.(length / bytes);
  }
  return content.subarray(0, length);
}
