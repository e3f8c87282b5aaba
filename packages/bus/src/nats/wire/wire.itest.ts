import { createServer, type Socket } from "node:net";
import { systemClock } from "@myelin/kernel";
import { expect, it } from "vitest";
import { Wire } from "./wire.js";

/** A server that says what it is told to, and hands each connection over. */
async function scripted(onSocket: (socket: Socket) => void) {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function open(port: number, onEnd: (reason: Error) => void = () => undefined): Promise<Wire> {
  return Wire.open({
    host: "127.0.0.1",
    port,
    name: "test",
    credentials: {},
    clock: systemClock,
    pingMs: 60_000,
    maxPingsOut: 2,
    connectMs: 2_000,
    onEnd,
    onRefused: () => undefined,
  });
}

const INFO = 'INFO {"max_payload":1000}\r\n';

it("does not open when the server ends the handshake", async () => {
  await using server = await scripted((socket) => {
    socket.write(INFO);
    socket.once("data", () => socket.end("-ERR 'maximum connections exceeded'\r\n"));
  });
  await expect(open(server.port)).rejects.toThrow(/maximum connections|closed/);
});

it("does not open when the connection is cut between INFO and the first PONG", async () => {
  await using server = await scripted((socket) => {
    socket.write(INFO);
    socket.once("data", () => socket.destroy());
  });
  await expect(open(server.port)).rejects.toThrow();
});

it("rejects a flush that the connection did not outlive, and tells of the end once", async () => {
  let last: Socket | undefined;
  await using server = await scripted((socket) => {
    last = socket;
    socket.write(INFO);
    socket.once("data", () => socket.write("PONG\r\n"));
  });
  const ends: string[] = [];
  const wire = await open(server.port, (reason) => ends.push(reason.message));
  wire.publish("a", Buffer.from("x"), "");
  const flushed = wire.flush();
  last?.destroy();
  await expect(flushed).rejects.toThrow(/ended/);
  await expect(wire.flush()).rejects.toThrow(/ended/);
  expect(ends).toHaveLength(1);
});
