/** Whether the ports of a box can be had. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { AppError } from "@myelin/kernel";
import { ADMIN_PORTS_OF_WORKERS, type BoxPort, type BoxPorts, PORT_PURPOSE } from "./layout.js";

const LOOPBACK = "127.0.0.1";
/** Ports that are for this machine only, wherever the device ports listen. */
const INTERNAL: readonly BoxPort[] = ["grpc", "nats", "natsMonitor", "admin"];

/**
 * Finds out whether every port can be had, all of them at once. `host` is where the device ports listen.
 * @throws AppError `setup.port_in_use` or `setup.port_forbidden`, naming each port and its use
 */
export async function checkPorts(ports: BoxPorts, host: string, workers: number): Promise<void> {
  const taken: string[] = [];
  let forbidden = false;
  for (const name of Object.keys(ports) as BoxPort[]) {
    const address = INTERNAL.includes(name) ? LOOPBACK : host;
    const code = await (name === "mcpUdp" ? tryUdp : tryTcp)(ports[name], address);
    if (code === undefined) continue;
    if (code === "EACCES") forbidden = true;
    taken.push(`${ports[name]} (${PORT_PURPOSE[name]})`);
  }
  for (let index = 0; index < workers; index++) {
    const port = ports.admin + ADMIN_PORTS_OF_WORKERS + index;
    if ((await tryTcp(port, LOOPBACK)) !== undefined) {
      taken.push(`${port} (health and metrics of listener-${index})`);
    }
  }
  if (taken.length === 0) return;
  const list = taken.join(", ");
  const many = taken.length > 1;
  throw forbidden
    ? new AppError(
        "setup.port_forbidden",
        `This user may not listen on port ${list}. Start with --port-offset.`,
      )
    : new AppError(
        "setup.port_in_use",
        `Port${many ? "s" : ""} ${list} ${many ? "are" : "is"} in use by another program. ` +
          "End that program, or start with --port-offset 1000.",
        { details: { ports: taken } },
      );
}

function tryTcp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(codeOf(error)));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.once("error", (error) => {
      socket.close();
      resolve(codeOf(error));
    });
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}
