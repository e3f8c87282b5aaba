/** Where a page of an answer ended, as a cursor; the order of series. Imports nothing, so that threads can load it alone. */

/** Behind a reading, or behind a stretch of time of a series. */
export interface Position {
  readonly timeUs: number;
  readonly path: string;
  readonly point: string;
  readonly ref: number;
}

/** What `tryDecodePosition` reads. */
export function encodePosition({ timeUs, path, point, ref }: Position): string {
  return Buffer.from(JSON.stringify([timeUs, path, point, ref])).toString("base64url");
}

/** Undefined: it is none that `encodePosition` has made. */
export function tryDecodePosition(text: string): Position | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length !== 4) return undefined;
  const [timeUs, path, point, ref] = parts as unknown[];
  const isWhole = Number.isSafeInteger(timeUs) && Number.isSafeInteger(ref);
  if (!isWhole || typeof path !== "string" || typeof point !== "string") return undefined;
  return { timeUs: timeUs as number, path, point, ref: ref as number };
}

/** By path, then point, code unit by code unit. */
export function bySeries(
  a: { readonly path: string; readonly point: string },
  b: { readonly path: string; readonly point: string },
): number {
  return compare(a.path, b.path) || compare(a.point, b.point);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Largest reference, see `toReference`. */
export const MAX_REF = Number.MAX_SAFE_INTEGER;

/** Behind which time and reference a range of one of several series goes on. */
export function afterOf(
  series: { readonly path: string; readonly point: string },
  query: { readonly order: "ascending" | "descending"; readonly fromUs: number; readonly toUs: number },
  start: Position | undefined,
): { readonly timeUs: number; readonly ref: number } {
  const isUp = query.order === "ascending";
  const none = isUp ? -1 : MAX_REF;
  if (start === undefined) return { timeUs: isUp ? query.fromUs : query.toUs - 1, ref: none };
  // Series that come before the cursor's are done with at its time, those after it are not.
  const side = (isUp ? 1 : -1) * bySeries(series, start);
  if (side === 0) return start;
  return { timeUs: start.timeUs, ref: side > 0 ? none : isUp ? MAX_REF : -1 };
}
