/** A stream with one message per subject: written one by one or many together, read whole by filter, or one at a time. */

import { randomUUID } from "node:crypto";
import { AppError } from "@myelin/kernel";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { Bus } from "../api.js";
import { busError, JS_ERROR, jetStreamError, jetStreamErrorNumber } from "./errors.js";
import { natsBusOf } from "./nats-bus.js";

/** What a subject is to hold. `ttlMs`: after which the stream forgets it, rounded up to seconds; 0: never. */
export interface LatestEntry {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly ttlMs: number;
}

/** Most entries that a stream takes together. */
export const MAX_LATEST_ENTRIES = 1_000;

/** The newest message of a subject is all there is of it. */
export interface LatestLog {
  /**
   * Takes the place of what the subject holds. Several may be under way at once; of one subject, only one. Trying again does no harm.
   * @throws AppError `bus.*`; `bus.stream_full` when there is no room
   */
  store(entry: LatestEntry): Promise<void>;
  /**
   * The same for many subjects, each of them once: all or none, and one sync to disk for all of them (an atomic batch, ADR-50), which costs as
   * much as a dozen.
   * @param entries 1 to `MAX_LATEST_ENTRIES`
   * @throws AppError `bus.*`, `request.*`; which of them are refused is told only to those that are stored alone
   */
  storeAll(entries: readonly LatestEntry[]): Promise<void>;
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
    async store({ subject, data, ttlMs }) {
      try {
        const ttl = ttlMs > 0 ? { ttl: ttlOf(ttlMs) } : {};
        await jetstream(nats.client).publish(subject, data, { timeout: ANSWER_TIMEOUT_MS, ...ttl });
      } catch (thrown) {
        throw busError(thrown, `cannot store ${data.length} bytes on ${subject}`);
      }
    },

    async storeAll(entries) {
      const what = `cannot store ${entries.length} messages together`;
      const id = randomUUID();
      const last = entries.length - 1;
      for (let i = 0; i < last; i++) {
        const { subject, data, ttlMs } = entries[i]!;
        // One that is not sent makes the last one be refused.
        nats.publishWithHeaders(subject, data, { ...ttlField(ttlMs), ...placeFields(id, i) });
      }
      const { subject, data, ttlMs } = entries[last]!;
      const fields = { ...ttlField(ttlMs), ...placeFields(id, last), "Nats-Batch-Commit": "1" };
      const answer = await nats.requestWithHeaders(subject, data, fields, ANSWER_TIMEOUT_MS);
      const { error, count } = JSON.parse(Buffer.from(answer).toString()) as BatchAnswer;
      if (error !== undefined) throw jetStreamError(error.err_code, error.code, what, error.description);
      if (count !== entries.length) throw new AppError("bus.refused", `${what}: the stream took ${count}`);
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

/** Error, or how many were stored. */
interface BatchAnswer {
  readonly count?: number;
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string };
}

function placeFields(batch: string, at: number): Record<string, string> {
  return { "Nats-Batch-Id": batch, "Nats-Batch-Sequence": String(at + 1) };
}

function ttlField(ttlMs: number): Record<string, string> {
  return ttlMs > 0 ? { "Nats-TTL": ttlOf(ttlMs) } : {};
}

function ttlOf(ttlMs: number): string {
  return `${Math.ceil(ttlMs / 1_000)}s`;
}

function isNothing(thrown: unknown): boolean {
  return (
    jetStreamErrorNumber(thrown) === JS_ERROR.noMessageFound ||
    (thrown instanceof Error && "code" in thrown && thrown.code === 404)
  );
}
