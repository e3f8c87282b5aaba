/** The keeper's ports on a real bus. */
import { type Bus, createLatestLog, createStreamDoor, type Liveness } from "@myelin/bus";
import { STREAMS, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { KeeperPorts } from "./keeper.js";

/** Under load, and with several dispatchers, there always is something that is on its way. */
const ROUTED_WITHIN_MS = 100;
const LOOK_AGAIN_MS = 3;

/** Does no I/O by itself. */
export function createKeeperPorts(options: {
  readonly bus: Bus;
  readonly liveness: Liveness;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** Event batches that are routed here and not acknowledged yet. */
  readonly routedEvents: () => number;
}): KeeperPorts {
  const { bus, liveness, partitions, clock, log, routedEvents } = options;
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
      store: (partition, { tenant, topic, envelope }, ttlMs) =>
        stored.store(subjects.retainedMessage(partition, tenant, topic), envelope, ttlMs),
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
        const routed = routedEvents();
        try {
          if ((await door.room(STREAMS.events.name)).messages <= routed) return;
        } catch (err) {
          log.debug({ err }, "the event stream cannot be looked at");
        }
        await clock.sleep(LOOK_AGAIN_MS);
      } while (clock.nowMs() < untilMs);
    },
    others: () => [...liveness.instances.keys()].filter((instance) => instance !== bus.instance),
  };
}
