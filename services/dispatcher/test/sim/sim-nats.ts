/** NATS as the dispatcher's ports know it, in memory: core subjects, the event stream, overflow, ids, the unrouted. */
import { BatchView } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import type { SourceDelivery } from "../../src/core/event-tracker.js";
import type { StoredBatch } from "../../src/core/overflow.js";
import type { DispatcherPorts, EventReader, Ownership } from "../../src/core/ports.js";
import type { Network } from "./network.js";
import type { Choices } from "./random.js";

interface StreamMessage {
  readonly sequence: number;
  readonly data: Buffer;
  acknowledged: boolean;
}

interface Subscription {
  readonly process: SimProcess;
  readonly subject: string;
  readonly handler: (data: Uint8Array) => void;
}

/** One process's connection; dead ones send and hear nothing. */
export interface SimProcess {
  readonly name: string;
  alive: boolean;
}

const MAX_IN_HAND = 12;

export class SimNats {
  readonly events: StreamMessage[] = [];
  readonly overflow = new Map<string, StoredBatch[]>();
  readonly unrouted: Buffer[] = [];
  readonly dedupe = new Map<number, Buffer[]>();
  /** Chance that a core message is lost, and that a store fails although it may have happened. */
  lossRate = 0;
  failRate = 0;
  /** While it is set no acknowledgement leaves its process, as while the books are not written. */
  areBooksLate = false;
  private readonly subscriptions = new Set<Subscription>();
  private readonly storedIds = new Map<string, number>();
  private overflowSequence = 0;
  private deliveredTo = 0;
  private readonly readers = new Set<() => void>();

  constructor(
    private readonly clock: Clock,
    private readonly network: Network,
    private readonly choices: Choices,
  ) {}

  /** Puts a batch at the end of the event stream. */
  storeEvents(data: Buffer): void {
    this.events.push({ sequence: this.events.length + 1, data, acknowledged: false });
    for (const wake of [...this.readers]) wake();
  }

  publish(from: SimProcess, subject: string, data: Uint8Array): boolean {
    if (!from.alive) return false;
    const copy = Buffer.from(data);
    for (const subscription of this.subscriptions) {
      if (subscription.subject !== subject) continue;
      const lost = this.lossRate > 0 && subject.startsWith("mln.brg") && this.choices.chance(this.lossRate);
      if (lost) continue;
      // One connection each: NATS keeps the order between two of them over all subjects.
      this.network.send(`${from.name}|core|${subscription.process.name}`, () => {
        if (subscription.process.alive && this.subscriptions.has(subscription)) subscription.handler(copy);
      });
    }
    return true;
  }

  subscribe(process: SimProcess, subject: string, handler: (data: Uint8Array) => void): () => void {
    const subscription = { process, subject, handler };
    this.subscriptions.add(subscription);
    return () => void this.subscriptions.delete(subscription);
  }

