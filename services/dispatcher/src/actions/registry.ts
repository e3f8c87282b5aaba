/** Every kind of action: one line each. Key = folder = key in a rule's action. */
import type { ActionRegistry } from "./action.js";

export const actions = {
  alarm: () => import("./alarm/index.js"),
  app: () => import("./app/index.js"),
  command: () => import("./command/index.js"),
  publish: () => import("./publish/index.js"),
  shadow: () => import("./shadow/index.js"),
  sink: () => import("./sink/index.js"),
  webhook: () => import("./webhook/index.js"),
} satisfies ActionRegistry;
