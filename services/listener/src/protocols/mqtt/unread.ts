/** Counts the messages in bytes that nobody is going to read. */

const PUBLISH = 3;

/** Whole PUBLISH packets, by lane: QoS 0, and above. What stands behind a packet that is broken, or has not come whole, is not counted. */
export function countPublishes(bytes: Buffer): { readonly telemetry: number; readonly event: number } {
  let telemetry = 0;
  let event = 0;
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]!;
    let length = 0;
    let used = 1;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at + used++];
      if (byte === undefined || used > 5) return { telemetry, event };
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    at += used + length;
    if (at > bytes.length) break;
    if (first >>> 4 !== PUBLISH) continue;
    if ((first & 0x06) === 0) telemetry += 1;
    else event += 1;
  }
  return { telemetry, event };
}
