import { writeFile } from "node:fs/promises";
import { findProgram } from "@myelin/testkit";
import { startBroker } from "../broker.js";
import type { Running, System } from "../system.js";
import { versionOf } from "../tools.js";
import { installDebian } from "./debian.js";

const CONFIG = [
  "allow_anonymous true",
  "persistence false",
  "set_tcp_nodelay true",
  // 0 is "no limit": nothing is refused or dropped for being late.
  "max_queued_messages 0",
  "max_inflight_messages 0",
  "sys_interval 0",
  "log_dest none",
];

export const plugin: System = {
  name: "mosquitto",
  protocols: ["mqtt"],
  async lack() {
    if (findProgram("mosquitto") !== undefined) return undefined;
    return { what: "mosquitto is not installed", remedy: "apt-get install mosquitto" };
  },
  install: installDebian,
  start: () => start([]),
  startBridged: ({ farPort, direction }) =>
    start([
      "connection far",
      `address 127.0.0.1:${farPort}`,
      "bridge_protocol_version mqttv311",
      `topic bench/# ${direction} 1`,
      "cleansession false",
      "notifications false",
      "restart_timeout 1",
    ]),
};

async function start(bridge: readonly string[]): Promise<Running> {
  const command = findProgram("mosquitto") ?? "mosquitto";
  const version = await versionOf(command, ["-h"], /mosquitto version (\S+)/);
  return startBroker({
    name: "mosquitto",
    version,
    protocol: "mqtt",
    async prepare(port, dir) {
      const file = dir.join("mosquitto.conf");
      // Started by root it would become the user "mosquitto", who may not read our folder.
      const user = process.getuid?.() === 0 ? ["user root"] : [];
      await writeFile(file, [`listener ${port} 127.0.0.1`, ...user, ...CONFIG, ...bridge, ""].join("\n"));
      // Mosquitto does not raise its own limit of open files as Node and Go do.
      const script = 'ulimit -n "$(ulimit -H -n)"; exec "$0" -c "$1"';
      return { command: "/bin/sh", args: ["-c", script, command, file] };
    },
  });
}
