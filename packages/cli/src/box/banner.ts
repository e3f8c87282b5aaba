/** What `myelin up` prints when the box is ready: what listens where, and a line to copy for each protocol. */
import path from "node:path";
import { colour } from "../output.js";
import type { BoxPlan } from "./box.js";
import type { BoxFile } from "./box-file.js";
import { DEFAULT_DATA_DIR } from "./layout.js";

/** Lines for a terminal. `command` is how this command line is called from here. */
export function banner(
  box: BoxFile,
  { layout, durability }: Pick<BoxPlan, "layout" | "durability">,
  command: string,
  tookMs: number,
): string[] {
  const { ports } = box;
  const reading = `'{"t":21.5}'`;
  const row = (name: string, port: string, example: string): string =>
    `  ${colour.bold(name.padEnd(16))}${port.padEnd(7)}${colour.dim(example)}`;
  const data = path.relative(process.cwd(), layout.root) || ".";
  const at = data === DEFAULT_DATA_DIR ? "" : ` --data-dir ${data}`;
  return [
    `${colour.green("Myelin is ready")} after ${(tookMs / 1000).toFixed(1)} s; nats-server ${box.natsVersion}, events are acknowledged ${
      durability === "strict" ? "after fsync (strict)" : "before fsync (balanced)"
    }, data in ${data}.`,
    row("MQTT", `${ports.mqtt}`, `mosquitto_pub -p ${ports.mqtt} -i d1 -q 1 -t readings/temp -m ${reading}`),
    row(
      "HTTP",
      `${ports.http}`,
      `curl -d ${reading} localhost:${ports.http}/api/v1/devices/d1/messages/readings/temp`,
    ),
    row(
      "WebSocket",
      `${ports.http}`,
      `echo '{"path":"readings/temp","payload":{"t":21.5}}' | websocat ws://localhost:${ports.http}/api/v1/devices/d1/ws`,
    ),
    row(
      "TCP, lines",
      `${ports.lines}`,
      `echo 'd1 readings/temp {"t":21.5}' | nc -q1 localhost ${ports.lines}`,
    ),
    row(
      "UDP",
      `${ports.mcpUdp}`,
      `echo '{"device":"d1","path":"readings/temp","payload":{"t":21.5}}' | nc -u -w1 localhost ${ports.mcpUdp}`,
    ),
    row("TCP, MCP", `${ports.mcpTcp}`, "binary frames, see docs/reference/mcp.md"),
    row("any of these", `${ports.auto}`, "told apart by the first bytes"),
    row("apps (gRPC)", `${ports.grpc}`, `or unix:${path.relative(process.cwd(), layout.appSocket)}`),
    row("health", `${ports.admin}`, `curl localhost:${ports.admin}/metrics`),
    `Watch it: ${colour.cyan(`${command} tail${at}`)}   Books: ${colour.cyan(`${command} ledger${at}`)}   Routes: ${path.join(data, "resources")}/*.yaml   End: Ctrl-C`,
    colour.dim(
      "Without a users file, anonymous devices are let in from this machine only; see docs/how-to/users-and-acl.md.",
    ),
  ];
}
