/** Stores single batches in a stream: what overflows, what nobody wants, what must be remembered. */
import type { Bus, StreamWriter } from "../api.js";
import { natsBusOf } from "./nats-bus.js";
import { storeMessage } from "./stored-message.js";

const ANSWER_TIMEOUT_MS = 5_000;

/** A writer on the bus's connection; several stores may be under way at once, and the stream keeps them in order of calling. */
export function createStreamWriter(bus: Bus): StreamWriter {
  const nats = natsBusOf(bus);
  return {
    store: (subject, data, messageId) =>
      storeMessage(nats, subject, data, { "Nats-Msg-Id": messageId }, ANSWER_TIMEOUT_MS),
  };
}
