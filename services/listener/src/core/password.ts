/** Passwords as they stand in a users file: scrypt with its parameters, so that stronger ones can follow. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** RFC 7914; about 50 ms and 16 MiB per check on a small machine, off the event loop. */
const COST = 16_384;
const BLOCK_SIZE = 8;
const PARALLEL = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A users file must not be able to make one login cost gigabytes. */
const MAX_COST = 2 ** 20;
const FORM =
  /^scrypt\$(\d{1,7})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/]{8,128}={0,2})\$([A-Za-z0-9+/]{16,128}={0,2})$/;

/** A parsed entry. */
export interface PasswordHash {
  readonly cost: number;
  readonly blockSize: number;
  readonly parallel: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** The line for a users file: `scrypt$cost$blockSize$parallel$salt$hash`. */
export async function hashPassword(password: Uint8Array): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const parameters = { cost: COST, blockSize: BLOCK_SIZE, parallel: PARALLEL, salt };
  const hash = await derive(password, { ...parameters, hash: Buffer.alloc(HASH_BYTES) });
  return `scrypt$${COST}$${BLOCK_SIZE}$${PARALLEL}$${salt.toString("base64")}$${hash.toString("base64")}`;
}

/** Undefined when the text is no entry, or one whose check would cost too much. */
export function tryParseHash(text: string): PasswordHash | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const cost = Number(match[1]);
  const blockSize = Number(match[2]);
  const parallel = Number(match[3]);
  const sane = cost >= 2 && (cost & (cost - 1)) === 0 && blockSize >= 1 && parallel >= 1;
  if (!sane || cost * blockSize * parallel > MAX_COST) return undefined;
  return {
    cost,
    blockSize,
    parallel,
    salt: Buffer.from(match[4]!, "base64"),
    hash: Buffer.from(match[5]!, "base64"),
  };
}

/** True when the password is the one that was hashed; runs on the thread pool. */
export async function verifyPassword(password: Uint8Array, entry: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, entry), entry.hash);
}

function derive(password: Uint8Array, entry: PasswordHash): Promise<Buffer> {
  const { cost, blockSize, parallel, salt, hash } = entry;
  // What OpenSSL itself needs beside, which is most of it where the parameters are small.
  const maxmem = 128 * cost * blockSize * parallel * 2 + 65_536;
  return new Promise((resolve, reject) => {
    scrypt(
      password,
      salt,
      hash.length,
      { cost, blockSize, parallelization: parallel, maxmem },
      (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      },
    );
  });
}
