/** Which bytes are a path. */
import { isUtf8 } from "node:buffer";

const MAX_PATH_BYTES = 65_535;

/** True for a topic name in UTF-8: not empty, no NUL, no wildcard. */
export function isPath(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end || end - start > MAX_PATH_BYTES) return false;
  let ascii = true;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c === 0 || c === 0x23 || c === 0x2b) return false;
    if (c > 0x7f) ascii = false;
  }
  return ascii || isUtf8(bytes.subarray(start, end));
}
