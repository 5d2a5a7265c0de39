// node resampler.mjs SAMPLES RESAMPLED FROM_HZ TO_HZ BLOCK: float32 files in and out, BLOCK samples a push.
import { readFileSync, writeFileSync } from "node:fs";
import { Resampler } from "../../demo/web/static/resampler.js";

const [input, output, from, to, block] = process.argv.slice(2);
const bytes = readFileSync(input);
const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const resampler = new Resampler(Number(from), Number(to));
const parts = [];
for (let at = 0; at < samples.length; at += Number(block)) parts.push(resampler.accept(samples.subarray(at, at + Number(block))));
parts.push(resampler.finish());
writeFileSync(output, Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))));
