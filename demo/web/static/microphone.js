/** The microphone: permission, AudioContext and AudioWorklet; its samples go straight to the recogniser's port. */
import { UserError } from "./errors.js";
import { SAMPLE_RATE_HZ } from "./features.js";

const REASONS = {
  NotAllowedError: ["The browser did not allow the microphone.", "Allow it in the site settings beside the address, then try again."],
  NotFoundError: ["No microphone was found.", "Connect one, or drop a sound file below."],
  NotReadableError: ["The microphone cannot be opened.", "Another program may be using it."],
  OverconstrainedError: ["The chosen microphone is gone.", "Choose another one in the settings."],
};

export class Microphone {
  #stream;
  #context;
  #node;

  /**
   * Ask for the microphone and begin to record.
   * @param {{port: MessagePort, deviceId: string, isProcessed: boolean, onLevel: function, onLost: function}} options
   *     port receives Float32Array blocks and null at the end; deviceId "" is the default; isProcessed lets the browser
   *     suppress echo and noise and set the gain; onLevel takes {rms, peak} of each block; onLost is called when the
   *     device vanishes.
   * @throws {UserError} no secure page, no permission, no microphone.
   */
  static async open({ port, deviceId = "", isProcessed = false, onLevel, onLost }) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new UserError("Browsers give the microphone to secure pages alone: HTTPS, or localhost.", {
        hint: "Start python -m demo.web with --cert and --key, or see docs/browser.md for other ways. Files and the benchmark work here.",
      });
    }
    const microphone = new Microphone();
    try {
      const audio = {
        ...(deviceId && { deviceId: { exact: deviceId } }),
        echoCancellation: isProcessed,
        noiseSuppression: isProcessed,
        autoGainControl: isProcessed,
      };
      microphone.#stream = await navigator.mediaDevices.getUserMedia({ audio });
      const source = await microphone.#connect();
      microphone.#node.port.onmessage = ({ data }) => onLevel(data);
      microphone.#node.port.postMessage({ reader: port }, [port]);
      source.connect(microphone.#node);
      for (const track of microphone.#stream.getAudioTracks()) track.onended = onLost;
      // Not awaited: some browsers resolve it only once sound flows.
      microphone.#context.resume();
    } catch (error) {
      microphone.#release();
      const [message, hint] = REASONS[error.name] ?? [`The microphone cannot be opened: ${error.message}`, null];
      throw error instanceof UserError ? error : new UserError(message, { hint });
    }
    return microphone;
  }

  /** The rate at which samples arrive; the recogniser resamples where it is not 16 kHz. */
  get sampleRateHz() {
    return this.#context.sampleRate;
  }

  /** The device's name. */
  get label() {
    return this.#stream.getAudioTracks()[0]?.label ?? "";
  }

  /** Stop recording; the port still gets what was recorded, and null. */
  stop() {
    this.#node.port.postMessage({ stop: true });
    // The worklet's last message must be out before its thread ends.
    setTimeout(() => this.#release(), 200);
  }

  /** Make a context at 16 kHz, or at the device's rate where the browser cannot join the two (Firefox). */
  async #connect() {
    for (const options of [{ sampleRate: SAMPLE_RATE_HZ }, {}]) {
      const context = new AudioContext(options);
      try {
        const source = context.createMediaStreamSource(this.#stream);
        await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
        this.#node = new AudioWorkletNode(context, "capture");
        // It plays nothing, but some browsers run only what leads to the loudspeaker.
        this.#node.connect(context.destination);
        this.#context = context;
        return source;
      } catch (error) {
        await context.close();
        if (error.name !== "NotSupportedError" || !options.sampleRate) throw error;
      }
    }
  }

  #release() {
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (this.#context?.state !== "closed") this.#context?.close();
  }
}

/** Return [{deviceId, label}] of the microphones; labels are empty before permission was given. */
export async function listMicrophones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((device) => device.kind === "audioinput").map(({ deviceId, label }) => ({ deviceId, label }));
}
