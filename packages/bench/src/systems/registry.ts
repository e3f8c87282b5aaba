/** The systems that can be measured. Key = folder = name on the command line. */
import type { System } from "./system.js";

/** Loads a plugin on first use. */
export type SystemRegistry = Readonly<Record<string, () => Promise<{ readonly plugin: System }>>>;

/** One line for each folder beside this file; the order is the order of the tables. */
export const systems = {
  myelin: () => import("./myelin/index.js"),
  mosquitto: () => import("./mosquitto/index.js"),
  "nats-mqtt": () => import("./nats-mqtt/index.js"),
  aedes: () => import("./aedes/index.js"),
  "mochi-mqtt": () => import("./mochi-mqtt/index.js"),
  rumqttd: () => import("./rumqttd/index.js"),
  "fastify-bare": () => import("./fastify-bare/index.js"),
} satisfies SystemRegistry;
