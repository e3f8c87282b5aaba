/** The dispatcher's ports on a real bus. */
import {
  type Bus,
  createEventConsumer,
  createFencedLog,
  createLinkAcker,
  createStreamDoor,
  createStreamWriter,
  createSubjectLog,
  externalSubjects,
} from "@myelin/bus";
import { Lane, overflowOwner, STREAMS, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { DoorPorts, SideStream } from "./core/event-door.js";
import type { CoreLog, DispatcherPorts, Ownership } from "./core/ports.js";
import type { JournalPort } from "./journal/journal.js";

export interface BusPortsOptions {
  readonly bus: Bus;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** Event batches and bytes in hand per partition. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Told what was stored beside the way to a target. */
  readonly onStored: (stream: SideStream, bytes: number) => void;
}

/** The streams as the event door sees them. Does no I/O by itself. */
export function createDoorPorts(bus: Bus): DoorPorts {
  const door = createStreamDoor(bus);
  const overflow = createSubjectLog(bus, STREAMS.overflow.name);
  return {
    room: async () => ({
      events: await door.room(STREAMS.events.name),
      overflow: await door.room(STREAMS.overflow.name),
      unrouted: await door.room(STREAMS.unrouted.name),
    }),
    setOpen: (isOpen) => door.setOpen(STREAMS.events.name, isOpen),
    mostWaiting: async () => {
      const sums = new Map<string, number>();
      for (const [subject, batches] of await overflow.subjects(subjects.allOverflowBatches())) {
        const owner = overflowOwner(subject);
        if (owner === undefined) continue;
        const target = `${owner.kind}:${owner.target}`;
        sums.set(target, (sums.get(target) ?? 0) + batches);
      }
      return [...sums]
        .sort(([, a], [, b]) => b - a)
        .slice(0, MOST_WAITING)
        .map(([target, batches]) => ({ target, batches }));
    },
  };
}

const MOST_WAITING = 5;

const OVERFLOW_READ = { messages: 16, bytes: 2 * 1024 * 1024 };
const JOURNAL_READ = { messages: 64, bytes: 8 * 1024 * 1024 };
const DEDUPE_READ = { messages: 256, bytes: 4 * 1024 * 1024 };

/** Does no I/O by itself. */
export function createBusPorts(options: BusPortsOptions): DispatcherPorts {
  const { bus, partitions, clock, log, onStored } = options;
  const writer = createStreamWriter(bus);
  const overflow = createSubjectLog(bus, STREAMS.overflow.name);
  const dedupe = createSubjectLog(bus, STREAMS.dedupe.name);
  return {
    instance: bus.instance,
    incarnation: bus.incarnation,
    partitions,
    clock,
    log,
    external: externalSubjects(bus),
    publish: (subject, data) => bus.publish(subject, data),
    subscribe: (subject, handler, options) => bus.subscribe(subject, handler, options),
    serve: (subject, handler, options) => bus.serve(subject, handler, options),
    request: (subject, data, timeoutMs) => bus.request(subject, data, timeoutMs),
    openEvents: ({ partition, epoch }, handler) => {
      const { maxPending: maxMessages, maxPendingBytes: maxBytes } = options;
      const consumer = createEventConsumer(bus, { partition, epoch, maxMessages, maxBytes });
      consumer.onDelivery(handler);
      return consumer;
    },
    openTelemetryAcks: ({ epoch }: Ownership) => {
      const acker = createLinkAcker(bus, { lane: Lane.TELEMETRY, epoch, clock });
      void acker.start(new AbortController().signal);
      return acker;
    },
    openOverflow: (kind, target, partition) => {
      const subject = subjects.overflowBatch(kind, target, partition);
      return {
        store: async (data, messageId) => {
          onStored("overflow", data.length);
          return await writer.store(subject, data, messageId);
        },
        lastSequence: () => overflow.lastSequence(subject),
        read: (from) => overflow.read(subject, from, OVERFLOW_READ),
        remove: (upTo) => overflow.removeUpTo(subject, upTo),
      };
    },
    overflowOwners: async (partition) => {
      const found = await overflow.subjects(subjects.overflowOfPartition(partition));
      return [...found.keys()].map((subject) => overflowOwner(subject)).filter((o) => o !== undefined);
    },
    storeUnrouted: async (partition, data, messageId) => {
      onStored("unrouted", data.length);
      await writer.store(subjects.unroutedBatch(partition), data, messageId);
    },
    storeDedupe: async (partition, data, messageId) => {
      await writer.store(subjects.dedupeIds(partition), data, messageId);
    },
    async *loadDedupe(partition, signal) {
      const subject = subjects.dedupeIds(partition);
      for (let from = 1; !signal.aborted; ) {
        const entries = await dedupe.read(subject, from, DEDUPE_READ);
        if (entries.length === 0) return;
        for (const { sequence, data } of entries) {
          from = sequence + 1;
          yield data;
        }
      }
    },
  };
}

/** Opens the journals of partitions that lie in a stream. Does no I/O by itself. */
export function createJournals(
  bus: Bus,
  stream: string,
  subjectOf: (partition: number) => string,
): (partition: number) => JournalPort {
  const log = createSubjectLog(bus, stream);
  const fenced = createFencedLog(bus);
  return (partition) => {
    const subject = subjectOf(partition);
    return {
      append: (data, after) => fenced.append(subject, data, after),
      read: (from) => log.read(subject, from, JOURNAL_READ),
      lastSequence: () => log.lastSequence(subject),
      removeUpTo: (sequence) => log.removeUpTo(subject, sequence),
    };
  };
}
