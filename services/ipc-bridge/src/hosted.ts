/** The ipc-bridge as service-host runs it. */
import { createEventSender, createTelemetrySender } from "@myelin/bus";
import { defineService, deploymentStreams } from "@myelin/service-host";
import { type BridgeConfig, bridgeSchema } from "./config.js";
import { createBridge } from "./service.js";

/** Section `ipcBridge`. */
export const ipcBridgeService = defineService<BridgeConfig>({
  name: "ipc-bridge",
  section: "ipcBridge",
  schema: bridgeSchema,
  async create(context) {
    const { bus, clock, log, metrics, version, platform, tracing } = context;
    const { partitions } = platform.nats;
    const senders = { partitions, clock };
    const bridge = await createBridge(context.config, {
      bus,
      telemetry: createTelemetrySender(bus, senders),
      events: createEventSender(bus, senders),
      partitions,
      log,
      clock,
      version,
      metrics,
      tracing,
    });
    context.addPage("/apps", () => bridge.core.report());
    return [deploymentStreams(context), bridge];
  },
});
