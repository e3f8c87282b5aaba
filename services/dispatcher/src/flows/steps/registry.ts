/** Every kind of step: one line each. Key = folder = key in a step's `do`. */
import type { StepRegistry } from "./step.js";

export const steps = {
  app: () => import("./app/index.js"),
  command: () => import("./command/index.js"),
  flow: () => import("./flow/index.js"),
  http: () => import("./http/index.js"),
  wait: () => import("./wait/index.js"),
} satisfies StepRegistry;
