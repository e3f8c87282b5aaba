/** The scenarios. Key = folder = name on the command line. */
import type { Scenario } from "./scenario.js";

/** Loads a scenario on first use. */
export type ScenarioRegistry = Readonly<Record<string, () => Promise<{ readonly scenario: Scenario }>>>;

/** One line for each folder beside this file; the order is that of a run without a name. */
export const scenarios = {
  telemetry: () => import("./telemetry/index.js"),
  events: () => import("./events/index.js"),
  http: () => import("./http/index.js"),
  latency: () => import("./latency/index.js"),
  filters: () => import("./filters/index.js"),
  idle: () => import("./idle/index.js"),
  base: () => import("./base/index.js"),
  recovery: () => import("./recovery/index.js"),
  pubsub: () => import("./pubsub/index.js"),
  fanout: () => import("./fanout/index.js"),
  shared: () => import("./shared/index.js"),
  retained: () => import("./retained/index.js"),
  storm: () => import("./storm/index.js"),
  qos2: () => import("./qos2/index.js"),
  sessions: () => import("./sessions/index.js"),
  bridge: () => import("./bridge/index.js"),
  registry: () => import("./registry/index.js"),
  stores: () => import("./stores/index.js"),
  commands: () => import("./commands/index.js"),
  shadow: () => import("./shadow/index.js"),
  rules: () => import("./rules/index.js"),
  backtest: () => import("./backtest/index.js"),
  outbox: () => import("./outbox/index.js"),
  modbus: () => import("./modbus/index.js"),
  "dead-unit": () => import("./dead-unit/index.js"),
  footprint: () => import("./footprint/index.js"),
} satisfies ScenarioRegistry;
