/** Whether the ports of a box can be had. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { AppError } from "@myelin/kernel";
import { ADMIN_PORTS_OF_WORKERS, type BoxPort, type BoxPorts, PORT_PURPOSE } from "./layout.js";

const LOOPBACK = "127.0.0.1";
/** Ports that are for this machine only, wherever the device ports listen. */
const INTERNAL: readonly BoxPort[] = ["grpc", "nats", "natsMonitor", "admin"];

/** One that cannot be had, and the system's reason, as in "EADDRINUSE". */
export interface TakenPort {
  readonly port: number;
  readonly purpose: string;
  readonly code: string;
}

const NO_ADDRESS_OF_OURS = ["EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN", "EINVAL", "ENODEV"];

/** Tries every port of a box, all of them. `host` is where the device ports listen. */
export async function takenPorts(ports: BoxPorts, host: string, workers: number): Promise<TakenPort[]> {
  const taken: TakenPort[] = [];
  const note = (port: number, purpose: string, code: string | undefined): void => {
    if (code !== undefined) taken.push({ port, purpose, code });
  };
  for (const name of Object.keys(ports) as BoxPort[]) {
    const address = INTERNAL.includes(name) ? LOOPBACK : host;
    const code = await (name === "mcpUdp" ? tryUdp : tryTcp)(ports[name], address);
    note(ports[name], PORT_PURPOSE[name], code);
  }
  for (let index = 0; index < workers; index++) {
    const port = ports.admin + ADMIN_PORTS_OF_WORKERS + index;
    note(port, `health and metrics of listener-${index}`, await tryTcp(port, LOOPBACK));
  }
  return taken;
}

/**
 * Finds out whether every port can be had.
 * @throws AppError `setup.port_in_use` or `setup.port_forbidden`, naming each port and its use; `config.invalid` when `host` is
 * no address of this machine
 */
export async function checkPorts(ports: BoxPorts, host: string, workers: number): Promise<void> {
  const taken = await takenPorts(ports, host, workers);
  if (taken.length === 0) return;
  if (taken.some(({ code }) => NO_ADDRESS_OF_OURS.includes(code))) {
    throw new AppError("config.invalid", `--host ${host} is not an address of this machine.`);
  }
  const names = taken.map(({ port, purpose }) => `${port} (${purpose})`);
  const list = names.join(", ");
  const many = taken.length > 1;
  throw taken.some(({ code }) => code === "EACCES")
    ? new AppError(
        "setup.port_forbidden",
        `This user may not listen on port ${list}. Start with --port-offset.`,
      )
    : new AppError(
        "setup.port_in_use",
        `Port${many ? "s" : ""} ${list} ${many ? "are" : "is"} in use by another program. ` +
          "End that program, or start with --port-offset 1000.",
        { details: { ports: names } },
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
