/** TCP: MCP frames, or lines of text. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { schema, type TcpConfig } from "./config.js";
import { TcpProtocolPort } from "./tcp-protocol-port.js";

export const plugin: ProtocolPlugin<TcpConfig> = {
  kind: "tcp",
  schema,
  create: (config, ctx) => new TcpProtocolPort(config, ctx),
};
