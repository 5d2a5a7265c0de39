/** Reads a microphone's port, keeps what waits in a bounded queue, and hands it to a Conversation. */
import { Conversation } from "./conversation.js";

// More than this is dropped and counted, as in lottery-listen: a device that cannot keep up must not eat its memory.
const MAX_WAITING_S = 10;
// What was heard is kept, in memory alone, so that the visitor can save it: the newest so much.
const MAX_KEPT_S = 300;

export class Listener {
  #port;
  #conversation;
  #sampleRateHz;
  #onEvent;
  #waiting = [];
  #numWaiting = 0;
  #numCaptured = 0;
  #numDropped = 0;
  #kept = [];
  #numKept = 0;
  #wake = null;
  #isEnded = false;

  /**
   * @param {MessagePort} port delivers Float32Array blocks, and null at the end.
   * @param {{recognizer: Recognizer, sampleRateHz: number, onEvent: function}} options onEvent takes {finals, partial,
   *     figures} after every decoded chunk.
   */
  constructor(port, { recognizer, sampleRateHz, onEvent }) {
    this.#port = port;
    this.#sampleRateHz = sampleRateHz;
    this.#conversation = new Conversation(recognizer, { sampleRateHz });
    this.#onEvent = onEvent;
    port.onmessage = ({ data }) => this.#take(data);
  }

  /** Listen until the port says that it is over; return {figures, samples}: what was heard at the end. */
  async run() {
    try {
      for (;;) {
        while (this.#waiting.length) await this.#hear(this.#waiting.shift());
        if (this.#isEnded) break;
        await new Promise((resolve) => (this.#wake = resolve));
      }
      this.#tell(await this.#conversation.finish());
      return { figures: this.#figures(), samples: this.#recording() };
    } finally {
      this.#port.close();
    }
  }

  /** Take no more: what waits is still recognised. */
  end() {
    this.#take(null);
  }

  #take(block) {
    if (block === null) {
      this.#isEnded = true;
    } else if (this.#numWaiting + block.length > MAX_WAITING_S * this.#sampleRateHz) {
      this.#numDropped += block.length;
    } else {
      this.#waiting.push(block);
      this.#numWaiting += block.length;
      this.#numCaptured += block.length;
    }
    this.#wake?.();
  }

  async #hear(block) {
    this.#numWaiting -= block.length;
    this.#keep(block);
    const news = await this.#conversation.hear(block, { numCaptured: this.#numCaptured });
    if (news) this.#tell(news);
  }

  #keep(block) {
    this.#kept.push(block);
    this.#numKept += block.length;
    while (this.#numKept > MAX_KEPT_S * this.#sampleRateHz) this.#numKept -= this.#kept.shift().length;
  }

  #recording() {
    const samples = new Float32Array(this.#numKept);
    let at = 0;
    for (const block of this.#kept) {
      samples.set(block, at);
      at += block.length;
    }
    return samples;
  }

  #tell(news) {
    this.#onEvent({ ...news, figures: this.#figures() });
  }

  #figures() {
    return {
      ...this.#conversation.figures,
      behindS: this.#numWaiting / this.#sampleRateHz,
      droppedS: this.#numDropped / this.#sampleRateHz,
    };
  }
}
