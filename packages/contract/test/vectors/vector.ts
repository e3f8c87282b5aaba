/** The shape of the files in `proto/vectors`. */

/** Bytes that every implementation reads as `message`. `canonical`: an encoder that writes fields in order makes the same bytes. */
export interface GoodCase {
  readonly name: string;
  readonly canonical: boolean;
  readonly bytes: string;
  /** In the JSON mapping of Protobuf, 64-bit numbers as numbers, bytes as base64, what is not set left out. */
  readonly message: unknown;
}

/** Bytes that every implementation of Myelin refuses with `error`. */
export interface BadCase {
  readonly name: string;
  readonly bytes: string;
  readonly error: string;
  /** False: a general Protobuf decoder may let it pass, readers on the hot path do not. */
  readonly plain: boolean;
}

/** What ts-proto generates, as far as vectors need it. */
export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
  toJSON(message: T): unknown;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const bytes = (text: string): Buffer => Buffer.from(text, "hex");

/** A case whose bytes the generated encoder makes; `wrap` puts a frame around them. */
export function good<T>(
  codec: Codec<T>,
  name: string,
  message: T,
  wrap: (body: Buffer) => Buffer = (body) => body,
): GoodCase {
  const body = Buffer.from(codec.encode(message).finish());
  return { name, canonical: true, bytes: hex(wrap(body)), message: codec.toJSON(message) };
}

/** A case with bytes of another origin. */
export function readable<T>(
  codec: Codec<T>,
  name: string,
  body: Buffer,
  wrap: (body: Buffer) => Buffer = (b) => b,
): GoodCase {
  return { name, canonical: false, bytes: hex(wrap(body)), message: codec.toJSON(codec.decode(body)) };
}

export function bad(name: string, hexBytes: string, error: string, plain = true): BadCase {
  return { name, bytes: hexBytes, error, plain };
}

/** A length-delimited field. */
export function field(tag: number, body: Uint8Array): Buffer {
  const head = [tag];
  let rest = body.length;
  for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...head, rest]), body]);
}
