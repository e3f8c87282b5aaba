/** SCRAM-SHA-256 (RFC 5802, RFC 7677) on the server's side: what is stored of a password, and one exchange. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

export const SCRAM_SHA_256 = "SCRAM-SHA-256";

/** Four times what RFC 7677 asks for at least; the client computes it, on whatever it has. */
const ITERATIONS = 16_384;
/** More would be a burden that a client refuses, or cannot bear. */
const MAX_ITERATIONS = 1_000_000;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
const NONCE_BYTES = 18;
const FORM =
  /^SCRAM-SHA-256\$(\d{4,7}):([A-Za-z0-9+/]{8,128}={0,2})\$([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{43}=)$/;

/** What the server keeps: it proves a password and is none. */
export interface ScramVerifier {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

const derive = promisify(pbkdf2);
const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const hash = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** The line for a users file, as PostgreSQL writes it: `SCRAM-SHA-256$iterations:salt$storedKey:serverKey`. */
export async function scramVerifier(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await derive(password.normalize("NFKC"), salt, ITERATIONS, KEY_BYTES, "sha256");
  const stored = hash(hmac(salted, "Client Key")).toString("base64");
  const server = hmac(salted, "Server Key").toString("base64");
  return `${SCRAM_SHA_256}$${ITERATIONS}:${salt.toString("base64")}$${stored}:${server}`;
}

/** Undefined when the text is no such line. */
export function tryParseVerifier(text: string): ScramVerifier | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const iterations = Number(match[1]);
  if (iterations < 4096 || iterations > MAX_ITERATIONS) return undefined;
  const [salt, storedKey, serverKey] = match.slice(2, 5).map((part) => Buffer.from(part, "base64"));
  return { iterations, salt: salt!, storedKey: storedKey!, serverKey: serverKey! };
}

/** For a name that nobody has: the same for the same name, so that names cannot be told by it. Nothing proves it. */
export function strangersVerifier(secret: Uint8Array, name: string): ScramVerifier {
  const salt = hmac(secret, name).subarray(0, SALT_BYTES);
  return {
    iterations: ITERATIONS,
    salt,
    storedKey: randomBytes(KEY_BYTES),
    serverKey: randomBytes(KEY_BYTES),
  };
}

/** Printable ASCII without the comma. */
const NONCE = "[!-+\\--~]+";
const CLIENT_FIRST = new RegExp(`^([ny]),(?:a=[^,]*)?,(n=([^,]+),r=(${NONCE})(?:,[^,]+)*)$`, "u");
const CLIENT_FINAL = new RegExp(
  `^(c=([A-Za-z0-9+/=]+),r=(${NONCE})(?:,[^,]+)*),p=([A-Za-z0-9+/]{43}=)$`,
  "u",
);

/** What the client has said first. */
export interface ClientFirst {
  readonly name: string;
  readonly nonce: string;
  /** As it said it, without the part that says whether it binds to a channel. */
  readonly bare: string;
  /** That part. */
  readonly header: string;
}

/** Undefined for what is none, for a binding to a channel, which is not offered, and for extensions that must be understood. */
export function readClientFirst(data: Uint8Array): ClientFirst | undefined {
  const text = Buffer.from(data).toString("utf8");
  const match = CLIENT_FIRST.exec(text);
  if (match === null || /=(?!2C|3D)/u.test(match[3]!)) return undefined;
  const bare = match[2]!;
  const name = match[3]!.replaceAll("=2C", ",").replaceAll("=3D", "=");
  return { name, nonce: match[4]!, bare, header: text.slice(0, text.length - bare.length) };
}

/** The rest of an exchange, once the verifier is known. */
export class ScramExchange {
  /** For the client. */
  readonly serverFirst: string;
  private readonly nonce: string;

  constructor(
    private readonly first: ClientFirst,
    private readonly verifier: ScramVerifier,
    ownNonce: string = randomBytes(NONCE_BYTES).toString("base64"),
  ) {
    this.nonce = first.nonce + ownNonce;
    this.serverFirst = `r=${this.nonce},s=${verifier.salt.toString("base64")},i=${verifier.iterations}`;
  }

  /** What proves the server to the client; undefined when the client has not proved itself. */
  finish(data: Uint8Array): string | undefined {
    const match = CLIENT_FINAL.exec(Buffer.from(data).toString("utf8"));
    if (match === null) return undefined;
    const [, withoutProof, header, nonce, proof] = match;
    if (nonce !== this.nonce) return undefined;
    if (header !== Buffer.from(this.first.header).toString("base64")) return undefined;
    const { storedKey, serverKey } = this.verifier;
    const message = `${this.first.bare},${this.serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, message);
    const clientKey = Buffer.from(proof!, "base64").map((byte, i) => byte ^ signature[i]!);
    if (!timingSafeEqual(hash(clientKey), storedKey)) return undefined;
    return `v=${hmac(serverKey, message).toString("base64")}`;
  }
}
