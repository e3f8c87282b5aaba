/** A message as it came over the wire. Decodes only what is asked for. */

const EMPTY = Buffer.alloc(0);

/** What readers of one message see. */
export interface WireMessage {
  readonly subject: string;
  /** Empty when the sender wants no answer. */
  readonly reply: string;
  readonly data: Buffer;
  readonly headers: WireHeaders | undefined;
}

/** Headers of a message (ADR-4 of NATS): a status line, then names and values. */
export class WireHeaders {
  readonly #text: string;

  constructor(bytes: Buffer) {
    this.#text = bytes.toString("utf8");
  }

  /** The status that servers send in place of a message, 0 when there is none. */
  get code(): number {
    const code = Number(
      this.#text.slice("NATS/1.0".length, this.#text.indexOf("\r\n")).trim().split(" ", 1)[0],
    );
    return Number.isInteger(code) ? code : 0;
  }

  /** The first value of a name, empty when there is none. */
  get(name: string): string {
    const at = this.#text.indexOf(`\r\n${name}:`);
    if (at < 0) return "";
    const start = at + name.length + 3;
    return this.#text.slice(start, this.#text.indexOf("\r\n", start)).trim();
  }

  has(name: string): boolean {
    return this.#text.includes(`\r\n${name}:`);
  }
}

/**
 * Encodes a header block. Names and values are the caller's; line breaks in them are refused.
 * @throws RangeError for a line break, which would forge another header
 */
export function encodeHeaders(fields: Readonly<Record<string, string>>): Buffer {
  let text = "NATS/1.0\r\n";
  for (const [name, value] of Object.entries(fields)) {
    if (/[\r\n:]/.test(name) || /[\r\n]/.test(value))
      throw new RangeError(`"${name}" is not fit for a header`);
    text += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, "utf8");
}

export { EMPTY };
