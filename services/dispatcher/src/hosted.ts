/** The dispatcher as service-host runs it. */
import { FileResourceSource, type ResourceSource } from "@myelin/config";
import { defineService, deploymentStreams, ResourceFeed } from "@myelin/service-host";
import { type DispatcherConfig, dispatcherSchema } from "./config.js";
import { createDispatcher } from "./service.js";

/** The dispatcher as `myelin` runs it: routes from the resources directory, settings from the section `dispatcher`. */
export const dispatcherService = defineService<DispatcherConfig>({
  name: "dispatcher",
  section: "dispatcher",
  schema: dispatcherSchema,
  async create(context) {
    const { bus, clock, config, log, metrics, platform, tracing, version } = context;
    const { directory } = platform.resources;
    const dispatcher = await createDispatcher(config, {
      bus,
      clock,
      log,
      metrics,
      version,
      tracing,
      partitions: platform.nats.partitions,
      dataDir: platform.process.dataDir,
      resourcesDir: directory,
    });
    const feed = new ResourceFeed(context, {
      openSource: (onStatusChange): ResourceSource =>
        new FileResourceSource({ directory, clock, onStatusChange }),
      apply: (snapshot) => dispatcher.applyResources(snapshot),
      conditions: () => dispatcher.resources.conditions(),
      figures: () => dispatcher.resources.figures(),
      check: (resources) => dispatcher.resources.check(resources),
    });
    // The routes are in force before the first partition is taken.
    return [deploymentStreams(context), feed, dispatcher];
  },
});
