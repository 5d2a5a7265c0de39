/** What the page shows; reads nothing but its own elements, decides nothing. Text is always set as text, never as markup. */
import { Meter } from "./meter.js";

/** The element with an id. */
export const $ = (id) => document.getElementById(id);

export const meter = new Meter($("meter"));

/** Say what happened and what to do next; an error is red, a remark is not. */
export function showNotice({ message, hint = "" }, { isError = true } = {}) {
  $("notice").classList.toggle("is-error", isError);
  $("notice-message").textContent = message;
  $("notice-hint").textContent = hint ?? "";
  $("notice").hidden = false;
}

export function hideNotice() {
  $("notice").hidden = true;
}

/** Show what the page is doing: "loading", "ready", "listening", "stopping", "busy" or "failed". */
export function showPhase(phase) {
  const isIdle = phase === "ready";
  const isListening = phase === "listening";
  $("listen").disabled = !isIdle && !isListening;
  $("listen").setAttribute("aria-pressed", isListening);
  $("listen-label").textContent = isListening ? "Stop" : "Start";
  for (const id of ["files", "bench"]) $(id).disabled = !isIdle;
  // Where another model does not load, the one before can be had again.
  const canChoose = isIdle || (phase === "failed" && $("precision").options.length > 0);
  $("precision").disabled = !canChoose;
  $("threads").disabled = !canChoose || !crossOriginIsolated;
  $("loading").hidden = phase !== "loading";
  $("model").dataset.phase = phase;
  if (phase === "loading") $("model").textContent = "loading";
  if (phase === "failed") $("model").textContent = "not loaded";
  if (phase === "failed") $("source").textContent = "No model";
  if (isIdle) $("source").textContent = "Ready";
  $("placeholder").textContent = isListening ? "Listening…" : "Press the button and speak.";
}

/** Show the share of the model that has arrived; null where nothing has. */
export function showLoading(share) {
  if (share === null) $("loading").removeAttribute("value");
  else $("loading").value = share;
}

/** Show which model is loaded, and fill the choices of the settings. */
export function showModel({ name, precision, precisions, bytes, chunkMs, numThreads }) {
  const chunks = Object.assign(element("span", ` · ${chunkMs} ms chunks`), { className: "wide" });
  $("model").replaceChildren(`${precision} · ${formatBytes(bytes)}`, chunks);
  $("model").title = name;
  const label = { fp32: "fp32, the reference", int8: "int8, smaller and faster" };
  fillSelect($("precision"), precisions.map((value) => [value, label[value]]), precision);
  const most = Math.max(1, Math.min(8, navigator.hardwareConcurrency ?? 1));
  const counts = [1, 2, 4, 8].filter((count) => count <= most);
  fillSelect($("threads"), counts.map((count) => [count, count === 1 ? "1, best for models this small" : `${count}`]), numThreads);
  $("threads-note").textContent = crossOriginIsolated ? "" : "More need a page that is cross-origin isolated: HTTPS or localhost.";
}

/** Offer the microphones by name. */
export function showMicrophones(microphones, chosen) {
  const named = microphones.filter(({ deviceId, label }) => label && deviceId && deviceId !== "default");
  fillSelect($("device"), [["", "default"], ...named.map(({ deviceId, label }) => [deviceId, label])], chosen);
}

const NOT_UNDERSTOOD = "(not understood)";

/** Show a finished line, {text, words, isRejected}; of one that is rejected, only that there was one. */
export function addLine({ text, words, isRejected }) {
  const line = document.createElement("li");
  line.append(element("time", formatClock(words[0].startS)), element("span", isRejected ? NOT_UNDERSTOOD : text));
  line.classList.toggle("is-rejected", isRejected);
  $("lines").append(line);
  showTranscriptTools();
}

/** Show the line being spoken: settled words in full, the newest in a softer colour; faint where it may be rejected. */
export function showPartial({ words, numSettled, isRejected = false }) {
  $("partial").classList.toggle("is-rejected", isRejected);
  const spell = (some) => some.map((word) => word.text).join(" ");
  const open = element("span", spell(words.slice(numSettled)));
  open.className = "open";
  $("partial").replaceChildren(...(words.length ? [`${spell(words.slice(0, numSettled))} `, open] : []));
  showTranscriptTools();
}

export function clearTranscript() {
  $("lines").replaceChildren();
  showPartial({ words: [], numSettled: 0 });
}

