/** The dispatcher's ports on a real bus. */
import {
  type Bus,
  createEventConsumer,
  createLinkAcker,
  createStreamWriter,
  createSubjectLog,
  externalSubjects,
} from "@myelin/bus";
import { Lane, overflowOwner, STREAMS, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CoreLog, DispatcherPorts, Ownership } from "./core/ports.js";

export interface BusPortsOptions {
  readonly bus: Bus;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** Event batches and bytes in hand per partition. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
}

const OVERFLOW_READ = { messages: 16, bytes: 2 * 1024 * 1024 };
const DEDUPE_READ = { messages: 256, bytes: 4 * 1024 * 1024 };

/** Does no I/O by itself. */
export function createBusPorts(options: BusPortsOptions): DispatcherPorts {
  const { bus, partitions, clock, log } = options;
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
    serve: (subject, handler) => bus.serve(subject, handler),
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
        store: (data, messageId) => writer.store(subject, data, messageId),
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
