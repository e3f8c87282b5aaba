/** Free ports, checked with the kernel. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { AppError } from "@myelin/kernel";

// Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections: otherwise a client that
// reconnects while its server restarts could get the server's port, or even connect to itself.
const FIRST_PORT = 15_000;
const LAST_PORT = 31_999;

const given = new Set<number>();

/** A port on which neither TCP nor UDP is bound, never given twice by this process. */
export async function freePort(): Promise<number> {
  const span = LAST_PORT - FIRST_PORT + 1;
  // A random start keeps test processes that run at the same time from racing for the same port.
  const start = Math.floor(Math.random() * span);
  for (let step = 0; step < span; step++) {
    const port = FIRST_PORT + ((start + step) % span);
    if (given.has(port) || !(await isPortFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new AppError("setup.port_in_use", `no free port between ${FIRST_PORT} and ${LAST_PORT}`);
}

/** `count` different free ports. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

/** Whether neither TCP nor UDP is bound to `port`, by anybody. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await isTcpFree(port)) && (await isUdpFree(port));
}

// On every interface, because a server that binds all of them must find the port free too.
function isTcpFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function isUdpFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
