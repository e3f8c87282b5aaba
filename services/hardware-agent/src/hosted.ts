/** The hardware-agent as service-host runs it. */
import { join } from "node:path";
import { FileResourceSource, type ResourceSource } from "@myelin/config";
import { defineService, deploymentStreams, ResourceFeed } from "@myelin/service-host";
import { type AgentConfig, agentSchema } from "./config.js";
import { createAgent } from "./service.js";

/** Section `hardwareAgent`. */
export const hardwareAgentService = defineService<AgentConfig>({
  name: "hardware-agent",
  section: "hardwareAgent",
  schema: agentSchema,
  create(context) {
    const { bus, clock, config, log, metrics, platform, version } = context;
    const service = createAgent(config, {
      bus,
      clock,
      log,
      metrics,
      version,
      partitions: platform.nats.partitions,
      outboxDir: join(platform.process.dataDir, "outbox"),
      commandsDir: join(platform.process.dataDir, "commands"),
    });
    const { agent, standing } = service;
    const { directory } = platform.resources;
    const feed = new ResourceFeed(context, {
      openSource: (onStatusChange): ResourceSource =>
        new FileResourceSource({ directory, clock, onStatusChange }),
      apply: (snapshot) => agent.apply(snapshot),
      conditions: () => standing.conditions(),
      figures: () => standing.figures(),
      check: (resources) => agent.check(resources),
    });
    // Inputs last: what is measured must have somewhere to go.
    return [deploymentStreams(context), service, feed];
  },
});
