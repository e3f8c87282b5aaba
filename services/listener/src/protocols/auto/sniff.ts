/** Tells a protocol by the first bytes of a connection. */
import { MCP_MAGIC } from "@myelin/contract";

/** What was found; `more`: the bytes so far fit more than one or are too few; `unknown`: they fit none. */
export type Sniffed = "tls" | "http" | "mqtt" | "mcp" | "more" | "unknown";

/** Bytes after which every protocol is decided. */
export const MAX_SNIFF_BYTES = 16;

const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;
const MQTT_CONNECT = 0x10;
const METHODS = [
  "GET ",
  "POST ",
  "PUT ",
  "HEAD ",
  "PATCH ",
  "DELETE ",
  "OPTIONS ",
  "TRACE ",
  "CONNECT ",
  "PRI * ",
].map((method) => Buffer.from(method));
const MAGIC = Buffer.from(MCP_MAGIC);
/** Protocol names of MQTT 3.1.1 and 5, and of 3.1, with their lengths before them. */
const MQTT_NAMES = [Buffer.from("\0\x04MQTT"), Buffer.from("\0\x06MQIsdp")];

/** WebSocket is an HTTP request, so HTTP it is. */
export function sniff(b: Buffer): Sniffed {
  if (b.length === 0) return "more";
  switch (b[0]) {
    case TLS_HANDSHAKE:
      return b.length < 2 ? "more" : b[1] === TLS_MAJOR ? "tls" : "unknown";
    case MQTT_CONNECT:
      return sniffMqtt(b);
    case MAGIC[0]:
      return startsLike(b, MAGIC, 0, "mcp");
    default:
      return sniffMethod(b);
  }
}

/** CONNECT, its remaining length, the protocol's name. */
function sniffMqtt(b: Buffer): Sniffed {
  let at = 1;
  while (at < b.length && at < 5 && b[at]! > 0x7f) at += 1;
  if (at >= b.length) return b.length < 5 ? "more" : "unknown";
  if (b[at]! > 0x7f) return "unknown";
  let best: Sniffed = "unknown";
  for (const name of MQTT_NAMES) {
    const found = startsLike(b, name, at + 1, "mqtt");
    if (found === "mqtt") return found;
    if (found === "more") best = "more";
  }
  return best;
}

function sniffMethod(b: Buffer): Sniffed {
  let best: Sniffed = "unknown";
  for (const method of METHODS) {
    const found = startsLike(b, method, 0, "http");
    if (found === "http") return found;
    if (found === "more") best = "more";
  }
  return best;
}

function startsLike(b: Buffer, wanted: Buffer, at: number, found: Sniffed): Sniffed {
  const count = Math.min(wanted.length, b.length - at);
  if (b.compare(wanted, 0, count, at, at + count) !== 0) return "unknown";
  return count === wanted.length ? found : "more";
}
