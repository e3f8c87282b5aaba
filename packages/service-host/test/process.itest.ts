import { fileURLToPath } from "node:url";
import { createBus } from "@myelin/bus";
import { silentLogger } from "@myelin/observability";
import {
  freePort,
  type ManagedProcess,
  type NatsServer,
  startNats,
  startProcess,
  waitFor,
} from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNats({ jetstream: false });
});
afterAll(async () => {
  await nats[Symbol.asyncDispose]();
});

async function startEcho(env: Record<string, string> = {}) {
  const adminPort = await freePort();
  const admin = (path: string) => fetch(`http://127.0.0.1:${adminPort}${path}`);
  const running = await startProcess({
    name: "echo",
    command: process.execPath,
    args: [
      ...["--no-warnings", "--experimental-transform-types", "--conditions=source"],
      ...["--import", here("fixture/sources.mjs"), here("fixture/main.ts")],
    ],
    env: { MYELIN_NATS__SERVERS: nats.url, MYELIN_ADMIN__PORT: String(adminPort), ...env },
    ready: { url: `http://127.0.0.1:${adminPort}/livez` },
  });
  return { running, admin, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
}

const logOf = (running: ManagedProcess) =>
  running.stdout
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { level: string; msg: string });

describe("a service process", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("serves, stops in order on %s and ends with 0", async (signal) => {
    await using echo = await startEcho();
    await waitFor(async () => (await echo.admin("/readyz")).ok, { what: "readiness" });
    const bus = createBus({ servers: [nats.url], instance: "asker", service: "test", logger: silentLogger });
    await bus.start(AbortSignal.timeout(10_000));
    expect(Buffer.from(await bus.request("echo", Buffer.from("hi"), 2_000)).toString()).toBe("hi");
    await bus.stop();
    const metrics = await (await echo.admin("/metrics")).text();
    expect(metrics).toContain('myelin_component_up{component="echo/answers"} 1');
    expect(metrics).toContain("process_resident_memory_bytes");

    expect(await echo.running.kill(signal)).toEqual({ code: 0, signal: null });
    const messages = logOf(echo.running).map((line) => line.msg);
    expect(messages.indexOf("ready")).toBeGreaterThan(messages.indexOf("starting"));
    expect(messages.slice(-2)).toEqual(["asked to stop", "stopped"]);
  });

  it("waits for a NATS that is not there yet, alive but not ready, and still stops when asked", async () => {
    await using echo = await startEcho({ MYELIN_NATS__SERVERS: `nats://127.0.0.1:${await freePort()}` });
    const ready = await echo.admin("/readyz");
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({
      status: "starting",
      components: expect.arrayContaining([expect.objectContaining({ name: "bus", state: "starting" })]),
    });
    expect(await echo.running.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  it("writes a fatal line and ends with 1 on an error that nobody caught", async () => {
    await using echo = await startEcho({ MYELIN_ECHO__CRASH_AFTER_MS: "500" });
    expect(await echo.running.exited).toEqual({ code: 1, signal: null });
    const fatal = logOf(echo.running).filter((line) => line.level === "fatal");
    expect(fatal).toMatchObject([
      { msg: "uncaught error, the process ends", err: { message: "on purpose" } },
    ]);
  });
});
