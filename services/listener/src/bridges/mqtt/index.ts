/** Bridges to MQTT brokers. */
import type { BridgePlugin } from "../bridge.js";
import { MqttBridge } from "./mqtt-bridge.js";

export const plugin: BridgePlugin = {
  kind: "mqtt",
  create: (spec, ctx) => new MqttBridge(spec, ctx),
};
