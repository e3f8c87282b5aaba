import type { Bus } from "@myelin/bus";
import { integer, object } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { type ProcessIo, runProcess } from "./run-process.js";
import { defineService } from "./service.js";

const service = defineService({
  name: "echo",
  section: "echo",
  schema: object({ size: integer({ description: "x", default: 3, minimum: 1, maximum: 9 }) }),
  create: () => {
    throw new AppError("config.unknown_kind", "no such protocol: coap");
  },
});

async function run(argv: readonly string[], environment: Record<string, string> = {}) {
  const out: string[] = [];
  const errors: string[] = [];
  const io: ProcessIo = {
    print: (text) => out.push(text),
    printError: (text) => errors.push(text),
    writeLog: (line) => out.push(line),
    stop: new AbortController().signal,
    onUncaught: () => undefined,
  };
  const code = await runProcess({ name: "echo-0", version: "1", services: [service], argv, environment, io });
  return { code, out: out.join(""), errors: errors.join("") };
}

it("stops in order and ends with 0 when a service asks for another start, also before this one is done", async () => {
  const steps: string[] = [];
  const asking = defineService({
    name: "echo",
    section: "echo",
    schema: object({}),
    create: ({ requestStop }) => [
      {
        name: "asks",
        async start() {
          requestStop("nothing is left");
          requestStop("nothing is left");
          steps.push("start");
        },
        async stop() {
          steps.push("stop");
        },
      },
    ],
  });
  const out: string[] = [];
  const io: ProcessIo = {
    print: () => undefined,
    printError: () => undefined,
    writeLog: (line) => out.push(line),
    stop: new AbortController().signal,
    onUncaught: () => undefined,
  };
  const openBus = () => ({ name: "bus", start: async () => {}, stop: async () => {} }) as unknown as Bus;
  const environment = { MYELIN_ADMIN__PORT: "0" };
  const code = await runProcess({
    name: "e",
    version: "1",
    services: [asking],
    argv: [],
    environment,
    io,
    openBus,
  });
  expect([code, steps]).toEqual([0, ["start", "stop"]]);
  expect(out.filter((line) => line.includes("to be started anew"))).toHaveLength(1);
});

describe("runProcess without running anything", () => {
  it("checks the configuration", async () => {
    expect(await run(["--check-config"])).toMatchObject({ code: 0, out: "the configuration is good\n" });
    const bad = await run(["--check-config"], { MYELIN_ECHO__SIZE: "10" });
    expect([bad.code, bad.errors]).toEqual([
      78,
      expect.stringContaining(
        "echo.size: 10 must be a whole number from 1 to 9 (environment variable MYELIN_ECHO__SIZE)",
      ),
    ]);
  });

  it("prints the configuration with sources", async () => {
    const { code, out } = await run(["--print-config"], { MYELIN_ECHO__SIZE: "4" });
    expect(code).toBe(0);
    expect(out).toContain("echo.size = 4  # environment variable MYELIN_ECHO__SIZE\n");
    expect(out).toContain('log.level = "info"  # default\n');
  });

  it("refuses options it does not have, and explains those it has", async () => {
    const { code, errors } = await run(["--verbose"]);
    expect([code, errors]).toEqual([78, expect.stringContaining("--check-config")]);
    expect(await run(["--help"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Usage: echo-0 \[options\]\n.*--print-config/s),
    });
  });

  it("ends with 78 and one fatal line when a service finds its configuration wrong", async () => {
    const { code, out } = await run([]);
    expect(code).toBe(78);
    const fatal = out.split("\n").filter((line) => line.includes('"level":"fatal"'));
    expect(fatal).toEqual([expect.stringContaining("no such protocol: coap")]);
  });

  it("refuses a user without a password", async () => {
    const { code, out } = await run([], { MYELIN_NATS__USER: "a" });
    expect([code, out]).toEqual([78, expect.stringContaining("without nats.password")]);
  });
});