  /** The ports of one dispatcher process. */
  portsOf(process: SimProcess, incarnation: number): DispatcherPorts {
    return {
      instance: process.name,
      incarnation,
      partitions: 1,
      clock: this.clock,
      log: silentLogger,
      publish: (subject, data) => this.publish(process, subject, data),
      subscribe: (subject, handler) => this.subscribe(process, subject, handler),
      serve: () => () => undefined,
      request: () => Promise.reject(new AppError("request.no_responder", "nobody")),
      external: {
        publish: () => false,
        flush: () => Promise.resolve(),
        isStored: () => Promise.resolve(false),
        store: () => Promise.reject(new AppError("bus.disconnected", "nobody")),
      },
      openEvents: (ownership, handler) => this.openEvents(process, ownership, handler),
      openTelemetryAcks: () => ({ consumed: () => undefined, stop: () => Promise.resolve() }),
      openOverflow: (kind, target, partition) => {
        const subject = `${kind}.${target}.${partition}`;
        return {
          store: (data, id) => this.store(process, id, () => this.storeOverflow(subject, Buffer.from(data))),
          lastSequence: () => this.answer(process, () => this.overflow.get(subject)?.at(-1)?.sequence ?? 0),
          read: (from) =>
            this.answer(process, () =>
              (this.overflow.get(subject) ?? [])
                .filter((b) => b.sequence >= from)
                .slice(0, 3)
                .map((b) => ({ sequence: b.sequence, data: Buffer.from(b.data) })),
            ),
          remove: (upTo) =>
            this.answer(process, () => {
              const rest = (this.overflow.get(subject) ?? []).filter((b) => b.sequence > upTo);
              this.overflow.set(subject, rest);
            }),
        };
      },
      overflowOwners: async () => [],
      storeUnrouted: async (_partition, data, id) => {
        await this.store(process, id, () => this.unrouted.push(Buffer.from(data)));
      },
      storeDedupe: async (partition, data, id) => {
        await this.store(process, `dedupe.${id}`, () => {
          const records = this.dedupe.get(partition) ?? [];
          this.dedupe.set(partition, records);
          return records.push(Buffer.from(data));
        });
      },
      loadDedupe: (partition) => toAsync(this.dedupe.get(partition) ?? []),
    };
  }

  private storeOverflow(subject: string, data: Buffer): number {
    const sequence = ++this.overflowSequence;
    const log = this.overflow.get(subject) ?? [];
    this.overflow.set(subject, log);
    log.push({ sequence, data });
    return sequence;
  }

  private store(process: SimProcess, id: string, task: () => number): Promise<number> {
    const fails = this.failRate > 0 && this.choices.chance(this.failRate);
    const happens = !fails || this.choices.chance(0.5);
    return this.answer(process, () => {
      if (happens && !this.storedIds.has(id)) this.storedIds.set(id, task());
      if (fails) throw new AppError("bus.timeout", "no answer");
      return this.storedIds.get(id)!;
    });
  }

  /** A question and its answer; neither comes when the process has died meanwhile. */
  private answer<T>(process: SimProcess, task: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.network.send(`${process.name}|store`, () => {
        if (!process.alive) return;
        try {
          const result = task();
          this.network.send(`nats|${process.name}`, () => {
            if (process.alive) resolve(result);
          });
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  private openEvents(
    process: SimProcess,
    _ownership: Ownership,
    handler: (delivery: SourceDelivery) => void,
  ): EventReader {
    let open = false;
    let next = 0;
    const inHand = new Set<number>();
    const before = this.deliveredTo;
    const pump = (): void => {
      while (open && process.alive && inHand.size < MAX_IN_HAND && next < this.events.length) {
        const message = this.events[next++]!;
        if (message.acknowledged) continue;
        inHand.add(message.sequence);
        this.deliveredTo = Math.max(this.deliveredTo, message.sequence);
        this.network.send(`nats|events|${process.name}`, () => {
          if (!open || !process.alive) return;
          handler({
            data: Buffer.from(message.data),
            streamSequence: message.sequence,
            redelivered: message.sequence <= before,
            ack: () => {
              if (this.areBooksLate || !inHand.delete(message.sequence)) return;
              this.network.send(`${process.name}|ack`, () => {
                if (process.alive) message.acknowledged = true;
              });
              pump();
            },
          });
        });
      }
    };
    return {
      get pending() {
        return inHand.size;
      },
      start: async () => {
        open = true;
        this.readers.add(pump);
        pump();
      },
      stop: async () => {
        open = false;
        this.readers.delete(pump);
      },
      hasAll: async () => next >= this.events.length,
      drain: async () => inHand.size === 0,
    };
  }
}

async function* toAsync(items: readonly Buffer[]): AsyncIterable<Uint8Array> {
  for (const item of items) yield item;
}

/** Envelopes in a batch, by the generated view. */
export function countOf(data: Buffer): number {
  return new BatchView().reset(data).hop.count;
}
