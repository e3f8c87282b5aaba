/** Runs one service or several in a process. */

export { deploymentStreams } from "./deployment.js";
export { descriptorLimit, openDescriptors } from "./descriptors.js";
export { type PlatformConfig, platformSections } from "./platform-config.js";
export { type PluginOptions, supervisePlugin } from "./plugin.js";
export { hostMetricsList } from "./process-components.js";
export type { ResourceCondition, ResourceFigures, ResourceRefusal } from "./resource-answers.js";
export { ResourceFeed, type ResourceFeedOptions, resourceMetricsList } from "./resource-feed.js";
export {
  type ExitCode,
  type ProcessIo,
  processSchema,
  type RunOptions,
  runAndExit,
  runProcess,
} from "./run-process.js";
export { type AnyService, defineService, type Service, type ServiceContext } from "./service.js";
