/** Every target kind: one line each. Key = folder = key in a route's target. */
import type { TargetRegistry } from "./target.js";

export const targets = {
  app: () => import("./app/index.js"),
  device: () => import("./device/index.js"),
  devices: () => import("./devices/index.js"),
  file: () => import("./file/index.js"),
  group: () => import("./group/index.js"),
  listener: () => import("./listener/index.js"),
  nats: () => import("./nats/index.js"),
  retained: () => import("./retained/index.js"),
  sessions: () => import("./sessions/index.js"),
  sink: () => import("./sink/index.js"),
  unrouted: () => import("./unrouted/index.js"),
} satisfies TargetRegistry;
