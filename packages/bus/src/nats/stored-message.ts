/** Stores one message in a stream over the wire. The official client needs several times the work for each, and makes an error with a stack beforehand. */
import { AppError } from "@myelin/kernel";
import { MESSAGE_OVERHEAD_BYTES } from "../links.js";
import { busError, jetStreamError } from "./errors.js";
import type { NatsBus } from "./nats-bus.js";

/** What the stream answers to a publish. */
interface StoreAnswer {
  readonly seq?: number;
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

/** The newest message of the subject must be this one; 0: there must be none. */
export function expectLast(sequence: number): Readonly<Record<string, string>> {
  return { "Nats-Expected-Last-Subject-Sequence": String(sequence) };
}

/**
 * Resolves with the sequence when the stream has stored it. Without an answer nobody knows.
 * @param fields headers that say how it is to be stored
 * @throws AppError `bus.*`, among them `bus.conflict` where something else was expected
 */
export async function storeMessage(
  bus: NatsBus,
  subject: string,
  data: Uint8Array,
  fields: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<number> {
  const what = `cannot store ${data.length} bytes on ${subject}`;
  if (bus.connected && data.length + MESSAGE_OVERHEAD_BYTES > bus.maxPayloadBytes)
    throw new AppError("bus.too_large", `${what}: NATS takes ${bus.maxPayloadBytes} at once`);
  let text: string;
  try {
    text = Buffer.from(await bus.requestWithHeaders(subject, data, fields, timeoutMs)).toString("utf8");
  } catch (thrown) {
    throw asBusError(thrown, what);
  }
  const { seq, error } = JSON.parse(text) as StoreAnswer;
  if (error !== undefined) throw jetStreamError(error.err_code, error.code, what, error.description);
  if (seq === undefined) throw new AppError("bus.refused", `${what}: the answer names no sequence`);
  return seq;
}

/** Requests of services and of streams fail with different words. */
function asBusError(thrown: unknown, what: string): AppError {
  const error = busError(thrown, what);
  if (error.code === "request.no_responder")
    return new AppError("bus.stream_unavailable", what, { cause: error });
  return error.code === "request.timeout" ? new AppError("bus.timeout", what, { cause: error }) : error;
}
