/** What operators see of retained messages: lists over all partitions, and clearing. */
import { BatchView, retained, subjects } from "@myelin/contract";
import type { Bus } from "./api.js";

const ANSWER_WITHIN_MS = 5_000;
const PIECE_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);
const NOTHING: retained.Found = { batch: EMPTY, more: false };

/** One retained message. */
export interface RetainedFacts {
  readonly topic: string;
  /** Who has published it. */
  readonly device: string;
  /** What subscribers get at most. */
  readonly qos: number;
  readonly bytes: number;
  readonly publishedAtUs: number;
  /** 0: it stays until it is replaced or cleared. */
  readonly expiresAtUs: number;
  readonly contentType: string;
  /** Its first bytes, as many as were asked for. */
  readonly payload: Buffer;
}

/** Which ones. */
export interface RetainedList {
  readonly tenant: string;
  /** An MQTT topic filter, without `$share`. Topics that begin with `$` only where it names them. */
  readonly filter: string;
  /** Goes on behind this topic. */
  readonly after?: string;
  /** How many at most; as many of each partition are held meanwhile. */
  readonly limit: number;
  /** Bytes of each payload that are wanted. */
  readonly payloadBytes?: number;
}

/**
 * Asks one partition after the other. In the order of the topics' UTF-16 code units.
 * @throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder`
 */
export async function listRetained(
  bus: Bus,
  partitions: number,
  { tenant, filter, after = "", limit, payloadBytes = 0 }: RetainedList,
): Promise<{ readonly found: readonly RetainedFacts[]; readonly more: boolean }> {
  const all: RetainedFacts[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const ofPartition: RetainedFacts[] = [];
    let last = after;
    for (let more = true; more && ofPartition.length <= limit; ) {
      const found = await ask(bus, partition, { tenant, filter, after: last });
      const piece = factsIn(found.batch, payloadBytes);
      for (const facts of piece) ofPartition.push(facts);
      last = piece.at(-1)?.topic ?? last;
      more = found.more && piece.length > 0;
    }
    all.push(...ofPartition.sort(byTopic).slice(0, limit + 1));
  }
  return { found: all.sort(byTopic).slice(0, limit), more: all.length > limit };
}

/**
 * How many were there. What is published meanwhile may stay.
 * @throws AppError as `listRetained`; other partitions may have been cleared then
 */
export async function clearRetained(
  bus: Bus,
  partitions: number,
  { tenant, filter }: Pick<RetainedList, "tenant" | "filter">,
): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => {
      const request = retained.ClearRequest.encode({ partition, tenant, filter }).finish();
      return bus.request(subjects.retainedClear(partition), request, ANSWER_WITHIN_MS);
    }),
  );
  return answers.reduce((sum, answer) => sum + retained.ClearAnswer.decode(answer).cleared, 0);
}

async function ask(bus: Bus, partition: number, want: retained.Want): Promise<retained.Found> {
  const request = retained.QueryRequest.encode({ partition, wants: [want], maxBytes: PIECE_BYTES }).finish();
  const answer = await bus.request(subjects.retainedQuery(partition), request, ANSWER_WITHIN_MS);
  return retained.QueryAnswer.decode(answer).found[0] ?? NOTHING;
}

function factsIn(batch: Uint8Array, payloadBytes: number): RetainedFacts[] {
  const found: RetainedFacts[] = [];
  if (batch.length === 0) return found;
  const view = new BatchView().reset(batch);
  while (view.next()) {
    const { path: topic, deviceId: device, qos, contentType, expiresAtUs, ingestTimeUs } = view;
    const bytes = view.payloadEnd - view.payloadStart;
    const payload = payloadBytes > 0 ? Buffer.from(view.payload().subarray(0, payloadBytes)) : EMPTY;
    found.push({ topic, device, qos, bytes, publishedAtUs: ingestTimeUs, expiresAtUs, contentType, payload });
  }
  return found;
}

function byTopic(a: RetainedFacts, b: RetainedFacts): number {
  return a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0;
}
