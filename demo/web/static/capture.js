/** The AudioWorklet: collects 20 ms blocks, sends samples to the recogniser's port and levels to the page. */
const BLOCK_S = 0.02;

class Capture extends AudioWorkletProcessor {
  #reader = null;
  #block = new Float32Array(Math.round(BLOCK_S * sampleRate));
  #length = 0;
  #isStopped = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.reader) this.#reader = data.reader;
      if (data.stop) this.#stop();
    };
  }

  /** Called by the browser with 128 samples a channel; false lets the node go. */
  process([channels]) {
    if (this.#isStopped) return false;
    // No channels: the track is silent or not connected yet.
    if (!this.#reader || !channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.#block[this.#length++] = sum / channels.length;
      if (this.#length === this.#block.length) this.#send();
    }
    return true;
  }

  #send() {
    const samples = this.#block.slice(0, this.#length);
    this.#length = 0;
    let [energy, peak] = [0, 0];
    for (const sample of samples) {
      energy += sample * sample;
      peak = Math.max(peak, Math.abs(sample));
    }
    this.port.postMessage({ rms: Math.sqrt(energy / Math.max(1, samples.length)), peak });
    this.#reader.postMessage(samples, [samples.buffer]);
  }

  #stop() {
    if (this.#isStopped) return;
    this.#isStopped = true;
    if (this.#length) this.#send();
    this.#reader?.postMessage(null);
  }
}

registerProcessor("capture", Capture);
