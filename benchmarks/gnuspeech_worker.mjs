// Speaks requests with gnuspeech: one JSON object a line on stdin, {spoken, voice, tempo, seed, path}; writes a WAV
// file to `path` and prints one empty line per request. `seed` replaces the random numbers of its intonation.
import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

let state = 0
globalThis.crypto.getRandomValues = view => {
	const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
	for (let i = 0; i < bytes.length; i++) {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0
		bytes[i] = state >>> 24
	}
	return view
}
const { synthesize } = await import('@echogarden/gnuspeech-wasm')

for await (const line of createInterface({ input: process.stdin })) {
	const { spoken, voice, tempo, seed, path } = JSON.parse(line)
	state = seed
	const { audioData } = await synthesize(spoken, { voice, tempo })
	await writeFile(path, audioData)
	process.stdout.write('\n')
}
