import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { requires } from "../requires.js";
import { startRedis } from "./redis.js";
import type { TestServer } from "./server.js";

async function ask({ host, port }: TestServer, line: string): Promise<string> {
  const socket = connect(port, host);
  socket.write(`${line}\r\n`);
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return data.toString();
}

describe("startRedis", requires.program("redis-server"), () => {
  test("starts a server that answers clients and keeps what was written over a kill", async () => {
    await using server = await startRedis();
    expect(await ask(server, "SET a 1")).toBe("+OK\r\n");
    await server.kill();
    await expect(ask(server, "PING")).rejects.toThrow("ECONNREFUSED");
    await server.restart();
    expect(await ask(server, "GET a")).toBe("$1\r\n1\r\n");
  });
});
