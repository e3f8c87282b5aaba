/** Envelope ids from the ids that senders give, by which the partition's owner removes doubles. */
import { hash } from "node:crypto";
import { ID_BYTES } from "@myelin/contract";
import type { Identity } from "./admission.js";

/** First 16 bytes of SHA-256 over tenant, NUL, device id, NUL, id; the same in every service. */
export function senderId(identity: Identity, id: Uint8Array | string): Buffer {
  const scope = `${identity.tenant}\0${identity.deviceId}\0`;
  const input = typeof id === "string" ? scope + id : Buffer.concat([Buffer.from(scope), id]);
  return hash("sha256", input, "buffer").subarray(0, ID_BYTES);
}
