import { describe, expect, it } from "vitest";
import { AppError } from "../errors/app-error.js";
import { FakeClock } from "../time/fake-clock.js";
import type { Component, ComponentCondition } from "./component.js";
import { ComponentHost } from "./component-host.js";
import { Supervised } from "./supervised.js";

const never = (): Promise<never> => new Promise(() => undefined);
const signal = new AbortController().signal;

interface PartOptions {
  start?: (signal: AbortSignal) => Promise<void>;
  stop?: () => Promise<void>;
  condition?: () => ComponentCondition;
}

function part(name: string, log: string[], options: PartOptions = {}): Component {
  return {
    name,
    async start(s) {
      log.push(`start ${name}`);
      await options.start?.(s);
    },
    async stop() {
      log.push(`stop ${name}`);
      await options.stop?.();
    },
    ...(options.condition && { condition: options.condition }),
  };
}

describe("ComponentHost", () => {
  it("starts in order, stops in reverse, and stops once", async () => {
    const log: string[] = [];
    const host = new ComponentHost([part("a", log), part("b", log)], { name: "root" });
    await host.start(signal);
    expect(host.condition()).toEqual({ state: "running" });
    await Promise.all([host.stop(), host.stop()]);
    expect(log).toEqual(["start a", "start b", "stop b", "stop a"]);
    expect(host.children().map((s) => s.state)).toEqual(["stopped", "stopped"]);
  });

  it("stops what had begun when a start fails, and reports the start error", async () => {
    const log: string[] = [];
    const failing = part("b", log, { start: () => Promise.reject(new Error("no port")) });
    const host = new ComponentHost([part("a", log), failing, part("c", log)], { name: "root" });
    await expect(host.start(signal)).rejects.toMatchObject({ code: "lifecycle.start_failed" });
    await host.stop();
    expect(log).toEqual(["start a", "start b", "stop b", "stop a"]);
    expect(host.children().map((s) => s.state)).toEqual(["stopped", "failed", "created"]);
  });

  it("gives up a start that hangs at its deadline", async () => {
    const clock = new FakeClock();
    const host = new ComponentHost([part("a", [], { start: never })], {
      name: "root",
      clock,
      startTimeoutMs: 50,
    });
    const seen = expect(host.start(signal)).rejects.toMatchObject({ code: "lifecycle.start_timeout" });
    await clock.advance(50);
    await seen;
  });

  it("does not let a hanging or failing stop keep the others", async () => {
    const clock = new FakeClock();
    const log: string[] = [];
    const parts = [
      part("a", log),
      part("b", log, { stop: () => Promise.reject(new Error("broken")) }),
      part("c", log, { stop: never }),
    ];
    const host = new ComponentHost(parts, { name: "root", clock, stopTimeoutMs: 100 });
    await host.start(signal);
    const stopped = host.stop().catch((error: AggregateError) => error.errors.map((e: AppError) => e.code));
    await clock.advance(100);
    expect(await stopped).toEqual(["lifecycle.stop_timeout", "lifecycle.stop_failed"]);
    expect(log.slice(3)).toEqual(["stop c", "stop b", "stop a"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives a component the time to stop that it asks for, and a host inside it the sum", async () => {
    const clock = new FakeClock();
    const slow = { ...part("slow", [], { stop: () => clock.sleep(900) }), stopTimeoutMs: 1000 };
    const inner = new ComponentHost([slow, part("b", [])], { name: "inner", clock, stopTimeoutMs: 10 });
    const outer = new ComponentHost([inner], { name: "outer", clock, stopTimeoutMs: 10 });
    expect(outer.stopTimeoutMs).toBe(1010);
    await outer.start(signal);
    const stopped = outer.stop();
    await clock.advance(900);
    await stopped;
    expect(outer.children().map((s) => s.state)).toEqual(["stopped", "stopped", "stopped"]);
  });

  it("calls off a start under way when it is stopped", async () => {
    const log: string[] = [];
    const host = new ComponentHost([part("a", log), part("b", log, { start: never })], { name: "root" });
    const seen = expect(host.start(signal)).rejects.toMatchObject({ code: "operation.aborted" });
    await new Promise((resolve) => setImmediate(resolve));
    await host.stop();
    await seen;
    expect(log).toEqual(["start a", "start b", "stop b", "stop a"]);
  });

  it("does nothing when it is stopped before it started, and refuses to start after that", async () => {
    const log: string[] = [];
    const host = new ComponentHost([part("a", log)], { name: "root" });
    await host.stop();
    await expect(host.start(signal)).rejects.toMatchObject({ code: "lifecycle.bad_state" });
    expect(log).toEqual([]);
  });

  it("shows the condition of nested components and takes over the worst", async () => {
    const away: ComponentCondition = { state: "degraded", reason: "broker away" };
    const inner = new ComponentHost([part("mqtt", [], { condition: () => away })], { name: "listener" });
    const outer = new ComponentHost([inner], { name: "root" });
    await outer.start(signal);
    expect(outer.children()).toEqual([
      { name: "listener", state: "degraded", reason: "mqtt: broker away" },
      { name: "listener/mqtt", state: "degraded", reason: "broker away" },
    ]);
    expect(outer.condition().state).toBe("degraded");
    await outer.stop();
  });

  it("reports each change of state", async () => {
    const states: string[] = [];
    const host = new ComponentHost([part("a", [])], {
      name: "root",
      onStateChange: (s) => states.push(s.state),
    });
    await host.start(signal);
    await host.stop();
    expect(states).toEqual(["starting", "running", "stopping", "stopped"]);
  });
});

describe("Supervised", () => {
  const away = new AppError("target.unavailable", "database away");
  const waits = { initialMs: 100, maxMs: 100, jitter: "none" } as const;

  function flaky(failures: number, error: AppError = away): { create: () => Component; log: string[] } {
    const log: string[] = [];
    let tries = 0;
    const start = async (): Promise<void> => {
      if (++tries <= failures) throw error;
    };
    return { create: () => part("sink", log, { start }), log };
  }

  it("is degraded while it retries and runs once a try succeeds", async () => {
    const clock = new FakeClock();
    const { create, log } = flaky(2);
    const sink = new Supervised({ name: "sink", create, backoff: waits, clock });
    await sink.start(signal);
    expect(sink.condition()).toEqual({ state: "degraded", reason: "database away" });
    expect(sink.current).toBeUndefined();
    await clock.advance(200);
    expect(sink.condition()).toEqual({ state: "running" });
    await sink.stop();
    expect(log).toEqual(["start sink", "stop sink", "start sink", "stop sink", "start sink", "stop sink"]);
  });

  it("stops while it waits for the next try", async () => {
    const clock = new FakeClock();
    const sink = new Supervised({ name: "sink", create: flaky(9).create, backoff: waits, clock });
    await sink.start(signal);
    await sink.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("stays failed and visible with skip", async () => {
    const sink = new Supervised({ name: "sink", create: flaky(1).create, onStartError: "skip" });
    await sink.start(signal);
    expect(sink.condition()).toEqual({ state: "failed", reason: "database away" });
    await sink.stop();
  });

  it("rejects the start with fail, and for configuration errors with every policy", async () => {
    const failing = new Supervised({ name: "sink", create: flaky(1).create, onStartError: "fail" });
    await expect(failing.start(signal)).rejects.toBe(away);
    const bad = new AppError("config.invalid", "no such table");
    for (const onStartError of ["retry", "skip", "fail"] as const) {
      const sink = new Supervised({ name: "sink", create: flaky(1, bad).create, onStartError });
      await expect(sink.start(signal)).rejects.toBe(bad);
    }
  });
});
