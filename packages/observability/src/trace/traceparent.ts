/** The `traceparent` header of W3C Trace Context, without a tracing library. */
import { randomBytes } from "node:crypto";

/** `traceId` is 32 and `spanId` 16 lower-case hex digits, neither all zeros. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
// Longer ones are legal from version 01 on, but nobody sends them; this bounds what a stranger makes us match.
const MAX_LENGTH = 256;

/** Undefined for everything that the specification (section 3.2) tells a receiver to ignore. */
export function tryParseTraceparent(text: string): TraceContext | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const match = TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string?,
  ];
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Version 00; flags other than sampled are not passed on, as the specification asks. */
export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? "01" : "00"}`;
}

/** The beginning of a new trace, with random ids. */
export function newTraceContext(sampled: boolean): TraceContext {
  const random = randomBytes(24).toString("hex");
  return { traceId: random.slice(0, 32), spanId: random.slice(32), sampled };
}
