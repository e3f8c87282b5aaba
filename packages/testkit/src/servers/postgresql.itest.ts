import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { requires } from "../requires.js";
import { startPostgresql } from "./postgresql.js";
import type { TestServer } from "./server.js";

// SSLRequest (PostgreSQL, 55.7): the length of the message and the code 80877103.
const SSL_REQUEST = Buffer.from("0000000804d2162f", "hex");

function sslReply(server: TestServer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, server.host, () => socket.write(SSL_REQUEST));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

describe("startPostgresql", requires.program("pg_createcluster"), () => {
  test("starts a server that answers clients, also after a kill", async () => {
    await using server = await startPostgresql();
    expect(await sslReply(server)).toBe("N");
    await server.kill();
    await expect(sslReply(server)).rejects.toThrow("ECONNREFUSED");
    await server.restart();
    expect(await sslReply(server)).toBe("N");
  });
});
