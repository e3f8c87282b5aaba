import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppError } from "../errors/app-error.js";
import { FakeClock } from "../time/fake-clock.js";
import { backoff } from "./backoff.js";
import { CircuitBreaker } from "./circuit-breaker.js";
import { retry } from "./retry.js";
import { fillBucket, TokenBucket, takeTokens, tokensReadyInMs } from "./token-bucket.js";

describe("backoff", () => {
  it("grows by the factor up to the cap and starts small after a reset", () => {
    const waits = backoff({ initialMs: 100, maxMs: 500, factor: 2, jitter: "none" });
    expect([waits.nextMs(), waits.nextMs(), waits.nextMs(), waits.nextMs()]).toEqual([100, 200, 400, 500]);
    waits.reset();
    expect(waits.nextMs()).toBe(100);
  });

  it("draws from the whole range with full jitter", () => {
    const waits = backoff({ initialMs: 100, maxMs: 1000, random: () => 0.25 });
    expect([waits.nextMs(), waits.nextMs()]).toEqual([25, 50]);
  });

  it("stays between zero and the cap for ever", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (r) => {
        const waits = backoff({ initialMs: 10, maxMs: 60_000, random: () => r });
        let seen = 0;
        for (const waitMs of waits) {
          expect(waitMs).toBeGreaterThanOrEqual(0);
          expect(waitMs).toBeLessThanOrEqual(60_000);
          if (++seen === 2000) break;
        }
      }),
      { numRuns: 10 },
    );
  });
});

describe("retry", () => {
  const options = { backoff: { initialMs: 10, maxMs: 10, jitter: "none" } } as const;
  const away = new AppError("bus.disconnected", "away");

  it("tries again after retryable errors and returns the first success", async () => {
    const clock = new FakeClock();
    const waits: number[] = [];
    const running = retry(
      async (_, attempt) => (attempt < 3 ? Promise.reject(away) : attempt),
      { ...options, clock, onRetry: (_, __, waitMs) => waits.push(waitMs) },
      new AbortController().signal,
    );
    await clock.advance(20);
    expect(await running).toBe(3);
    expect(waits).toEqual([10, 10]);
  });

  it("gives up at once on an error that another try does not mend", async () => {
    const bad = new AppError("contract.bad_frame", "garbage");
    const signal = new AbortController().signal;
    await expect(
      retry(() => Promise.reject(bad), { ...options, clock: new FakeClock() }, signal),
    ).rejects.toBe(bad);
  });

  it("throws the last error when its tries are used up", async () => {
    const clock = new FakeClock();
    let calls = 0;
    const task = async (): Promise<never> => {
      calls++;
      throw away;
    };
    const running = retry(task, { ...options, attempts: 3, clock }, new AbortController().signal);
    const seen = expect(running).rejects.toBe(away);
    await clock.advance(100);
    await seen;
    expect(calls).toBe(3);
  });

  it("stops waiting when the signal aborts", async () => {
    const clock = new FakeClock();
    const aborter = new AbortController();
    const running = retry(() => Promise.reject(away), { ...options, clock }, aborter.signal);
    const seen = expect(running).rejects.toMatchObject({ code: "operation.aborted" });
    await clock.advance(5);
    aborter.abort();
    await seen;
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("CircuitBreaker", () => {
  const make = (clock: FakeClock) =>
    new CircuitBreaker({
      name: "app a",
      failures: 3,
      pause: { initialMs: 100, maxMs: 400, jitter: "none" },
      clock,
    });
  const fail = async (
    breaker: CircuitBreaker,
    code: "bus.timeout" | "auth.not_authorized" = "bus.timeout",
  ) => {
    await breaker.run(() => Promise.reject(new AppError(code, "x"))).catch(() => undefined);
  };

  it("opens after the given failures in a row and refuses without calling", async () => {
    const breaker = make(new FakeClock());
    await fail(breaker);
    await fail(breaker);
    await breaker.run(async () => 1);
    await fail(breaker);
    await fail(breaker);
    expect(breaker.state).toBe("closed");
    await fail(breaker);
    expect(breaker.state).toBe("open");
    let called = false;
    const refused = breaker.run(async () => {
      called = true;
    });
    await expect(refused).rejects.toMatchObject({ code: "operation.circuit_open" });
    expect(called).toBe(false);
  });

  it("lets one trial through after the pause and closes when it goes well", async () => {
    const clock = new FakeClock();
    const breaker = make(clock);
    for (let i = 0; i < 3; i++) await fail(breaker);
    await clock.advance(100);
    expect([breaker.tryAcquire(), breaker.tryAcquire(), breaker.state]).toEqual([true, false, "half_open"]);
    breaker.succeeded();
    expect(breaker.state).toBe("closed");
  });

  it("pauses longer after each failed trial", async () => {
    const clock = new FakeClock();
    const breaker = make(clock);
    for (let i = 0; i < 3; i++) await fail(breaker);
    await clock.advance(100);
    await fail(breaker);
    await clock.advance(199);
    expect(breaker.tryAcquire()).toBe(false);
    await clock.advance(1);
    expect(breaker.tryAcquire()).toBe(true);
  });

  it("does not blame the target for the caller's mistakes", async () => {
    const breaker = make(new FakeClock());
    for (let i = 0; i < 10; i++) await fail(breaker, "auth.not_authorized");
    expect(breaker.state).toBe("closed");
  });
});

describe("the token bucket", () => {
  const limit = { perSecond: 10, burst: 5 };

  it("allows a burst, then the rate", () => {
    const connection = { bucketTokens: 0, bucketMs: 0 };
    fillBucket(connection, limit, 1000);
    expect(takeTokens(connection, limit, 1000, 5)).toBe(true);
    expect(takeTokens(connection, limit, 1000, 1)).toBe(false);
    expect(tokensReadyInMs(connection, limit, 1000, 1)).toBe(100);
    expect(takeTokens(connection, limit, 1099, 1)).toBe(false);
    expect(takeTokens(connection, limit, 1100, 1)).toBe(true);
  });

  it("refills nothing when time goes back", () => {
    const bucket = new TokenBucket(limit, 1000);
    expect(bucket.take(1000, 5)).toBe(true);
    expect(bucket.take(0)).toBe(false);
  });

  it("never lets more through than burst plus rate times time", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 6 })));
    fc.assert(
      fc.property(steps, (takes) => {
        const bucket = new TokenBucket(limit, 0);
        let nowMs = 0;
        let taken = 0;
        for (const [waitMs, count] of takes) {
          nowMs += waitMs;
          if (bucket.take(nowMs, count)) taken += count;
        }
        expect(taken).toBeLessThanOrEqual(limit.burst + (nowMs * limit.perSecond) / 1000 + 1e-6);
      }),
    );
  });
});
