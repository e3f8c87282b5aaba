import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { requires } from "../requires.js";
import { startMariadb } from "./mariadb.js";
import type { TestServer } from "./server.js";

/** The version in the first packet that the server sends (MySQL, protocol::HandshakeV10). */
async function greeting({ host, port }: TestServer): Promise<string> {
  const socket = connect(port, host);
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return data.toString("latin1", 5, data.indexOf(0, 5));
}

describe("startMariadb", requires.program("mariadbd"), () => {
  test("starts a server that answers clients, also after a kill", async () => {
    await using server = await startMariadb();
    expect(await greeting(server)).toContain("MariaDB");
    await server.kill();
    await expect(greeting(server)).rejects.toThrow("ECONNREFUSED");
    await server.restart();
    expect(await greeting(server)).toContain("MariaDB");
  });
});
