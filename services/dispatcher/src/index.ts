/** The dispatcher: decides where each message goes and what it causes. */

export { commandMetricsList } from "./commands/metrics.js";
export { type DispatcherConfig, dispatcherSchema } from "./config.js";
export { dispatcherService } from "./hosted.js";
export { dispatcherMetricsList } from "./metrics.js";
export { ruleMetricsList } from "./rules/metrics.js";
export { createDispatcher, type DispatcherDependencies, type DispatcherService } from "./service.js";
