/** The keeper's ports on a real bus. */
import { type Bus, createLatestLog, createStreamDoor, type LatestEntry, type Liveness } from "@myelin/bus";
import { STREAMS, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { KeeperPorts } from "./keeper.js";
import type { RetainedEntry } from "./shard.js";

/** Under load there always is something that is on its way. */
const ROUTED_WITHIN_MS = 100;
const LOOK_AGAIN_MS = 5;

/** What becomes of the events of the partitions owned here. */
export interface EventsRouted {
  /** Event batches that are routed here and not acknowledged yet: when the stream holds no more there is nothing else to look at. */
  routed(): number;
  /** True: all that were stored when this was called are. Dearer, and right too while others have events, or the stream has not heard of acknowledgements. */
  areAllRouted(): Promise<boolean>;
}

/** Does no I/O by itself. */
export function createKeeperPorts(options: {
  readonly bus: Bus;
  readonly liveness: Liveness;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly events: EventsRouted;
}): KeeperPorts {
  const { bus, liveness, partitions, clock, log, events } = options;
  const { name } = STREAMS.retained;
  const stored = createLatestLog(bus, name);
  const door = createStreamDoor(bus);
  return {
    instance: bus.instance,
    incarnation: bus.incarnation,
    partitions,
    clock,
    log,
    store: {
      store: (partition, entry) => stored.store(latestOf(partition, entry)),
      storeAll: (partition, entries) => stored.storeAll(entries.map((entry) => latestOf(partition, entry))),
      read: (partition, signal) => stored.read(subjects.retainedOfPartition(partition), signal),
      get: (partition, tenant, topic) => stored.get(subjects.retainedMessage(partition, tenant, topic)),
    },
    publish: (subject, data) => bus.publish(subject, data),
    serve: (subject, handler) => bus.serve(subject, handler),
    request: (subject, data, timeoutMs) => bus.request(subject, data, timeoutMs),
    async streamFill() {
      const { bytes, maxBytes } = await door.room(name);
      return maxBytes > 0 ? bytes / maxBytes : 0;
    },
    async eventsRouted() {
      const untilMs = clock.nowMs() + ROUTED_WITHIN_MS;
      do {
        // The stream deletes what is acknowledged. In this order, since what is stored from now on does not matter.
        const routed = events.routed();
        try {
          if ((await door.room(STREAMS.events.name)).messages <= routed || (await events.areAllRouted()))
            return;
        } catch (err) {
          log.debug({ err }, "the event stream cannot be looked at");
        }
        await clock.sleep(LOOK_AGAIN_MS);
      } while (clock.nowMs() < untilMs);
    },
    others: () => [...liveness.instances.keys()].filter((instance) => instance !== bus.instance),
  };
}

function latestOf(
  partition: number,
  { message: { tenant, topic, envelope }, ttlMs }: RetainedEntry,
): LatestEntry {
  return { subject: subjects.retainedMessage(partition, tenant, topic), data: envelope, ttlMs };
}
