/** Appends to a subject of a stream only behind what the writer knows of: two writers cannot both believe that they are the only one. */
import type { Bus } from "../api.js";
import { natsBusOf } from "./nats-bus.js";
import { expectLast, storeMessage } from "./stored-message.js";

/** One writer's end of many subjects. */
export interface FencedLog {
  /**
   * Stores `data` if the newest message on the subject is `after` (0: there is none); resolves with its sequence.
   * @throws AppError `bus.conflict` when it is another: somebody else has written, or an earlier try of this writer was stored although its
   * answer was lost; `bus.stream_full`, `bus.timeout`, `bus.disconnected`
   */
  append(subject: string, data: Uint8Array, after: number): Promise<number>;
}

const ANSWER_TIMEOUT_MS = 5_000;

/** A writer on the bus's connection. The stream must hold whole subjects: a message on one of them is removed only from its beginning. */
export function createFencedLog(bus: Bus): FencedLog {
  const nats = natsBusOf(bus);
  return {
    append: (subject, data, after) => storeMessage(nats, subject, data, expectLast(after), ANSWER_TIMEOUT_MS),
  };
}
