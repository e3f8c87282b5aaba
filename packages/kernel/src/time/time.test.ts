import { describe, expect, it, vi } from "vitest";
import { AppError } from "../errors/app-error.js";
import { systemClock } from "./clock.js";
import { deadline, withDeadline } from "./deadline.js";
import { FakeClock } from "./fake-clock.js";

const never = (): Promise<never> => new Promise(() => undefined);

describe("systemClock", () => {
  it("gives whole safe microseconds close to the wall clock that do not go back", () => {
    let last = 0;
    for (let i = 0; i < 1000; i++) {
      const us = systemClock.wallUs();
      expect(Number.isSafeInteger(us)).toBe(true);
      expect(us).toBeGreaterThanOrEqual(last);
      last = us;
    }
    expect(Math.abs(last / 1000 - Date.now())).toBeLessThan(1000);
  });

  it("sleeps, and stops sleeping when the signal aborts", async () => {
    await systemClock.sleep(1);
    const aborter = new AbortController();
    const sleeping = systemClock.sleep(1_000_000, aborter.signal);
    aborter.abort(new AppError("operation.aborted", "enough"));
    await expect(sleeping).rejects.toMatchObject({ code: "operation.aborted", message: "enough" });
  });
});

describe("FakeClock", () => {
  it("fires timers in the order in which they fall due", async () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    clock.setTimeout(() => fired.push("b"), 20);
    clock.setTimeout(() => fired.push("a"), 10);
    clock.setInterval(() => fired.push("i"), 8);
    await clock.advance(20);
    expect(fired).toEqual(["i", "a", "i", "b"]);
    expect(clock.nowMs()).toBe(20);
  });

  it("runs a loop of sleeps within one advance", async () => {
    const clock = new FakeClock();
    let turns = 0;
    const loop = (async () => {
      for (; turns < 5; turns++) await clock.sleep(10);
    })();
    await clock.advance(50);
    await loop;
    expect(turns).toBe(5);
  });

  it("starts a refreshed timer anew and forgets a cleared one", async () => {
    const clock = new FakeClock();
    const fired = vi.fn();
    const timer = clock.setTimeout(fired, 10);
    await clock.advance(9);
    timer.refresh();
    await clock.advance(9);
    expect(fired).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(fired).toHaveBeenCalledTimes(1);
    clock.clear(timer.refresh());
    expect(clock.pendingTimers).toBe(0);
  });

  it("moves the wall clock along", async () => {
    const clock = new FakeClock(1_000);
    await clock.advance(1.5);
    expect([clock.wallMs(), clock.wallUs()]).toEqual([1001, 1_001_500]);
  });
});

describe("deadline", () => {
  it("aborts with a coded error when the time is up and leaves no timer", async () => {
    const clock = new FakeClock();
    using limit = deadline(undefined, 100, { clock, what: "the read" });
    await clock.advance(99);
    expect(limit.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(limit.signal.reason).toMatchObject({
      code: "operation.timeout",
      message: "the read did not end within 100 ms",
    });
    expect(clock.pendingTimers).toBe(0);
  });

  it("passes on the reason of its parent, also of one that has aborted before", async () => {
    const clock = new FakeClock();
    const parent = new AbortController();
    using limit = deadline(parent.signal, 100, { clock });
    parent.abort("stop");
    expect(limit.signal.reason).toBe("stop");
    using late = deadline(parent.signal, 100, { clock });
    expect(late.signal.reason).toBe("stop");
    expect(clock.pendingTimers).toBe(0);
  });

  it("clears its timer when the block is left", () => {
    const clock = new FakeClock();
    {
      using _ = deadline(undefined, 100, { clock });
      expect(clock.pendingTimers).toBe(1);
    }
    expect(clock.pendingTimers).toBe(0);
  });

  it("sets no timer for an infinite time", async () => {
    const clock = new FakeClock();
    const parent = new AbortController();
    using limit = deadline(parent.signal, Number.POSITIVE_INFINITY, { clock });
    expect(clock.pendingTimers).toBe(0);
    parent.abort("stop");
    expect(limit.signal.reason).toBe("stop");
  });

  it("rejects at the deadline even if the task ignores its signal", async () => {
    const clock = new FakeClock();
    const waiting = withDeadline(undefined, 100, never, { clock, code: "bus.timeout" });
    const seen = expect(waiting).rejects.toMatchObject({ code: "bus.timeout" });
    await clock.advance(100);
    await seen;
  });

  it("gives the task's own result or error when that comes first", async () => {
    const clock = new FakeClock();
    expect(await withDeadline(undefined, 100, async () => 7, { clock })).toBe(7);
    const failing = withDeadline(undefined, 100, async () => Promise.reject(new Error("x")), { clock });
    await expect(failing).rejects.toThrow("x");
    expect(clock.pendingTimers).toBe(0);
  });
});
