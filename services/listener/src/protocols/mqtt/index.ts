/** MQTT 3.1, 3.1.1 and 5. */
import type { ProtocolPlugin } from "../../core/protocol.js";
import { type MqttConfig, schema } from "./config.js";

export const plugin: ProtocolPlugin<MqttConfig> = {
  kind: "mqtt",
  schema,
  create: async (config, ctx) => new (await import("./mqtt-port.js")).MqttPort(config, ctx),
};
