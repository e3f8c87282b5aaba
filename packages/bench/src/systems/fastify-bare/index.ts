import { siblingProgram } from "../../paths.js";
import { startBroker } from "../broker.js";
import type { System } from "../system.js";
import { packageVersion } from "../tools.js";

export const plugin: System = {
  name: "fastify-bare",
  protocols: ["http"],
  // A dependency of this package: it is there when the bench is.
  async lack() {
    return undefined;
  },
  async start() {
    return startBroker({
      name: "fastify-bare",
      version: packageVersion(import.meta.url, "fastify"),
      protocol: "http",
      extra: { httpTarget: () => ({ path: "/readings/{c}" }) },
      async prepare(port) {
        return { command: process.execPath, args: [siblingProgram(import.meta.url, "server"), String(port)] };
      },
    });
  },
};
