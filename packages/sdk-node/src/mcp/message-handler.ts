/** Turns an application's values into MCP messages and back, one message type at a time. */
import {
  codecForContentType,
  type McpMessageInit,
  type PayloadCodecName,
  payloadCodecs,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { check, checkFunction, checkText } from "../check.js";

/** One way in which values of a type are written; a handler may know several. */
export interface PayloadFormat<T> {
  readonly contentType: string;
  /** Other content types that are read in the same way. */
  accepts?(contentType: string): boolean;
  encode(value: T): Uint8Array;
  /** @throws AppError `contract.bad_payload` for bytes that are no such value */
  decode(payload: Uint8Array): T;
}

/** What a handler reads: an `McpMessage` of a device, or a message that an application received. */
export interface Parsable {
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly type?: string | undefined;
}

/** The part of a message that a handler writes; `send` of the client takes it apart. */
export type Serialized = Required<Pick<McpMessageInit, "type" | "payload" | "contentType">>;

/**
 * Reads and writes messages of one type. The first format is the one it writes, unless another is asked for; it reads all of
 * them by their content type, and takes a message without one for the first.
 */
export class MCPMessageHandler<T> {
  readonly type: string;
  readonly #formats: readonly [PayloadFormat<T>, ...PayloadFormat<T>[]];

  constructor(type: string, ...formats: [PayloadFormat<T>, ...PayloadFormat<T>[]]) {
    checkText("MCPMessageHandler", "the message type", type);
    check(formats.length > 0, `the handler of ${type} needs a format to write and read`);
    this.type = type;
    this.#formats = formats;
  }

  /** @throws AppError `contract.bad_payload` for a content type that this handler does not write, or what its format throws */
  serialize(value: T, contentType: string = this.#formats[0].contentType): Serialized {
    const format = this.#formatOf(contentType);
    return { type: this.type, payload: format.encode(value), contentType: format.contentType };
  }

  /** @throws AppError `contract.bad_payload` for another type, an unknown content type, or bytes that are no such value */
  parse(message: Parsable): T {
    check(
      typeof message === "object" && message?.payload instanceof Uint8Array,
      `parse of ${this.type} takes a message with payload and contentType`,
    );
    if (message.type !== undefined && message.type !== this.type) {
      throw new AppError(
        "contract.bad_payload",
        `a message of type ${message.type} where ${this.type} is expected`,
      );
    }
    const format = message.contentType === "" ? this.#formats[0] : this.#formatOf(message.contentType);
    return format.decode(message.payload);
  }

  #formatOf(contentType: string): PayloadFormat<T> {
    const found = this.#formats.find((f) => f.contentType === contentType || f.accepts?.(contentType));
    if (found !== undefined) return found;
    throw new AppError("contract.bad_payload", `${this.type} is not known as ${contentType}`);
  }
}

/**
 * A format over JSON or MessagePack.
 * @param toValue turns a decoded value into the application's, or throws AppError `contract.bad_payload`
 */
export function structuredFormat<T>(
  codec: Exclude<PayloadCodecName, "raw">,
  toValue: (value: unknown) => T,
): PayloadFormat<T> {
  check(Object.hasOwn(payloadCodecs, codec), `${codec} is no format: give json or msgpack`);
  checkFunction("structuredFormat", toValue);
  const { contentType, decode, encode } = payloadCodecs[codec];
  return {
    contentType,
    accepts: (other) => codecForContentType(other)?.name === codec,
    encode: (value) => encode(value),
    decode: (payload) => toValue(decode(payload)),
  };
}
