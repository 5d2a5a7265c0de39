/** An ONNX model in onnxruntime-web with explicit state in and out, shared by every stream; as OrtSession in runtime/session.py. */
import { UserError } from "./errors.js";
import { NUM_MELS } from "./features.js";

const RE_EXPORT = "Export the bundle again with lottery-export.";

export class Session {
  #ort;
  #session;
  #manifest;

  /**
   * Load a model.
   * @param {Uint8Array} bytes the ONNX file.
   * @param {{manifest: Manifest, ort: object}} options ort: the module onnxruntime-web, set up.
   * @throws {UserError} the runtime refuses the file, or its inputs are not the manifest's states.
   */
  static async open(bytes, { manifest, ort }) {
    const session = new Session();
    session.#ort = ort;
    session.#manifest = manifest;
    try {
      session.#session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      throw new UserError(`The model does not load: ${error.message}`, { hint: RE_EXPORT });
    }
    const expected = ["x", ...manifest.states.map((state) => state.name)].join(", ");
    const found = session.#session.inputNames.join(", ");
    if (found !== expected) throw new UserError(`The model reads ${found}; the manifest says ${expected}.`, { hint: RE_EXPORT });
    if (session.#session.outputNames.length !== 1 + manifest.states.length) {
      throw new UserError(`The model returns ${session.#session.outputNames.length - 1} states.`, { hint: RE_EXPORT });
    }
    return session;
  }

  /** Return the state of an utterance that has not begun. */
  initialState() {
    return this.#manifest.states.map(({ dims, size, dtype, initial }) => {
      const data = dtype === "int64" ? new BigInt64Array(size).fill(BigInt(initial)) : new Float32Array(size).fill(initial);
      return new this.#ort.Tensor(dtype, data, dims);
    });
  }

  /**
   * Run one chunk.
   * @param {Float32Array} window windowFrames x NUM_MELS features.
   * @param {object[]} state what initialState() or the previous step returned.
   * @returns {Promise<{logprobs: Float32Array, state: object[]}>} logprobs: chunkFrames x vocabSize.
   */
  async step(window, state) {
    const { chunkFrames, vocabSize, windowFrames } = this.#manifest;
    const [features, ...names] = this.#session.inputNames;
    const feeds = { [features]: new this.#ort.Tensor("float32", window, [1, windowFrames, NUM_MELS]) };
    names.forEach((name, index) => (feeds[name] = state[index]));
    const outputs = await this.#session.run(feeds);
    const [logprobs, ...next] = this.#session.outputNames.map((name) => outputs[name]);
    if (logprobs.data.length !== chunkFrames * vocabSize) {
      throw new UserError(`The model returns ${logprobs.dims} log-probabilities, expected ${[1, chunkFrames, vocabSize]}.`, { hint: RE_EXPORT });
    }
    return { logprobs: logprobs.data, state: next };
  }
}
