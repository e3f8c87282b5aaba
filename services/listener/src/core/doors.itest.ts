import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { systemClock } from "@myelin/kernel";
import { freePort, waitFor } from "@myelin/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { Doors } from "./doors.js";

const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function door(doors: Doors, server: Server = createServer()): Promise<number> {
  const port = await freePort();
  const options = { host: "127.0.0.1", port, reusePort: true };
  await new Promise<void>((resolve) => server.listen(options, resolve));
  servers.push(server);
  doors.add(server, options);
  return port;
}

async function client(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  await once(socket, "connect");
  socket.on("error", () => {});
  return socket;
}

const refused = (port: number) =>
  waitFor(
    () =>
      client(port).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === "ECONNREFUSED",
      ),
    {
      what: "the port to close",
    },
  );

describe("a full process", () => {
  it("closes all its ports, keeps its connections, and opens again when some are gone", async () => {
    const doors = new Doors(systemClock, 3);
    const [a, b] = [await door(doors), await door(doors)];
    const held = [await client(a), await client(b), await client(b)];
    await waitFor(() => doors.closings === 1, { what: "the closing" });
    await refused(a);
    await refused(b);
    expect(held.every((socket) => !socket.destroyed)).toBe(true);
    held[0]?.destroy();
    await waitFor(() => client(a), { what: "the port to open" });
  });

  it("leaves its ports to the other workers", async () => {
    const full = new Doors(systemClock, 1);
    const port = await door(full);
    await client(port);
    await refused(port);
    const taken: Socket[] = [];
    const next = createServer((socket) => taken.push(socket)).listen({
      host: "127.0.0.1",
      port,
      reusePort: true,
    });
    servers.push(next);
    await once(next, "listening");
    for (let i = 0; i < 5; i++) await client(port);
    await waitFor(() => taken.length === 5, { what: "the other worker to take them all" });
  });

  it("does not end connections of HTTP that are idle between two requests", async () => {
    const doors = new Doors(systemClock, 1);
    const port = await door(
      doors,
      createHttpServer((_request, answer) => answer.end("ok")),
    );
    const socket = await client(port);
    let answers = "";
    socket.on("data", (chunk) => {
      answers += chunk;
    });
    const ask = async (times: number) => {
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await waitFor(() => answers.split("HTTP/1.1 200").length === times + 1, { what: `answer ${times}` });
    };
    await ask(1);
    await refused(port);
    await ask(2);
  });

  it("stays closed for a server that was taken out", async () => {
    const doors = new Doors(systemClock, 1);
    const port = await door(doors);
    const socket = await client(port);
    await refused(port);
    doors.remove(servers[0] as Server);
    socket.destroy();
    await once(socket, "close");
    await refused(port);
  });
});
