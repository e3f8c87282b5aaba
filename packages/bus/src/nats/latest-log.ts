/** A stream with one message per subject: written one by one, read whole by filter, or one at a time. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { Bus } from "../api.js";
import { busError, JS_ERROR, jetStreamErrorNumber } from "./errors.js";
import { natsBusOf } from "./nats-bus.js";

/** The newest message of a subject is all there is of it. */
export interface LatestLog {
  /**
   * Takes the place of what the subject holds. Several may be under way at once; of one subject, only one. Trying again does no harm.
   * @param ttlMs after which the stream forgets it, rounded up to seconds; 0: never
   * @throws AppError `bus.*`; `bus.stream_full` when there is no room
   */
  store(subject: string, data: Uint8Array, ttlMs: number): Promise<void>;
  /** Everything below a filter, in the order of storing. @throws AppError `bus.*` */
  read(filter: string, signal: AbortSignal): AsyncIterable<Buffer>;
  /** What a subject holds; undefined: nothing. @throws AppError `bus.*` */
  get(subject: string): Promise<Buffer | undefined>;
}

const ANSWER_TIMEOUT_MS = 5_000;
const READ = { batch: 4_096, max_bytes: 8 * 1024 * 1024 };

/** The stream must allow direct reading and a time to live per message. Does no I/O by itself. */
export function createLatestLog(bus: Bus, stream: string): LatestLog {
  const nats = natsBusOf(bus);
  const manager = () => jetstreamManager(nats.client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
  return {
    async store(subject, data, ttlMs) {
      try {
        const ttl = ttlMs > 0 ? { ttl: `${Math.ceil(ttlMs / 1_000)}s` } : {};
        await jetstream(nats.client).publish(subject, data, { timeout: ANSWER_TIMEOUT_MS, ...ttl });
      } catch (thrown) {
        throw busError(thrown, `cannot store ${data.length} bytes on ${subject}`);
      }
    },

    async *read(filter, signal) {
      for (let from = 1; !signal.aborted; ) {
        let last = 0;
        try {
          // Answered by the stream's leader or a replica: whoever wrote is gone for seconds when this is asked.
          const found = await (await manager()).direct.getBatch(stream, {
            seq: from,
            next_by_subj: filter,
            ...READ,
          });
          for await (const { seq, data } of found) {
            last = seq;
            yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
          }
        } catch (thrown) {
          if (!isNothing(thrown)) throw busError(thrown, `cannot read ${filter}`);
        }
        if (last === 0) return;
        from = last + 1;
      }
    },

    async get(subject) {
      try {
        const message = await (await manager()).streams.getMessage(stream, { last_by_subj: subject });
        return message === null ? undefined : Buffer.from(message.data);
      } catch (thrown) {
        if (isNothing(thrown)) return undefined;
        throw busError(thrown, `cannot read ${subject}`);
      }
    },
  };
}

function isNothing(thrown: unknown): boolean {
  return (
    jetStreamErrorNumber(thrown) === JS_ERROR.noMessageFound ||
    (thrown instanceof Error && "code" in thrown && thrown.code === 404)
  );
}
