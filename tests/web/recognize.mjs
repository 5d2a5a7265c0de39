// node recognize.mjs BUNDLE ORT: reads one JSON request a line, {samples (path), sampleRateHz, block, precision, isLive};
// prints one JSON result a line. ORT is the path of ort.wasm.min.mjs.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { loadBundle } from "../../demo/web/static/bundle.js";
import { Conversation } from "../../demo/web/static/conversation.js";
import { describeError } from "../../demo/web/static/errors.js";

const [bundle, runtime] = process.argv.slice(2);
const ort = await import(pathToFileURL(runtime));
ort.env.wasm.numThreads = 1;
const read = async (path) => new Uint8Array(readFileSync(join(bundle, path)));

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line)).catch((error) => ({ error: describeError(error) }))));
}

async function answer({ samples: path, sampleRateHz, block, precision, isLive }) {
  const { recognizer } = await loadBundle(read, { precision, ort });
  const bytes = readFileSync(path);
  const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return (isLive ? converse : recognize)(recognizer, { samples, sampleRateHz, block });
}

async function recognize(recognizer, { samples, sampleRateHz, block }) {
  const stream = recognizer.stream({ sampleRateHz });
  for (let at = 0; at < samples.length; at += block) await stream.accept(samples.subarray(at, at + block));
  return stream.finish();
}

async function converse(recognizer, { samples, sampleRateHz, block }) {
  const conversation = new Conversation(recognizer, { sampleRateHz });
  const lines = [];
  const partials = [];
  for (let at = 0; at < samples.length; at += block) {
    const numCaptured = Math.min(samples.length, at + block);
    const news = await conversation.hear(samples.subarray(at, at + block), { numCaptured });
    lines.push(...(news?.finals ?? []));
    if (news) partials.push(news.partial);
  }
  lines.push(...(await conversation.finish()).finals);
  return { lines, partials, figures: conversation.figures };
}
