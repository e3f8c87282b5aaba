/** The listener as service-host runs it. */
import { createEventSender, createTelemetrySender } from "@myelin/bus";
import { defineService, deploymentStreams, descriptorLimit, type Service } from "@myelin/service-host";
import { type ListenerConfig, listenerSchema } from "./config.js";
import { createListener } from "./service.js";

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
      return [
        deploymentStreams(context),
        await createListener(context.config, {
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
        }),
      ];
    },
  });
}
