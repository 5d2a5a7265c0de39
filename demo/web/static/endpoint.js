/** Endpointing: when a live line is finished; the rules of runtime/endpoint.py. */

/** Seconds: silence that ends a line without text, silence that ends one with text, and the longest line. */
export const RULES = { idleSilenceS: 2.4, silenceS: 0.8, maxSegmentS: 20 };

/** Return why the stream's segment ends here, "idle", "silence" or "max_length", or null. */
export function endpoint({ silenceS, segmentS, hasText }, rules = RULES) {
  if (hasText && silenceS >= rules.silenceS) return "silence";
  if (!hasText && silenceS >= rules.idleSilenceS) return "idle";
  if (segmentS >= rules.maxSegmentS) return "max_length";
  return null;
}
