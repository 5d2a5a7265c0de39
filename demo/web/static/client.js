/** The page's side of worker.js: calls that return promises, with news on the way. */
import { UserError } from "./errors.js";

export class Client {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #calls = new Map();
  #nextId = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failAll(`The recogniser's thread failed: ${event.message ?? "a script is missing"}`);
    };
  }

  /**
   * Call a method of the worker.
   * @param {string} method
   * @param {object} argument
   * @param {{onNews?: function, transfer?: object[]}} [options]
   * @returns {Promise<object>} rejects with a UserError.
   */
  call(method, argument, { onNews = () => {}, transfer = [] } = {}) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onNews });
      this.#worker.postMessage({ id, method, argument }, transfer);
    });
  }

  /** End the worker and free its memory; open calls fail. */
  close() {
    this.#worker.terminate();
    this.#failAll("Stopped.");
  }

  #receive({ id, news, value, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (news) {
      call.onNews(news);
      return;
    }
    this.#calls.delete(id);
    if (error) call.reject(new UserError(error.message, { hint: error.hint }));
    else call.resolve(value);
  }

  #failAll(message) {
    for (const { reject } of this.#calls.values()) reject(new UserError(message, { hint: "Load the page again." }));
    this.#calls.clear();
  }
}
