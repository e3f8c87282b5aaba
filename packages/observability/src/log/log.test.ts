import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import type { LogLevel } from "./logger.js";
import { createLogger } from "./pino-logger.js";

function capture(level: LogLevel = "info") {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger({
    service: "listener",
    instance: "listener-0",
    level,
    write: (line) => lines.push(JSON.parse(line)),
  });
  return { log, lines };
}

describe("createLogger", () => {
  it("writes one JSON line with service, instance, level as a word and ISO time", () => {
    const { log, lines } = capture();
    log.child({ component: "mqtt" }).info({ port: 1883 }, "listening");
    expect(lines).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        service: "listener",
        instance: "listener-0",
        component: "mqtt",
        port: 1883,
        msg: "listening",
      },
    ]);
  });

  it("says a field once, with the innermost value, however deep children are nested", () => {
    const written: string[] = [];
    const log = createLogger({ service: "s", instance: "i", write: (line) => written.push(line) });
    const outer = log.child({ component: "listener", port: "mqtt" });
    outer.child({ component: "sessions" }).info("hello");
    log.child({ service: "other" }).info("hello");
    expect(written[0]?.match(/"component"/g)).toHaveLength(1);
    expect(JSON.parse(written[0]!)).toMatchObject({
      component: "sessions",
      port: "mqtt",
      service: "s",
      instance: "i",
    });
    expect(written[1]?.match(/"service"/g)).toHaveLength(1);
  });

  it("hides secrets, also one level down and in bindings of children", () => {
    const { log, lines } = capture();
    log.child({ token: "hush" }).warn({ password: "hush", auth: { secret: "hush" } }, "refused");
    expect(JSON.stringify(lines)).not.toContain("hush");
  });

  it("shows code, details and causes of an AppError, and the stack of defects alone", () => {
    const { log, lines } = capture();
    const away = new AppError("bus.disconnected", "away", {
      details: { url: "u" },
      cause: new Error("ECONNREFUSED"),
    });
    log.warn({ err: away }, "lost the bus");
    log.error({ err: new AppError("internal.unexpected", "bug") }, "bug");
    expect(lines[0]?.err).toEqual({
      message: "away",
      code: "bus.disconnected",
      details: { url: "u" },
      causes: ["Error: ECONNREFUSED"],
    });
    expect(lines[1]?.err).toMatchObject({ stack: expect.stringContaining("log.test.ts") });
  });

  it("lists what an AggregateError holds and survives an error without end", () => {
    const { log, lines } = capture();
    const endless = new Error("endless");
    endless.cause = endless;
    log.error({ err: new AggregateError([endless, "text"], "several") }, "several");
    expect(lines[0]?.err).toMatchObject({ errors: [{ message: "endless" }, { message: "text" }] });
  });

  it("changes the level of children that exist already", () => {
    const { log, lines } = capture();
    const child = log.child({ component: "a" });
    child.debug("hidden");
    log.setLevel("debug");
    child.debug("shown");
    expect([lines.length, child.isLevelEnabled("debug"), child.isLevelEnabled("trace")]).toEqual([
      1,
      true,
      false,
    ]);
  });
});
