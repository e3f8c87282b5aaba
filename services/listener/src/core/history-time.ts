/** How people name a time. */
import { parseDurationMs } from "@myelin/config";

const FRACTION = /\.(\d+)(?=(?:z|[+-]\d\d:?\d\d)?$)/i;

/**
 * Microseconds since the Unix epoch of a time such as 2030-01-31T12:00:00.123456Z, of a duration before now such as 10m, or of `now`;
 * undefined when it is none of these.
 */
export function parseTimeUs(text: string, nowUs: number): number | undefined {
  if (text === "now") return nowUs;
  if (/^[+-]?\d{4,6}-/.test(text)) {
    const [, digits = ""] = FRACTION.exec(text) ?? [];
    const us = Date.parse(text.replace(FRACTION, "")) * 1_000 + Number(digits.slice(0, 6).padEnd(6, "0"));
    return Number.isSafeInteger(us) ? us : undefined;
  }
  try {
    const us = nowUs - parseDurationMs(text) * 1_000;
    return Number.isSafeInteger(us) ? us : undefined;
  } catch {
    // Neither a time nor a duration: the caller says where it stands.
    return undefined;
  }
}
