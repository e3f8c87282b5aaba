/** Stores single batches in a stream: what overflows, what nobody wants, what must be remembered. */
import { jetstream } from "@nats-io/jetstream";
import type { Bus, StreamWriter } from "../api.js";
import { busError } from "./errors.js";
import { natsBusOf } from "./nats-bus.js";

const ANSWER_TIMEOUT_MS = 5_000;

/** A writer on the bus's connection; several stores may be under way at once, and the stream keeps them in order of calling. */
export function createStreamWriter(bus: Bus): StreamWriter {
  const nats = natsBusOf(bus);
  return {
    async store(subject, data, messageId) {
      try {
        const options = { msgID: messageId, timeout: ANSWER_TIMEOUT_MS };
        return (await jetstream(nats.client).publish(subject, data, options)).seq;
      } catch (thrown) {
        throw busError(thrown, `cannot store ${data.length} bytes on ${subject}`);
      }
    },
  };
}
