/** The token by which a device finds its session again: who made it, and a secret. */

const SECRET_BYTES = 16;
const NUMBERS_BYTES = 6 + 6;
const MAX_INSTANCE_BYTES = 255;

/** What a token says; only the secret proves anything. */
export interface ResumeToken {
  readonly instance: string;
  readonly incarnation: number;
  readonly session: number;
  readonly secret: Buffer;
}

/** Length of the instance name, the name, incarnation and session (48 bits each), secret. */
export function encodeResumeToken(token: ResumeToken): Buffer {
  const name = Buffer.from(token.instance).subarray(0, MAX_INSTANCE_BYTES);
  const out = Buffer.alloc(1 + name.length + NUMBERS_BYTES + SECRET_BYTES);
  out[0] = name.length;
  let at = 1 + name.copy(out, 1);
  at = out.writeUIntBE(token.incarnation, at, 6);
  at = out.writeUIntBE(token.session, at, 6);
  token.secret.copy(out, at);
  return out;
}

/** Undefined for bytes that are no token. */
export function tryDecodeResumeToken(bytes: Buffer): ResumeToken | undefined {
  const nameBytes = bytes[0] ?? 0;
  if (nameBytes === 0 || bytes.length !== 1 + nameBytes + NUMBERS_BYTES + SECRET_BYTES) return undefined;
  const at = 1 + nameBytes;
  return {
    instance: bytes.toString("utf8", 1, at),
    incarnation: bytes.readUIntBE(at, 6),
    session: bytes.readUIntBE(at + 6, 6),
    secret: Buffer.from(bytes.subarray(at + NUMBERS_BYTES)),
  };
}
