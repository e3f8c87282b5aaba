import { writeFile } from "node:fs/promises";
import { findTool, natsServerPath } from "@myelin/testkit";
import { startBroker } from "../broker.js";
import type { System } from "../system.js";
import { versionOf } from "../tools.js";

export const plugin: System = {
  name: "nats-mqtt",
  protocols: ["mqtt"],
  async lack() {
    if (findTool("nats-server") !== undefined) return undefined;
    return { what: "there is no nats-server", remedy: "npm start brings one" };
  },
  async start() {
    const command = natsServerPath();
    const version = await versionOf(command, ["--version"], /v(\d\S*)/);
    return startBroker({
      name: "nats-mqtt",
      version,
      protocol: "mqtt",
      async prepare(port, dir) {
        const file = dir.join("nats.conf");
        const lines = [
          "server_name: bench",
          'listen: "127.0.0.1:-1"',
          `jetstream { store_dir: ${JSON.stringify(dir.join("jetstream"))} }`,
          // A filter that ends in # makes two consumers, which share 65535: this is the most the server takes.
          `mqtt { listen: "127.0.0.1:${port}", max_ack_pending: 32767 }`,
          // A subscriber that is behind is kept instead of being cut off as a slow consumer.
          "max_pending: 1GB",
          'write_deadline: "60s"',
        ];
        await writeFile(file, `${lines.join("\n")}\n`);
        return { command, args: ["--config", file] };
      },
    });
  },
};
