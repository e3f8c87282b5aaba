/** Every kind of bridge: one line each. Key = folder = key of a Bridge's `remote`. */
import type { BridgeRegistry } from "./bridge.js";

export const bridges = {
  mqtt: () => import("./mqtt/index.js"),
} satisfies BridgeRegistry;
