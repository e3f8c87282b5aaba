/** Reads a stream subject by subject, without a consumer: for many small logs of which few are read at a time. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Bus } from "../api.js";
import { busError, JS_ERROR, jetStreamErrorNumber } from "./errors.js";
import { natsBusOf } from "./nats-bus.js";

/** One message of a log. */
export interface LogEntry {
  readonly sequence: number;
  readonly data: Buffer;
}

/** Streams read by subject: each subject is a log of its own, in the order of storing. */
export interface SubjectLog {
  /** Sequence of the newest message on a subject; 0 when there is none. */
  lastSequence(subject: string): Promise<number>;
  /** The oldest messages on a subject from a sequence on; may be empty though there are some, where a replica is behind. */
  read(
    subject: string,
    from: number,
    limits: { readonly messages: number; readonly bytes: number },
  ): Promise<LogEntry[]>;
  /** The subjects that hold messages and match a filter, each with their number. */
  subjects(filter: string): Promise<ReadonlyMap<string, number>>;
  /** Removes what is on a subject up to and with a sequence. */
  removeUpTo(subject: string, sequence: number): Promise<void>;
}

const ANSWER_TIMEOUT_MS = 5_000;

/** The logs that one stream holds. It must allow direct reading. */
export function createSubjectLog(bus: Bus, stream: string): SubjectLog {
  const nats = natsBusOf(bus);
  const manager = () => jetstreamManager(nats.client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
  return {
    async lastSequence(subject) {
      try {
        // Answered by the stream's leader, not by a replica that may be behind.
        const message = await (await manager()).streams.getMessage(stream, { last_by_subj: subject });
        return message?.seq ?? 0;
      } catch (thrown) {
        if (jetStreamErrorNumber(thrown) === JS_ERROR.noMessageFound) return 0;
        throw busError(thrown, `cannot find the end of ${subject}`);
      }
    },

    async read(subject, from, limits) {
      const found: LogEntry[] = [];
      try {
        const batch = await (await manager()).direct.getBatch(stream, {
          seq: Math.max(1, from),
          next_by_subj: subject,
          batch: limits.messages,
          max_bytes: limits.bytes,
        });
        for await (const { seq, data } of batch) {
          found.push({
            sequence: seq,
            data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
          });
        }
      } catch (thrown) {
        if (!isEmpty(thrown)) throw busError(thrown, `cannot read ${subject}`);
      }
      return found;
    },

    async subjects(filter) {
      try {
        const { state } = await (await manager()).streams.info(stream, { subjects_filter: filter });
        return new Map(Object.entries(state.subjects ?? {}));
      } catch (thrown) {
        throw busError(thrown, `cannot list what ${stream} holds`);
      }
    },

    async removeUpTo(subject, sequence) {
      try {
        await (await manager()).streams.purge(stream, { filter: subject, seq: sequence + 1 });
      } catch (thrown) {
        throw busError(thrown, `cannot remove what is done with from ${subject}`);
      }
    },
  };
}

/** Of a request for many messages, "no message" means an empty answer. */
function isEmpty(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    "code" in thrown &&
    (thrown.code === 404 || thrown.code === JS_ERROR.noMessageFound)
  );
}
