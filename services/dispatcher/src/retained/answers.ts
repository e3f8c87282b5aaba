/** Answers what subscribers want of a partition: as much as fits, in the order of the topics where it does not fit at once. */
import { BATCH_FLAGS, HopHeader, Lane, type retained } from "@myelin/contract";
import type { RetainedMessage } from "./message.js";
import type { Kept, Shard } from "./shard.js";
import type { Turns } from "./turns.js";

const NOTHING: retained.Found = { batch: Buffer.alloc(0), more: false };
const TAG_ENVELOPE = 0x1a;
/** Read back from the stream at a time. */
const READ_AT_ONCE = 64;
/** A long answer goes on soon, mostly: sorting again for each piece would cost more than the answer. */
const MAX_LISTS = 16;
const LIST_MS = 5_000;

interface SortedList {
  readonly kept: readonly Kept[];
  readonly untilMs: number;
}

/** One per shard. */
export class Answers {
  private readonly header: HopHeader;
  private readonly lists = new Map<string, SortedList>();

  constructor(
    private readonly shard: Shard,
    sender: { readonly instance: string; readonly incarnation: number },
    private readonly nowMs: () => number,
    /**
     * Shared by all shards of the process: a subscriber of a wildcard asks all partitions at the same time, and is given the first part while the
     * others are put together.
     */
    private readonly turns: Turns,
  ) {
    this.header = new HopHeader({
      sender: sender.instance,
      incarnation: sender.incarnation,
      partition: shard.partition,
      lane: Lane.TELEMETRY,
      target: "",
      targetInstance: "",
    });
  }

  /**
   * One answer per want. What finds no room in `maxBytes` is to be asked for again.
   * @throws AppError `bus.*` when messages must be read from the stream and cannot be
   */
  of(wants: readonly retained.Want[], maxBytes: number): Promise<retained.Found[]> {
    return this.turns.take(() => this.answer(wants, maxBytes));
  }

  private async answer(wants: readonly retained.Want[], maxBytes: number): Promise<retained.Found[]> {
    const found: retained.Found[] = [];
    let left = maxBytes;
    for (const want of wants) {
      const answer = left > 0 ? await this.one(want, left) : { batch: NOTHING.batch, more: true };
      left -= answer.batch.length;
      found.push(answer);
    }
    return found;
  }

  private async one(want: retained.Want, maxBytes: number): Promise<retained.Found> {
    let list: readonly Kept[];
    let from = 0;
    if (want.after === "") {
      const matched = this.shard.match(want.tenant, want.filter);
      if (matched.length === 0) return NOTHING;
      const bytes = matched.reduce((sum, kept) => sum + kept.bytes, 0);
      list = bytes <= maxBytes ? matched : this.sorted(want, matched);
    } else {
      list = this.listOf(want);
      from = firstBehind(list, want.after);
    }
    let bytes = 0;
    let to = from;
    while (to < list.length && (to === from || bytes + list[to]!.bytes <= maxBytes))
      bytes += list[to++]!.bytes;
    const messages = await this.messagesOf(list.slice(from, to));
    const more = to < list.length;
    // All of them may have gone meanwhile.
    if (messages.length === 0 && more)
      return await this.one({ ...want, after: list[to - 1]!.topic }, maxBytes);
    return { batch: messages.length === 0 ? NOTHING.batch : this.batchOf(messages), more };
  }

  private async messagesOf(list: readonly Kept[]): Promise<RetainedMessage[]> {
    const messages: RetainedMessage[] = [];
    for (let i = 0; i < list.length; i += READ_AT_ONCE) {
      const part = list.slice(i, i + READ_AT_ONCE);
      const read = part.some((kept) => kept.message === undefined)
        ? await Promise.all(part.map((kept) => this.shard.messageOf(kept)))
        : part.map((kept) => (kept.isGone || kept.isCleared ? undefined : kept.message));
      for (const message of read) if (message !== undefined) messages.push(message);
    }
    return messages;
  }

  private batchOf(messages: readonly RetainedMessage[]): Buffer {
    let size = this.header.bytes.length;
    for (const { envelope } of messages) size += 1 + 5 + envelope.length;
    const out = Buffer.allocUnsafeSlow(size);
    const flags = BATCH_FLAGS.uninterned | BATCH_FLAGS.expiry | BATCH_FLAGS.headers | BATCH_FLAGS.retained;
    const count = messages.length;
    let at = this.header.writeTo(out, 0, { sequence: 1, firstOrdinal: 0, count, flags, epoch: 0 });
    for (const { envelope } of messages) {
      out[at++] = TAG_ENVELOPE;
      let rest = envelope.length;
      for (; rest > 0x7f; rest >>>= 7) out[at++] = (rest & 0x7f) | 0x80;
      out[at++] = rest;
      at += envelope.copy(out, at);
    }
    return out.subarray(0, at);
  }

  private listOf(want: retained.Want): readonly Kept[] {
    const key = keyOf(want);
    const known = this.lists.get(key);
    if (known !== undefined && known.untilMs > this.nowMs()) return known.kept;
    return this.sorted(want, this.shard.match(want.tenant, want.filter));
  }

  private sorted(want: retained.Want, matched: Kept[]): readonly Kept[] {
    matched.sort((a, b) => (a.topic < b.topic ? -1 : 1));
    const key = keyOf(want);
    this.lists.delete(key);
    if (this.lists.size >= MAX_LISTS) this.lists.delete(this.lists.keys().next().value!);
    this.lists.set(key, { kept: matched, untilMs: this.nowMs() + LIST_MS });
    return matched;
  }
}

function keyOf({ tenant, filter }: retained.Want): string {
  return `${tenant}\0${filter}`;
}

function firstBehind(list: readonly Kept[], topic: string): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.topic <= topic) low = middle + 1;
    else high = middle;
  }
  return low;
}
