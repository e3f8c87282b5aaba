/** WebSocket: JSON, MCP and MQTT, on the port of HTTP or on one of its own. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { schema, type WebSocketConfig } from "./config.js";
import { WebSocketPort } from "./websocket-port.js";

export const plugin: ProtocolPlugin<WebSocketConfig> = {
  kind: "websocket",
  schema,
  create: (config, ctx) => new WebSocketPort(config, ctx),
};
