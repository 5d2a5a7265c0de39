/** The level meter: a bar every 60 ms on a canvas, the newest at the right, and the level in words for screen readers. */
const FLOOR_DB = -60;
const BLOCKS_A_BAR = 3;
const CLIPPING = 0.99;

export class Meter {
  #canvas;
  #bars = [];
  #block = { rms: 0, peak: 0, count: 0 };
  #isDrawn = true;

  /** @param {HTMLCanvasElement} canvas whose CSS colour and --warn colour are drawn with. */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
  }

  /** Take the level of a block, {rms, peak}. */
  add({ rms, peak }) {
    const block = this.#block;
    block.rms = Math.max(block.rms, rms);
    block.peak = Math.max(block.peak, peak);
    if (++block.count < BLOCKS_A_BAR) return;
    this.#bars.push({ level: share(block.rms), isClipped: block.peak >= CLIPPING });
    this.#bars.splice(0, this.#bars.length - 400);
    const db = Math.max(FLOOR_DB, 20 * Math.log10(block.rms || 1e-9));
    this.#canvas.setAttribute("aria-valuenow", Math.round(db));
    this.#canvas.setAttribute("aria-valuetext", `${Math.round(db)} decibels${block.peak >= CLIPPING ? ", too loud" : ""}`);
    this.#block = { rms: 0, peak: 0, count: 0 };
    if (this.#isDrawn) requestAnimationFrame(() => this.#draw());
    this.#isDrawn = false;
  }

  #draw() {
    this.#isDrawn = true;
    const canvas = this.#canvas;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const [step, width] = [5 * ratio, 3 * ratio];
    const count = Math.floor(canvas.width / step);
    const bars = this.#bars.slice(-count);
    for (let index = 0; index < count; index++) {
      const bar = bars[bars.length - 1 - index];
      const height = Math.max(width, (bar?.level ?? 0) * canvas.height);
      context.fillStyle = bar?.isClipped ? style.getPropertyValue("--warn") : style.color;
      context.globalAlpha = bar ? 1 : 0.25;
      context.beginPath();
      context.roundRect(canvas.width - (index + 1) * step, (canvas.height - height) / 2, width, height, width / 2);
      context.fill();
    }
  }
}

/** Return a level as a share of the meter: 0 at the floor, 1 at full scale. */
function share(rms) {
  return Math.max(0, 1 - (20 * Math.log10(rms || 1e-9)) / FLOOR_DB);
}
