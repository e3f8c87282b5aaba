/** Publishing for others than Myelin: subjects of an operator's choice, with headers. */
import { AppError, withDeadline } from "@myelin/kernel";
import { jetstreamManager } from "@nats-io/jetstream";
import type { Bus } from "../api.js";
import { busError, jetStreamError } from "./errors.js";
import { type NatsBus, natsBusOf } from "./nats-bus.js";
import type { WireMessage } from "./wire/message.js";

/** One message. Names and values of headers must be fit for a header line: printable ASCII. */
export interface ExternalMessage {
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** Subjects outside of Myelin's own. */
export interface ExternalSubjects {
  /** Core NATS; false when it was not sent. */
  publish(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): boolean;
  /** Resolves when everything published so far has reached the server. @throws AppError `bus.disconnected`, `bus.timeout` */
  flush(): Promise<void>;
  /** True when a stream of this NATS takes what is published on a subject and confirms it. @throws AppError `bus.*` */
  isStored(subject: string): Promise<boolean>;
  /**
   * Publishes on a subject that a stream takes, and waits until the stream has answered for every message: undefined for one
   * that is stored, else why not; `bus.no_responders` where no stream takes the subject any more.
   * @throws AppError `bus.disconnected`, `bus.timeout`: some may be stored, and it does no harm to store all of them again
   * under the same `Nats-Msg-Id`
   */
  store(subject: string, messages: readonly ExternalMessage[]): Promise<readonly (AppError | undefined)[]>;
}

const ANSWER_TIMEOUT_MS = 5_000;
/** Messages without an answer per call; the server refuses what waits in a stream beyond 10,000. */
const MAX_UNANSWERED = 512;

/** The bus's connection, for messages to the outside. */
export function externalSubjects(bus: Bus): ExternalSubjects {
  const nats = natsBusOf(bus);
  const receipts = new Receipts(nats);
  return {
    publish: (subject, data, fields) => nats.publishWithHeaders(subject, data, fields),
    flush: () => bus.flush(),
    async isStored(subject) {
      try {
        const options = { checkAPI: false, timeout: ANSWER_TIMEOUT_MS };
        const { streams } = await jetstreamManager(nats.client, options);
        for (const name of await streams.names(subject).next()) {
          if ((await streams.info(name)).config.no_ack !== true) return true;
        }
        return false;
      } catch (thrown) {
        throw busError(thrown, `cannot find out whether a stream takes ${subject}`);
      }
    },
    async store(subject, messages) {
      const outcomes: (AppError | undefined)[] = [];
      for (let at = 0; at < messages.length; at += MAX_UNANSWERED) {
        outcomes.push(...(await receipts.store(subject, messages.slice(at, at + MAX_UNANSWERED))));
      }
      return outcomes;
    },
  };
}

interface Group {
  readonly outcomes: (AppError | undefined)[];
  readonly answered: Uint8Array;
  left: number;
  readonly done: () => void;
}

/** One inbox for the answers to all groups of messages. */
class Receipts {
  readonly #bus: NatsBus;
  readonly #groups = new Map<string, Group>();
  #inbox: string | undefined;
  #next = 0;

  constructor(bus: NatsBus) {
    this.#bus = bus;
  }

  async store(
    subject: string,
    messages: readonly ExternalMessage[],
  ): Promise<readonly (AppError | undefined)[]> {
    if (messages.length === 0) return [];
    this.#inbox ??= this.#listen();
    const token = String(this.#next++);
    const { promise, resolve: done } = Promise.withResolvers<void>();
    const { length } = messages;
    const group = {
      outcomes: new Array<AppError | undefined>(length),
      answered: new Uint8Array(length),
      left: length,
      done,
    };
    this.#groups.set(token, group);
    const what = `the answers of the stream that takes ${subject}`;
    const limit = { clock: this.#bus.clock, code: "bus.timeout", what } as const;
    try {
      messages.forEach(({ data, headers }, i) => {
        const reply = `${this.#inbox}.${token}.${i}`;
        if (this.#bus.publishWithHeaders(subject, data, headers, reply)) return;
        throw new AppError("bus.disconnected", `NATS takes nothing for ${subject} at the moment`);
      });
      await withDeadline(undefined, ANSWER_TIMEOUT_MS, () => promise, limit);
    } finally {
      this.#groups.delete(token);
    }
    return group.outcomes;
  }

  #listen(): string {
    const inbox = this.#bus.newInbox();
    this.#bus.subscribeRaw(`${inbox}.*.*`, (message) => {
      const [token = "", index] = message.subject.slice(inbox.length + 1).split(".");
      const group = this.#groups.get(token);
      if (group !== undefined) settle(group, Number(index), message);
    });
    return inbox;
  }
}

function settle(group: Group, index: number, message: WireMessage): void {
  const outcome = outcomeOf(message);
  if (outcome === "other" || group.answered[index] !== 0) return;
  group.answered[index] = 1;
  group.outcomes[index] = outcome;
  if (--group.left === 0) group.done();
}

/** `other`: of somebody else who listens on the subject and answers, too. */
function outcomeOf(message: WireMessage): AppError | undefined | "other" {
  const what = "the stream refused a message";
  if (message.data.length === 0) {
    return message.headers?.code === 503 ? new AppError("bus.no_responders", "no stream listens") : "other";
  }
  try {
    const body: unknown = JSON.parse(message.data.toString("utf8"));
    const { stream, error } = body as { stream?: unknown; error?: Partial<Record<string, unknown>> };
    if (typeof error === "object") {
      return jetStreamError(Number(error.err_code), Number(error.code), what, String(error.description));
    }
    return typeof stream === "string" ? undefined : "other";
  } catch {
    return "other";
  }
}
