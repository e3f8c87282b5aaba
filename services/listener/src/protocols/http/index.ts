/** HTTP and HTTPS, with WebSocket on the same port. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { type HttpConfig, schema } from "./config.js";
import { HttpPort } from "./http-port.js";

export const plugin: ProtocolPlugin<HttpConfig> = {
  kind: "http",
  schema,
  create: (config, ctx) => new HttpPort(config, ctx),
};
