/** Envelope ids made of the ids that senders give, by which the partition's owner removes doubles. */
import { hash } from "node:crypto";
import { ID_BYTES } from "./layout.js";

/**
 * The envelope id of a message to which its sender gave an id: the first 16 bytes of SHA-256 over tenant, NUL, device id, NUL,
 * sender's id. Goes into `EnvelopeExtras.id` together with `senderId: true`. The same in every service and language, see
 * `proto/vectors/ids.json`.
 */
export function envelopeIdOf(tenant: string, deviceId: string, id: Uint8Array | string): Buffer {
  const scope = `${tenant}\0${deviceId}\0`;
  const input = typeof id === "string" ? scope + id : Buffer.concat([Buffer.from(scope), id]);
  return hash("sha256", input, "buffer").subarray(0, ID_BYTES);
}
