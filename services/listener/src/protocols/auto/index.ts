/** One port for all stream protocols, told apart by their first bytes. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { AutoPort } from "./auto-port.js";
import { type AutoConfig, schema } from "./config.js";

export const plugin: ProtocolPlugin<AutoConfig> = {
  kind: "auto",
  schema,
  create: (config, ctx) => new AutoPort(config, ctx),
};
