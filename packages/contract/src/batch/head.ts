/** The head of an envelope: everything routing looks at, encoded once per channel and compared as bytes. */
import type { Kind, Protocol } from "../generated/myelin/envelope/v1/envelope.js";
import { FIELD } from "./layout.js";
import { varintSize, writeVarint } from "./varint.js";

/** Decoded head. Empty strings and UNSPECIFIED mean "not set"; the empty tenant is the default one. */
export interface Head {
  readonly tenant: string;
  readonly deviceId: string;
  readonly path: string;
  readonly kind: Kind;
  readonly protocol: Protocol;
  readonly contentType: string;
  readonly port: string;
  readonly profile: string;
}

/** The head with nothing set. */
export const EMPTY_HEAD: Head = {
  tenant: "",
  deviceId: "",
  path: "",
  kind: 0,
  protocol: 0,
  contentType: "",
  port: "",
  profile: "",
};

/**
 * Encodes the head fields in field order, without channel. Allocates; meant for once per channel.
 * Kinds and protocols below 0, which no version has, are left out.
 */
export function encodeHead(head: Head): Buffer {
  const parts: readonly [number, string | number][] = [
    [FIELD.tenant, head.tenant],
    [FIELD.deviceId, head.deviceId],
    [FIELD.path, head.path],
    [FIELD.kind, head.kind],
    [FIELD.protocol, head.protocol],
    [FIELD.contentType, head.contentType],
    [FIELD.port, head.port],
    [FIELD.profile, head.profile],
  ];
  let size = 0;
  for (const [, value] of parts) {
    if (typeof value === "number") size += value > 0 ? 1 + varintSize(value) : 0;
    else if (value !== "") {
      const bytes = Buffer.byteLength(value);
      size += 1 + varintSize(bytes) + bytes;
    }
  }
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [field, value] of parts) {
    if (typeof value === "number") {
      if (value <= 0) continue;
      out[at++] = field << 3;
      at = writeVarint(out, at, value);
    } else if (value !== "") {
      out[at++] = (field << 3) | 2;
      at = writeVarint(out, at, Buffer.byteLength(value));
      at += out.write(value, at, "utf8");
    }
  }
  return out;
}