/** Show the figures of a Listener. */
export function showFigures({ heardS, chunkMs, rtf, firstTextMs, behindS, droppedS }) {
  $("clock").textContent = formatClock(heardS);
  $("chunk-p50").textContent = format(chunkMs?.p50, 1);
  $("chunk-p95").textContent = format(chunkMs?.p95, 1);
  $("rtf").textContent = format(rtf, 3);
  $("rtf").closest("div").classList.toggle("is-bad", rtf >= 1);
  $("rtf-words").textContent = rtf ? `${format(1 / rtf, rtf > 0.1 ? 1 : 0)}x as fast as speech` : "below 1 keeps up";
  $("first-text").textContent = format(firstTextMs && firstTextMs.p50 / 1000, 2);
  $("behind").textContent = format(behindS, 1);
  $("behind").closest("div").classList.toggle("is-bad", droppedS > 0);
  $("dropped").textContent = droppedS ? `${format(droppedS, 1)} s lost` : "nothing lost";
}

/** Add a sound file to the list; return functions that show its progress and its outcome. */
export function addFile(name) {
  const item = document.createElement("li");
  const status = element("span", "waiting");
  const title = document.createElement("h3");
  title.append(element("span", name), status);
  item.append(title);
  $("results").append(item);
  return {
    progress: (share) => (status.textContent = `${Math.round(100 * share)} %`),
    done: ({ words, numRejected, audioS, wallS }) => {
      status.textContent = `${format(audioS, 1)} s in ${format(wallS, 2)} s, ${format(audioS / wallS, 0)}x real time`;
      const spoken = document.createElement("p");
      spoken.className = "words";
      for (const { text, startS, endS } of words) {
        const word = element("span", text);
        word.title = `${startS.toFixed(2)} to ${endS.toFixed(2)} s`;
        word.append(element("small", startS.toFixed(2)));
        spoken.append(word);
      }
      if (!words.length && !numRejected) spoken.textContent = "(no words)";
      if (numRejected) {
        const note = element("span", numRejected > 1 ? `(${numRejected} not understood)` : NOT_UNDERSTOOD);
        note.className = "is-rejected";
        spoken.append(note);
      }
      item.append(spoken);
    },
    failed: ({ message, hint }) => {
      status.textContent = "";
      item.append(Object.assign(element("p", `${message} ${hint ?? ""}`), { className: "failed" }));
    },
  };
}

/** Show the share of the benchmark that is done; null hides it. */
export function showBenchProgress(share) {
  $("bench-progress").hidden = share === null;
  $("bench-progress").value = share ?? 0;
  $("bench").textContent = share === null ? "Run the benchmark" : "Measuring…";
}

/** Show the benchmark's JSON, and its essence as a table. */
export function showBenchmark(result) {
  const { chunk_ms: chunk, model, runtime, device } = result;
  const threads = `${runtime.threads} thread${runtime.threads > 1 ? "s" : ""}`;
  const rows = [
    [`A chunk of ${model.chunk_audio_ms} ms`, `${format(chunk.p50, 2)} ms median, ${format(chunk.p95, 2)} ms p95`],
    ["Real-time factor", `${format(result.rtf, 4)}: ${format(1 / result.rtf, 0)}x as fast as speech`],
    ["Load, first chunk", `${format(result.load_ms, 0)} ms, ${format(result.warm_up_ms, 1)} ms`],
    ["Model", `${model.bundle}, ${model.precision}, ${formatBytes(model.bytes)}`],
    ["Runtime", `onnxruntime-web ${runtime.onnxruntime_web}, WASM SIMD, ${threads}`],
    ["Device", [device.model ?? device.platform, `${device.hardware_concurrency} cores`].filter(Boolean).join(", ")],
  ];
  $("bench-table").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  $("bench-json").textContent = JSON.stringify(result, null, 2);
  $("bench-result").hidden = false;
}

/** Offer the sound of the last session. */
export function showRecording() {
  $("save-sound").disabled = false;
}

/** Let the browser save a Blob as a file. */
export function saveFile(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Copy text, and say so on the button. */
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Pages that are not secure have no clipboard: mark the text instead.
    getSelection().selectAllChildren(button === $("copy-bench") ? $("bench-json") : $("lines"));
    button.textContent = "Marked: copy it now";
  }
  setTimeout(() => (button.textContent = label), 2000);
}

function showTranscriptTools() {
  const isEmpty = !$("lines").children.length && !$("partial").textContent;
  $("placeholder").hidden = !isEmpty;
  for (const id of ["copy-text", "clear-text"]) $(id).disabled = !$("lines").children.length;
  $("transcript").scrollTop = $("transcript").scrollHeight;
}

function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

function fillSelect(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, label]) => new Option(label, value, false, String(value) === String(chosen))));
}

function format(value, digits) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

function formatClock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function formatBytes(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`;
}
