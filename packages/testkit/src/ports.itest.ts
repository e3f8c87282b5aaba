import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { freePorts } from "./ports.js";

test("gives different ports on which TCP and UDP can be bound, outside the range of outgoing connections", async () => {
  const ports = await freePorts(20);
  expect(new Set(ports).size).toBe(20);
  for (const port of ports) {
    expect(port).toBeLessThan(32_768);
    const tcp = createServer();
    const udp = createSocket("udp4");
    await new Promise<void>((resolve) => tcp.listen(port, resolve));
    await new Promise<void>((resolve) => udp.bind(port, resolve));
    await new Promise<void>((resolve) => tcp.close(() => resolve()));
    await new Promise<void>((resolve) => udp.close(() => resolve()));
  }
});
