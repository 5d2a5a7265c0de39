/** What a benchmark has to say of the device, the browser and its WebAssembly. */

// The smallest modules that use an instruction of each kind. Source: github.com/GoogleChromeLabs/wasm-feature-detect.
const SIMD_MODULE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];
const RELAXED_SIMD_MODULE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
  128, 2, 11,
];

/** Whether this browser's WebAssembly has SIMD, without which onnxruntime-web does not run. */
export function hasSimd() {
  return globalThis.WebAssembly !== undefined && WebAssembly.validate(Uint8Array.from(SIMD_MODULE));
}

/** Return {user_agent, platform, model, ...}: null where the browser does not tell. */
export async function describeDevice() {
  const hints = await navigator.userAgentData?.getHighEntropyValues?.(["architecture", "model", "platformVersion"]);
  return {
    user_agent: navigator.userAgent,
    platform: hints?.platform ? `${hints.platform} ${hints.platformVersion ?? ""}`.trim() : null,
    model: hints?.model || null,
    architecture: hints?.architecture || null,
    is_mobile: navigator.userAgentData?.mobile ?? null,
    hardware_concurrency: navigator.hardwareConcurrency ?? null,
    device_memory_gb: navigator.deviceMemory ?? null,
  };
}

/** Return what the runtime works with. */
export function describeRuntime({ ort, numThreads }) {
  return {
    onnxruntime_web: ort.env.versions.web,
    execution_provider: "wasm",
    threads: numThreads,
    wasm_simd: hasSimd(),
    wasm_relaxed_simd: WebAssembly.validate(Uint8Array.from(RELAXED_SIMD_MODULE)),
    cross_origin_isolated: globalThis.crossOriginIsolated === true,
    timer_resolution_ms: timerResolutionMs(),
  };
}

/** Return the smallest step of the clock that was seen; browsers make it coarse where a page is not isolated. */
function timerResolutionMs() {
  let smallest = Infinity;
  for (let found = 0; found < 20; found++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return Math.round(1e6 * smallest) / 1e6;
}
