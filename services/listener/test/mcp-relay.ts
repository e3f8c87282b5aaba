/** Stands between a device and a listener, over streams or datagrams: leads elsewhere, swallows what goes one way, cuts. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What is let through, and where to; changed while it runs. */
export interface McpRelay extends AsyncDisposable {
  readonly port: number;
  /** Port of loopback that new connections are led to. */
  target: number;
  /** False: what the device sends is swallowed. */
  up: boolean;
  /** False: what the listener sends is swallowed. */
  down: boolean;
  /** Ends all connections; over datagrams nobody is told, as when a network is gone. */
  cut(): void;
}

export async function startStreamRelay(target: number): Promise<McpRelay> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((device) => {
    const listener = connect(relay.target, "127.0.0.1");
    keep(device);
    keep(listener);
    device.on("data", (bytes) => relay.up && listener.write(bytes));
    listener.on("data", (bytes) => relay.down && device.write(bytes));
    device.on("close", () => listener.destroy());
    listener.on("close", () => device.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const relay: McpRelay = {
    port: (server.address() as AddressInfo).port,
    target,
    up: true,
    down: true,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      relay.cut();
      server.close();
      await once(server, "close");
    },
  };
  return relay;
}

export async function startDatagramRelay(target: number): Promise<McpRelay> {
  const front = createSocket("udp4");
  const backs = new Map<number, UdpSocket>();
  front.on("message", (bytes, from) => {
    let back = backs.get(from.port);
    if (back === undefined) {
      back = createSocket("udp4");
      back.on("message", (answer) => relay.down && front.send(answer, from.port, from.address));
      backs.set(from.port, back);
    }
    if (relay.up) back.send(bytes, relay.target, "127.0.0.1");
  });
  front.bind(0, "127.0.0.1");
  await once(front, "listening");
  const relay: McpRelay = {
    port: front.address().port,
    target,
    up: true,
    down: true,
    cut() {
      for (const back of backs.values()) back.close();
      backs.clear();
    },
    async [Symbol.asyncDispose]() {
      relay.cut();
      front.close();
      await once(front, "close");
    },
  };
  return relay;
}
