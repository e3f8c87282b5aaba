/** Fetching what is pinned, and refusing everything else. */
import { createHash } from "node:crypto";
import { SetupFailure } from "./failure.mjs";

const DOWNLOAD_MS = 120_000;
// Several times the largest thing that is fetched; a server that sends without end must not fill the memory.
const MAX_BYTES = 128 * 1024 * 1024;

/**
 * @param {{ url: string, sha256: string }} pin
 * @param {string} what completes "the download of …"
 * @param {{ timeoutMs?: number, maxBytes?: number }} [limits]
 * @returns {Promise<Buffer>} bytes that have the pinned digest
 * @throws {SetupFailure} naming the host where it answers with something else; an error of `fetch` where it does not answer
 */
export async function download(pin, what, { timeoutMs = DOWNLOAD_MS, maxBytes = MAX_BYTES } = {}) {
  const { host } = new URL(pin.url);
  const response = await fetch(pin.url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new SetupFailure(`${host} answered ${response.status} for ${what}.`);
  }
  /** @type {Uint8Array[]} */
  const pieces = [];
  let size = 0;
  for await (const piece of response.body) {
    size += piece.length;
    if (size > maxBytes) throw new SetupFailure(`${host} sends more for ${what} than it can be.`);
    pieces.push(piece);
  }
  return checked(Buffer.concat(pieces), pin.sha256, what);
}

/**
 * @param {Buffer} bytes
 * @param {string} sha256 hexadecimal
 * @param {string} what completes "the download of …"
 * @throws {SetupFailure} when the bytes are not the pinned ones
 */
export function checked(bytes, sha256, what) {
  const digest = createHash("sha256").update(bytes).digest("hex");
  if (digest === sha256) return bytes;
  throw new SetupFailure(
    `The download of ${what} is damaged or not the pinned one (SHA-256 ${digest.slice(0, 12)}…); nothing was kept.`,
  );
}
