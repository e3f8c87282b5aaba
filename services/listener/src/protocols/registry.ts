/** The protocols a port may speak. Key = folder = `protocol` in the configuration = metric label. */
import type { ProtocolRegistry } from "../core/protocol.js";

export const protocols = {
  auto: () => import("./auto/index.js"),
  http: () => import("./http/index.js"),
  mqtt: () => import("./mqtt/index.js"),
  tcp: () => import("./tcp/index.js"),
  udp: () => import("./udp/index.js"),
  websocket: () => import("./websocket/index.js"),
} satisfies ProtocolRegistry;
