/** The listener as service-host runs it. */
import { createEventSender, createTelemetrySender } from "@myelin/bus";
import { FileResourceSource, type ResourceSource } from "@myelin/config";
import {
  defineService,
  deploymentStreams,
  descriptorLimit,
  ResourceFeed,
  type Service,
} from "@myelin/service-host";
import { bridgeConditions, bridgeFigures, bridgeGenerations } from "./bridges/conditions.js";
import { type ListenerConfig, listenerSchema } from "./config.js";
import { createListener, type Listener } from "./service.js";

/** What the process opens beside connections: ports, NATS, files, and some to spare. */
const OTHER_DESCRIPTORS = 64;

/** Section `listener`. Loads the schemas of all plugins, and of the plugins themselves only those that are used. */
export async function listenerService(): Promise<Service<ListenerConfig>> {
  return defineService({
    name: "listener",
    section: "listener",
    schema: await listenerSchema(),
    async create(context) {
      const { bus, clock, log, metrics, version, platform, tracing, requestStop } = context;
      const { partitions } = platform.nats;
      const descriptors = await descriptorLimit();
      const senders = { partitions, clock };
      const listener = await createListener(context.config, {
        bus,
        telemetry: createTelemetrySender(bus, senders),
        events: createEventSender(bus, senders),
        partitions,
        log,
        clock,
        version,
        metrics,
        tracing,
        requestStop,
        ...(descriptors !== undefined && { maxSockets: Math.max(1, descriptors - OTHER_DESCRIPTORS) }),
      });
      const { directory } = platform.resources;
      let generations: ReadonlyMap<string, number> = new Map();
      const feed = new ResourceFeed(context, {
        openSource: (onStatusChange): ResourceSource =>
          new FileResourceSource({ directory, clock, onStatusChange }),
        apply: (snapshot) => {
          generations = bridgeGenerations(snapshot);
          listener.bridges.apply(snapshot);
          listener.provisioning.apply(snapshot);
        },
        conditions: () => bridgeConditions(listener.bridges.records(), generations),
        figures: () => bridgeFigures(listener.bridges.records(), clock.wallMs()),
      });
      context.addPage("/bridges", () => bridgesPage(listener));
      return [deploymentStreams(context), feed, listener];
    },
  });
}

/** The bridges that run on this listener. */
function bridgesPage({ bridges }: Listener): unknown {
  return bridges.records().map(({ counters, ...record }) => ({
    ...record,
    messages: counters.messages,
    dropped: Object.fromEntries(counters.dropped),
  }));
}
