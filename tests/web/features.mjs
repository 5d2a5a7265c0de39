// node features.mjs SAMPLES FEATURES BLOCK: float32 files in and out; BLOCK samples a push, 0 for the whole clip at once.
import { readFileSync, writeFileSync } from "node:fs";
import { Fbank, fbank } from "../../demo/web/static/features.js";

const [input, output, block] = process.argv.slice(2);
const bytes = readFileSync(input);
const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
let features = [];
if (Number(block) === 0) {
  features = [fbank(samples)];
} else {
  const extractor = new Fbank();
  for (let at = 0; at < samples.length; at += Number(block)) {
    features.push(extractor.accept(samples.subarray(at, at + Number(block))));
  }
  features.push(extractor.finish());
}
writeFileSync(output, Buffer.concat(features.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))));
