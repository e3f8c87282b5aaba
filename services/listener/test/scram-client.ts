/** The client's side of SCRAM-SHA-256 (RFC 5802). */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** One attempt to log in. */
export class ScramClient {
  private message = "";
  private salted: Buffer = Buffer.alloc(0);

  constructor(
    private readonly user: string,
    private readonly password: string,
    private readonly nonce = "fyko+d2lbbFgONRv9qkxdawL",
  ) {}

  private get bare(): string {
    return `n=${this.user},r=${this.nonce}`;
  }

  first(): Buffer {
    return Buffer.from(`n,,${this.bare}`);
  }

  /** Answers the server's first message. */
  final(serverFirst: Uint8Array): Buffer {
    const text = Buffer.from(serverFirst).toString();
    const [, nonce, salt, iterations] = /^r=(.*),s=(.*),i=(\d+)$/.exec(text)!;
    this.salted = pbkdf2Sync(this.password, Buffer.from(salt!, "base64"), Number(iterations), 32, "sha256");
    const withoutProof = `c=biws,r=${nonce}`;
    this.message = `${this.bare},${text},${withoutProof}`;
    const clientKey = hmac(this.salted, "Client Key");
    const signature = hmac(createHash("sha256").update(clientKey).digest(), this.message);
    const proof = clientKey.map((byte, i) => byte ^ signature[i]!);
    return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString("base64")}`);
  }

  /** Does the server know the password? */
  trusts(serverFinal: Uint8Array): boolean {
    const signature = hmac(hmac(this.salted, "Server Key"), this.message).toString("base64");
    return Buffer.from(serverFinal).toString() === `v=${signature}`;
  }
}
