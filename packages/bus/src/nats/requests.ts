/** Requests and answers, with errors that cross the wire. */

import { AppError, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { busError } from "./errors.js";
import type { NatsBus } from "./nats-bus.js";
import type { WireMessage } from "./wire/message.js";

/** Present on an answer that is an error: its code; the body is the JSON of a wire error. */
const ERROR_HEADER = "Myelin-Error";
/** After the first answer, silence of this length ends a request to many. */
const STALL_MS = 150;
const NO_RESPONDERS = 503;
/** More requests than this at once are refused: an answer that comes too late helps nobody. */
const MAX_RUNNING = 4096;

/** One request, one answer; all requests of a bus share one subscription. */
export class Requests {
  readonly #bus: NatsBus;
  readonly #waiting = new Map<string, (message: WireMessage) => void>();
  #inbox: string | undefined;
  #next = 0;

  constructor(bus: NatsBus) {
    this.#bus = bus;
  }

  /** @throws AppError as `Bus.request` says */
  async ask(
    subject: string,
    data: Uint8Array,
    timeoutMs: number,
    fields?: Readonly<Record<string, string>>,
  ): Promise<Uint8Array> {
    const { clock } = this.#bus;
    this.#inbox ??= this.#listen();
    const token = String(this.#next++);
    const { promise, resolve, reject } = Promise.withResolvers<WireMessage>();
    const late = clock.setTimeout(
      () => reject(new AppError("request.timeout", `no answer on ${subject} within ${timeoutMs} ms`)),
      timeoutMs,
    );
    this.#waiting.set(token, resolve);
    try {
      const reply = `${this.#inbox}.${token}`;
      const isSent =
        fields === undefined
          ? this.#bus.publish(subject, data, reply)
          : this.#bus.publishWithHeaders(subject, data, fields, reply);
      if (!isSent) {
        throw new AppError("bus.disconnected", `the request on ${subject} could not be sent: NATS is away`);
      }
      const message = await promise;
      const { headers } = message;
      if (headers?.code === NO_RESPONDERS && message.data.length === 0) {
        throw new AppError("request.no_responder", `nobody answers on ${subject}`);
      }
      if (headers?.has(ERROR_HEADER)) throw wireError(message);
      return message.data;
    } finally {
      this.#waiting.delete(token);
      clock.clear(late);
    }
  }

  #listen(): string {
    const inbox = this.#bus.newInbox();
    this.#bus.subscribeRaw(`${inbox}.*`, (message) => {
      // An answer that came too late has nobody who waits.
      this.#waiting.get(message.subject.slice(inbox.length + 1))?.(message);
    });
    return inbox;
  }
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
    if (!bus.publish(subject, data, inbox)) throw new AppError("bus.disconnected", "NATS is away");
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

function wireError(message: WireMessage): AppError {
  try {
    return AppError.fromWire(JSON.parse(message.data.toString("utf8")));
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
  bus: NatsBus,
  answerer: Answerer,
  message: WireMessage,
  handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
): Promise<void> {
  if (answerer.running >= MAX_RUNNING) {
    const refusal = new AppError("queue.full", `${MAX_RUNNING} requests are being answered already`);
    respond(bus, message, refusal);
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
  respond(bus, message, outcome);
}

/** An answer that cannot be sent is left out: the asker's deadline tells it, and there is nobody else to tell. */
function respond(bus: NatsBus, { reply }: WireMessage, outcome: Uint8Array | AppError): void {
  if (reply === "") return;
  if (!AppError.is(outcome)) bus.publish(reply, outcome);
  else {
    const body = Buffer.from(JSON.stringify(outcome.toWire()));
    bus.publishWithHeaders(reply, body, { [ERROR_HEADER]: outcome.code });
  }
}
