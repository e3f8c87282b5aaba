/** UDP: MCP and JSON datagrams. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { schema, type UdpConfig } from "./config.js";
import { UdpPort } from "./udp-port.js";

export const plugin: ProtocolPlugin<UdpConfig> = {
  kind: "udp",
  schema,
  create: (config, ctx) => new UdpPort(config, ctx),
};
