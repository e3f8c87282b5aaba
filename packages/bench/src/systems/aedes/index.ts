import { siblingProgram } from "../../paths.js";
import { startBroker } from "../broker.js";
import type { System } from "../system.js";
import { packageVersion } from "../tools.js";

export const plugin: System = {
  name: "aedes",
  protocols: ["mqtt"],
  // A dependency of this package: it is there when the bench is.
  async lack() {
    return undefined;
  },
  async start() {
    return startBroker({
      name: "aedes",
      version: packageVersion(import.meta.url, "aedes"),
      protocol: "mqtt",
      async prepare(port) {
        return { command: process.execPath, args: [siblingProgram(import.meta.url, "broker"), String(port)] };
      },
    });
  },
};
