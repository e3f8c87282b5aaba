import { describe, expect, test } from "vitest";
import { requires } from "../requires.js";
import { startInfluxdb } from "./influxdb.js";

describe("startInfluxdb", requires.program("influxd"), () => {
  test("starts a server that answers clients, also after a kill", async () => {
    await using server = await startInfluxdb();
    const ping = async () => (await fetch(`${server.url}/ping`)).status;
    expect(await ping()).toBe(204);
    await server.kill();
    await expect(ping()).rejects.toThrow("fetch failed");
    await server.restart();
    expect(await ping()).toBe(204);
  });
});
