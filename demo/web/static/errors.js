/** An error the visitor can act on: what happened, and the next step. */
export class UserError extends Error {
  /**
   * @param {string} message operation, value, expected.
   * @param {{hint?: string}} [options] hint: the next step, as a sentence.
   */
  constructor(message, { hint = null } = {}) {
    super(message);
    this.name = "UserError";
    this.hint = hint;
  }
}

/** Return any thrown value as plain {message, hint}, which a worker can post. */
export function describeError(error) {
  return { message: error?.message ?? String(error), hint: error?.hint ?? null };
}
