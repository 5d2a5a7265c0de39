/** The page: what happens when, between the visitor, the microphone and the recogniser's worker. */
import { decodeFile } from "./audiofile.js";
import { Client } from "./client.js";
import { ENCODER_FRAME_MS } from "./features.js";
import { Microphone, listMicrophones } from "./microphone.js";
import { encodeWav } from "./wav.js";
import {
  $, addFile, addLine, clearTranscript, copy, hideNotice, meter, saveFile, showBenchProgress, showBenchmark, showFigures,
  showLoading, showMicrophones, showModel, showNotice, showPartial, showPhase, showRecording,
} from "./view.js";

/** Everything the page knows; programs that drive it read this. */
export const app = {
  phase: "loading", model: null, lines: [], figures: null, recording: null, files: [], benchmark: null, error: null,
};

let client = null;
let microphone = null;
let wakeLock = null;
let stopTimer = null;
let numSilentBlocks = 0;

// The microphone's last block is there at once, or it never comes.
const STOP_MS = 1000;
// 20 ms each. No room is as quiet as digital zero.
const SILENT_BLOCKS = 150;

function enter(phase) {
  app.phase = phase;
  showPhase(phase);
}

function fail(error) {
  app.error = { message: error.message, hint: error.hint ?? null };
  showNotice(app.error);
}

/** Load a model in a new worker, which frees the memory of the last one. */
async function load({ precision, numThreads }) {
  client?.close();
  client = new Client();
  enter("loading");
  showLoading(null);
  try {
    const onNews = ({ share }) => showLoading(share < 1 ? share : null);
    const model = await client.call("load", { precision, numThreads }, { onNews });
    app.model = model;
    enter("ready");
    showModel({ ...model, chunkMs: model.chunkFrames * ENCODER_FRAME_MS });
  } catch (error) {
    enter("failed");
    fail(error);
  }
}

function reload() {
  hideNotice();
  load({ precision: $("precision").value, numThreads: Number($("threads").value) });
}

/** Open the microphone and show lines until it is stopped or lost. */
async function listen() {
  hideNotice();
  enter("busy");
  $("source").textContent = "Waiting for the microphone…";
  const channel = new MessageChannel();
  try {
    microphone = await Microphone.open({
      port: channel.port1,
      deviceId: $("device").value,
      isProcessed: $("processed").checked,
      onLevel: showLevel,
      onLost: () => {
        showNotice({ message: "The microphone went away.", hint: "Connect it again and press Start." });
        stop();
      },
    });
  } catch (error) {
    enter("ready");
    fail(error);
    return;
  }
  enter("listening");
  numSilentBlocks = 0;
  $("source").textContent = microphone.label || "Microphone";
  keepAwake();
  listMicrophones().then((microphones) => showMicrophones(microphones, $("device").value));
  try {
    const argument = { port: channel.port2, sampleRateHz: microphone.sampleRateHz };
    const { figures, samples } = await client.call("listen", argument, { onNews: showNews, transfer: [channel.port2] });
    app.figures = figures;
    app.recording = { samples, sampleRateHz: argument.sampleRateHz };
    showFigures(figures);
    showRecording();
  } catch (error) {
    microphone.stop();
    fail(error);
  }
  clearTimeout(stopTimer);
  microphone = null;
  wakeLock?.release();
  wakeLock = null;
  enter("ready");
}

function stop() {
  if (app.phase !== "listening") return;
  enter("stopping");
  microphone.stop();
  stopTimer = setTimeout(() => client.call("endListening", {}), STOP_MS);
}

function showLevel(level) {
  meter.add(level);
  numSilentBlocks = level.peak === 0 ? numSilentBlocks + 1 : 0;
  if (numSilentBlocks === SILENT_BLOCKS) {
    const hint = "Is it muted, or is another one meant? The settings have a choice.";
    showNotice({ message: "The microphone delivers nothing but zeros.", hint }, { isError: false });
  }
}

function showNews({ finals, partial, figures }) {
  for (const line of finals) {
    app.lines.push(line);
    addLine(line);
  }
  showPartial(partial);
  app.figures = figures;
  showFigures(figures);
}

/** A phone's screen that goes dark takes the microphone with it. */
async function keepAwake() {
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  if (app.phase === "listening") wakeLock = lock;
  else lock?.release();
}

/** Recognise files one after the other. */
async function transcribe(files) {
  // Without a model the notice says why already.
  if (app.phase === "failed") return;
  if (app.phase !== "ready") {
    const hint = app.phase === "listening" ? "Press Stop, then drop them again." : "Drop them again in a moment.";
    showNotice({ message: "The page is busy and did not take the files.", hint }, { isError: false });
    return;
  }
  hideNotice();
  enter("busy");
  const shown = files.map((file) => ({ file, view: addFile(file.name) }));
  for (const { file, view } of shown) {
    const entry = { name: file.name };
    app.files.push(entry);
    try {
      const { samples, sampleRateHz } = await decodeFile(file);
      const argument = { samples, sampleRateHz };
      const options = { onNews: ({ share }) => view.progress(share), transfer: [samples.buffer] };
      entry.result = await client.call("transcribe", argument, options);
      view.done(entry.result);
    } catch (error) {
      entry.error = { message: error.message, hint: error.hint ?? null };
      view.failed(entry.error);
    }
  }
  enter("ready");
}

async function runBenchmark() {
  hideNotice();
  enter("busy");
  showBenchProgress(0);
  try {
    const argument = { numThreads: app.model.numThreads };
    app.benchmark = await client.call("benchmark", argument, { onNews: ({ share }) => showBenchProgress(share) });
    showBenchmark(app.benchmark);
  } catch (error) {
    fail(error);
  }
  showBenchProgress(null);
  enter("ready");
}

function connect() {
  $("listen").onclick = () => (app.phase === "listening" ? stop() : listen());
  $("bench").onclick = runBenchmark;
  $("precision").onchange = $("threads").onchange = reload;
  $("notice-close").onclick = hideNotice;
  $("copy-text").onclick = () => copy(app.lines.filter((line) => !line.isRejected).map((line) => line.text).join("\n"), $("copy-text"));
  $("save-sound").onclick = () => saveFile("heard.wav", encodeWav(app.recording.samples, app.recording.sampleRateHz));
  $("copy-bench").onclick = () => copy($("bench-json").textContent, $("copy-bench"));
  $("clear-text").onclick = () => {
    app.lines.length = 0;
    clearTranscript();
  };
  $("files").onchange = () => {
    transcribe([...$("files").files]);
    $("files").value = "";
  };
  // The whole page takes files, so that one dropped beside the box does not replace the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("is-over");
  });
  addEventListener("dragleave", () => $("drop").classList.remove("is-over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("is-over");
    transcribe([...event.dataTransfer.files]);
  });
}

connect();
if (!isSecureContext) {
  const message = "This page is not secure, so the browser keeps the microphone from it.";
  showNotice({ message, hint: "Files and the benchmark work. docs/browser.md tells how to serve it over HTTPS." }, { isError: false });
}
await load({ precision: "auto", numThreads: 1 });
