/** Requests and answers, with errors that cross the wire. */

import { AppError, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { headers, type Msg } from "@nats-io/nats-core";
import { busError, isNoResponders, isTimeout } from "./errors.js";
import type { NatsBus } from "./nats-bus.js";

/** Present on an answer that is an error: its code; the body is the JSON of a wire error. */
const ERROR_HEADER = "Myelin-Error";
/** After the first answer, silence of this length ends a request to many. */
const STALL_MS = 150;
const NO_RESPONDERS = 503;
/** More requests than this at once are refused: an answer that comes too late helps nobody. */
const MAX_RUNNING = 4096;

/** One request, one answer. */
export async function askOne(
  bus: NatsBus,
  subject: string,
  data: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  let message: Msg;
  try {
    message = await bus.client.request(subject, data, { timeout: timeoutMs });
  } catch (thrown) {
    if (isTimeout(thrown)) {
      throw new AppError("request.timeout", `no answer on ${subject} within ${timeoutMs} ms`, {
        cause: thrown,
      });
    }
    if (isNoResponders(thrown)) {
      throw new AppError("request.no_responder", `nobody answers on ${subject}`, { cause: thrown });
    }
    throw busError(thrown, `the request on ${subject} failed`);
  }
  if (message.headers?.has(ERROR_HEADER)) throw wireError(message);
  return message.data;
}

/** One request, the answers of all who answer; answers that are errors are left out. */
export async function askMany(
  bus: NatsBus,
  subject: string,
  data: Uint8Array,
  options: { timeoutMs: number; maxAnswers?: number },
): Promise<Uint8Array[]> {
  const { timeoutMs, maxAnswers = Number.POSITIVE_INFINITY } = options;
  const answers: Uint8Array[] = [];
  const inbox = bus.newInbox();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let stall: Timer | undefined;
  const unsubscribe = bus.subscribeRaw(inbox, (message) => {
    // The server answers an empty 503 for a subject without a listener.
    if (message.headers?.code === NO_RESPONDERS) end();
    else {
      if (answers.length < maxAnswers && !message.headers?.has(ERROR_HEADER)) answers.push(message.data);
      if (answers.length >= maxAnswers) end();
      bus.clock.clear(stall);
      stall = bus.clock.setTimeout(end, STALL_MS);
    }
  });
  const late = bus.clock.setTimeout(end, timeoutMs);
  try {
    bus.client.publish(subject, data, { reply: inbox });
    await ended;
  } catch (thrown) {
    throw busError(thrown, `the request on ${subject} failed`);
  } finally {
    unsubscribe();
    bus.clock.clear(stall);
    bus.clock.clear(late);
  }
  return answers;
}

function wireError(message: Msg): AppError {
  try {
    return AppError.fromWire(message.json());
  } catch (cause) {
    // A responder of another make: the header says that it failed, the body does not say how.
    return new AppError("remote.unknown", "the responder failed without a readable reason", { cause });
  }
}

/** Shared by all handlers of a bus: bounds how many run at once. */
export interface Answerer {
  readonly logger: Logger;
  running: number;
}

/** Runs the handler and answers with its result, or with its error. */
export async function answer(
  answerer: Answerer,
  message: Msg,
  handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
): Promise<void> {
  if (answerer.running >= MAX_RUNNING) {
    respond(message, new AppError("queue.full", `${MAX_RUNNING} requests are being answered already`));
    return;
  }
  answerer.running += 1;
  let outcome: Uint8Array | AppError;
  try {
    outcome = await handler(message.data, message.subject);
  } catch (thrown) {
    outcome = AppError.from(thrown);
    if (outcome.family === "ours") {
      answerer.logger.error({ err: outcome, subject: message.subject }, "a request handler failed");
    }
  } finally {
    answerer.running -= 1;
  }
  try {
    respond(message, outcome);
  } catch (thrown) {
    // The asker's deadline tells it; there is nobody else to tell.
    answerer.logger.warn({ err: thrown, subject: message.subject }, "an answer could not be sent");
  }
}

function respond(message: Msg, outcome: Uint8Array | AppError): void {
  if (!AppError.is(outcome)) {
    message.respond(outcome);
    return;
  }
  const head = headers();
  head.set(ERROR_HEADER, outcome.code);
  message.respond(Buffer.from(JSON.stringify(outcome.toWire())), { headers: head });
}
