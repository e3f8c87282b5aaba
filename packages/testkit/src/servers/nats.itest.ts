import { existsSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { waitFor } from "../wait-for.js";
import { type NatsServer, startNats } from "./nats.js";

/** Just enough of the NATS client protocol to ask one question; the real client belongs to the bus. */
async function request(server: NatsServer, subject: string, body = ""): Promise<Record<string, unknown>> {
  const socket = connect(server.port, server.host);
  const lines: string[] = [];
  createInterface({ input: socket }).on("line", (line) => lines.push(line));
  socket.write(
    'CONNECT {"verbose":false,"pedantic":false}\r\nSUB inbox 1\r\n' +
      `PUB ${subject} inbox ${Buffer.byteLength(body)}\r\n${body}\r\n`,
  );
  try {
    const reply = await waitFor(() => lines.find((line) => line.startsWith("{")), { what: subject });
    return JSON.parse(reply) as Record<string, unknown>;
  } finally {
    socket.destroy();
  }
}

const monitor = async (server: NatsServer, page: string): Promise<Record<string, unknown>> =>
  (await (await fetch(`${server.monitorUrl}/${page}`)).json()) as Record<string, unknown>;

const stream = JSON.stringify({ name: "READINGS", subjects: ["readings"], storage: "file" });

test("keeps what JetStream has stored over a kill and a restart on the same port", async () => {
  await using nats = await startNats({ syncInterval: "always" });
  await request(nats, "$JS.API.STREAM.CREATE.READINGS", stream);
  expect(await request(nats, "readings", "21.5")).toMatchObject({ stream: "READINGS", seq: 1 });
  const { port } = nats;
  expect(await nats.kill()).toEqual({ code: null, signal: "SIGKILL" });
  await nats.restart();
  expect(nats.port).toBe(port);
  expect(await request(nats, "readings", "22.0")).toMatchObject({ stream: "READINGS", seq: 2 });
});

test("hands the sync interval and further configuration to the server", async () => {
  await using nats = await startNats({ syncInterval: "7s", config: "max_payload: 131072" });
  expect(await monitor(nats, "varz")).toMatchObject({ max_payload: 131_072 });
  expect(await monitor(nats, "jsz")).toMatchObject({ config: { sync_interval: 7_000_000_000 } });
});

test("runs without JetStream when asked to", async () => {
  await using nats = await startNats({ jetstream: false });
  expect(await monitor(nats, "jsz")).toMatchObject({ disabled: true });
});

test("answers nothing while paused and everything afterwards", async () => {
  await using nats = await startNats();
  await nats.pause();
  const socket = connect(nats.port, nats.host);
  const greeted = new Promise<string>((resolve) => socket.once("data", (data) => resolve(String(data))));
  await new Promise((resolve) => socket.once("connect", resolve));
  expect(socket.bytesRead).toBe(0);
  nats.resume();
  expect(await greeted).toMatch(/^INFO /);
  socket.destroy();
});

test("fails with the server's own words when the configuration is refused", async () => {
  await expect(startNats({ config: "max_payload: plenty" })).rejects.toMatchObject({
    code: "lifecycle.start_failed",
    message: expect.stringMatching(/nats\.conf:\d+/) as string,
  });
});

test("leaves neither process nor data behind", async () => {
  const nats = await startNats();
  const { dataDir } = nats;
  expect(existsSync(dataDir)).toBe(true);
  await nats[Symbol.asyncDispose]();
  expect(nats.process.running).toBe(false);
  expect(existsSync(dataDir)).toBe(false);
});
