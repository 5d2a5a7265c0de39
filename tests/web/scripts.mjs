// The page's scripts for test_scripts.py: node scripts.mjs [PATH OF ort.wasm.min.mjs]. One JSON request a line on stdin,
// {do, samples: path of a float32 file, block: samples a push, ...}; one JSON answer a line on stdout.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { loadBundle } from "../../demo/web/static/bundle.js";
import { Conversation } from "../../demo/web/static/conversation.js";
import { describeError } from "../../demo/web/static/errors.js";
import { Fbank, fbank } from "../../demo/web/static/features.js";
import { Listener } from "../../demo/web/static/listener.js";
import { Resampler } from "../../demo/web/static/resampler.js";
import { encodeWav } from "../../demo/web/static/wav.js";

const runtime = process.argv[2];
let ort = null;

const actions = {
  features({ samples, block, output }) {
    if (!block) return write(output, [fbank(samples)]);
    const extractor = new Fbank();
    const parts = pushes(samples, block).map((part) => extractor.accept(part));
    return write(output, [...parts, extractor.finish()]);
  },

  resample({ samples, block, output, fromHz, toHz }) {
    const resampler = new Resampler(fromHz, toHz);
    const parts = pushes(samples, block).map((part) => resampler.accept(part));
    return write(output, [...parts, resampler.finish()]);
  },

  async recognize({ bundle, precision, samples, sampleRateHz, block }) {
    const stream = (await load(bundle, precision)).stream({ sampleRateHz });
    for (const part of pushes(samples, block)) await stream.accept(part);
    return stream.finish();
  },

  async converse({ bundle, precision, samples, sampleRateHz, block }) {
    const conversation = new Conversation(await load(bundle, precision), { sampleRateHz });
    const [lines, partials] = [[], []];
    let numCaptured = 0;
    for (const part of pushes(samples, block)) {
      numCaptured += part.length;
      const news = await conversation.hear(part, { numCaptured });
      lines.push(...(news?.finals ?? []));
      if (news) partials.push(news.partial);
    }
    lines.push(...(await conversation.finish()).finals);
    return { lines, partials, figures: conversation.figures };
  },

  async listen({ bundle, precision, samples, sampleRateHz, block }) {
    const { port1, port2 } = new MessageChannel();
    const news = [];
    const options = { recognizer: await load(bundle, precision), sampleRateHz, onEvent: (event) => news.push(event) };
    const listener = new Listener(port2, options);
    // A view would take its whole buffer along.
    for (const part of pushes(samples, block)) port1.postMessage(part.slice());
    port1.postMessage(null);
    const { figures, samples: heard } = await listener.run();
    return { figures, numKept: heard.length, lines: news.flatMap(({ finals }) => finals) };
  },

  async wav({ samples, sampleRateHz, output }) {
    return write(output, [new Uint8Array(await encodeWav(samples, sampleRateHz).arrayBuffer())]);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const bytes = readFileSync(request.samples);
  request.samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  try {
    console.log(JSON.stringify(await actions[request.do](request)));
  } catch (error) {
    console.log(JSON.stringify({ error: describeError(error) }));
  }
}

async function load(bundle, precision) {
  if (!ort) {
    ort = await import(pathToFileURL(runtime));
    ort.env.wasm.numThreads = 1;
  }
  const read = async (path) => new Uint8Array(readFileSync(join(bundle, path)));
  return (await loadBundle(read, { precision, ort })).recognizer;
}

function pushes(samples, block) {
  const parts = [];
  for (let at = 0; at < samples.length; at += block) parts.push(samples.subarray(at, at + block));
  return parts;
}

function write(output, parts) {
  writeFileSync(output, Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))));
  return {};
}
