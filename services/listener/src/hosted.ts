/** The listener as service-host runs it. */
import { createEventSender, createTelemetrySender } from "@myelin/bus";
import { defineService, deploymentStreams, type Service } from "@myelin/service-host";
import { type ListenerConfig, listenerSchema } from "./config.js";
import { createListener } from "./service.js";

/** Section `listener`. Loads the schemas of all plugins, and of the plugins themselves only those that are used. */
export async function listenerService(): Promise<Service<ListenerConfig>> {
  return defineService({
    name: "listener",
    section: "listener",
    schema: await listenerSchema(),
    async create(context) {
      const { bus, clock, log, metrics, version, platform, tracing } = context;
      const { partitions } = platform.nats;
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
        }),
      ];
    },
  });
}
