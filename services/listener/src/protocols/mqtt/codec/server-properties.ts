/** Properties of what a server sends beside PUBLISH: few, rare, and written from plain fields. */
import { type Outbox, varintBytes } from "./outbox.js";
import { PROPERTY } from "./packets.table.js";

/** Absent: not sent. */
export interface ServerProperties {
  /** Seconds, when the client asked for more than the server keeps. */
  readonly sessionExpiry?: number | undefined;
  /** Set when the client gave none. */
  readonly assignedClientId?: string | undefined;
  /** Seconds, when the server wants another keep alive than the client asked for. */
  readonly serverKeepAlive?: number | undefined;
  readonly authMethod?: string | undefined;
  readonly authData?: Uint8Array | undefined;
  readonly responseInformation?: string | undefined;
  readonly serverReference?: string | undefined;
  readonly reasonString?: string | undefined;
  readonly receiveMaximum?: number | undefined;
  readonly topicAliasMaximum?: number | undefined;
  /** Bytes of the largest packet the server takes. */
  readonly maximumPacketSize?: number | undefined;
}

const NAMES = [
  "sessionExpiry",
  "assignedClientId",
  "serverKeepAlive",
  "authMethod",
  "authData",
  "responseInformation",
  "serverReference",
  "reasonString",
  "receiveMaximum",
  "topicAliasMaximum",
  "maximumPacketSize",
] as const satisfies readonly (keyof ServerProperties)[];

/** Those that are written as four bytes; other numbers take two. */
const FOUR_BYTES: ReadonlySet<string> = new Set(["sessionExpiry", "maximumPacketSize"]);

export const NO_SERVER_PROPERTIES: ServerProperties = {};

/** Bytes of the properties without their length. */
function bytesOf(properties: ServerProperties): number {
  let bytes = 0;
  for (const name of NAMES) {
    const value = properties[name];
    if (value === undefined) continue;
    if (typeof value === "number") bytes += 1 + (FOUR_BYTES.has(name) ? 4 : 2);
    else bytes += 3 + (typeof value === "string" ? Buffer.byteLength(value) : value.length);
  }
  return bytes;
}

/** Bytes of the properties with their length. */
export function serverPropertiesSize(properties: ServerProperties): number {
  const bytes = bytesOf(properties);
  return varintBytes(bytes) + bytes;
}

/** Appends length and properties; room must have been reserved. */
export function writeServerProperties(out: Outbox, properties: ServerProperties): void {
  out.varint(bytesOf(properties));
  for (const name of NAMES) {
    const value = properties[name];
    if (value === undefined) continue;
    out.byte(PROPERTY[name]);
    if (typeof value === "string") out.text(value, Buffer.byteLength(value));
    else if (typeof value !== "number") {
      out.uint16(value.length);
      out.raw(value, 0, value.length);
    } else if (FOUR_BYTES.has(name)) out.uint32(value);
    else out.uint16(value);
  }
}
