import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineQueue, type LineQueueOptions, rtuGapMs, type TurnRequest } from "./line-queue.js";
import { PRIORITIES, type Priority } from "./link.js";

class Line {
  readonly clock = new FakeClock();
  readonly queue: LineQueue;
  /** What had its turn, in order, and when. */
  readonly turns: { readonly name: string; readonly fromMs: number; readonly toMs: number }[] = [];
  active = 0;
  mostActive = 0;
  readonly #caller = new AbortController();

  constructor(options: Partial<LineQueueOptions> = {}) {
    this.queue = new LineQueue({ clock: this.clock, name: "line", ...options });
  }

  ask(name: string, request: Partial<TurnRequest> = {}, takesMs = 10): Promise<string> {
    const full = {
      unit: 1,
      priority: "poll" as Priority,
      waitMs: 60_000,
      signal: this.#caller.signal,
      ...request,
    };
    const turn = this.queue.run(full, async () => {
      const fromMs = this.clock.nowMs();
      this.active += 1;
      this.mostActive = Math.max(this.mostActive, this.active);
      await this.clock.sleep(takesMs);
      this.active -= 1;
      this.turns.push({ name, fromMs, toMs: this.clock.nowMs() });
      return name;
    });
    return turn.catch((error: { code: string }) => error.code);
  }

  get order(): readonly string[] {
    return this.turns.map(({ name }) => name);
  }
}

describe("a queue of a line", () => {
  test("lets the more urgent go first, and nobody into a turn that has begun", async () => {
    const line = new Line();
    for (const priority of [...PRIORITIES].reverse()) void line.ask(priority, { priority });
    await line.clock.advance(100);
    // The doctor came first, when nobody else was there.
    expect(line.order).toEqual(["doctor", "stop", "command", "poll"]);
  });

  test("serves units in turn, however many requests one of them has", async () => {
    const line = new Line();
    for (const name of ["a1", "a2", "a3", "b1", "b2", "c1"])
      void line.ask(name, { unit: name.charCodeAt(0) });
    await line.clock.advance(100);
    expect(line.order).toEqual(["a1", "a2", "b1", "c1", "a3", "b2"]);
  });

  test("keeps the gap between two turns, and begins it anew when somebody is heard", async () => {
    const line = new Line({ gapMs: 2 });
    void line.ask("first");
    void line.ask("second");
    await line.clock.advance(11);
    line.queue.heard();
    await line.clock.advance(20);
    expect(line.turns.map(({ fromMs }) => fromMs)).toEqual([0, 13]);
  });

  test("refuses what would be stale when its turn comes", async () => {
    const line = new Line({ maxWaiting: 1 });
    void line.ask("running");
    const waiting = line.ask("waiting", { waitMs: 5 });
    expect(await line.ask("one too many")).toBe("queue.full");
    await line.clock.advance(100);
    expect([await waiting, line.order]).toEqual(["operation.timeout", ["running"]]);
  });

  test("lets nobody speak who was called off", async () => {
    const line = new Line();
    const gone = new AbortController();
    void line.ask("running");
    const waiting = line.ask("waiting", { signal: gone.signal });
    gone.abort();
    expect(await waiting).toBe("operation.aborted");
    expect(await line.ask("late", { signal: gone.signal })).toBe("operation.aborted");
    await line.clock.advance(100);
    expect([line.order, line.queue.waiting, line.clock.pendingTimers]).toEqual([["running"], 0, 0]);
  });

  test("gives the line back when a turn fails", async () => {
    const line = new Line();
    const request = { unit: 1, priority: "poll" as const, waitMs: 10, signal: new AbortController().signal };
    await expect(line.queue.run(request, () => Promise.reject(new TypeError("broken")))).rejects.toThrow(
      "broken",
    );
    expect(line.queue.isBusy).toBe(false);
  });

  test("lets several out where the line bears it, one to each unit", async () => {
    const line = new Line({ concurrency: 2 });
    for (const name of ["a1", "a2", "b1", "c1"]) void line.ask(name, { unit: name.charCodeAt(0) });
    await line.clock.advance(100);
    expect(line.turns.map(({ name, fromMs }) => `${name}@${fromMs}`)).toEqual([
      "a1@0",
      "b1@0",
      "a2@10",
      "c1@10",
    ]);
  });

  test("measures how long somebody spoke", async () => {
    const line = new Line({ gapMs: 2 });
    void line.ask("a");
    await line.clock.advance(50);
    expect(line.queue.busyMs).toBe(12);
    void line.ask("b");
    await line.clock.advance(5);
    expect(line.queue.busyMs).toBe(17);
  });

  test("never breaks its word, whatever comes", async () => {
    const ask = fc.record({
      atMs: fc.nat(200),
      unit: fc.nat(4),
      priority: fc.constantFrom(...PRIORITIES),
      waitMs: fc.integer({ min: 1, max: 300 }),
      takesMs: fc.integer({ min: 1, max: 30 }),
      callOff: fc.option(fc.nat(100), { nil: undefined }),
    });
    const options = fc.record({ concurrency: fc.integer({ min: 1, max: 3 }), gapMs: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(fc.array(ask, { maxLength: 25 }), options, async (asks, sharing) => {
        const line = new Line(sharing);
        const results: Promise<string>[] = [];
        for (const { atMs, callOff, takesMs, ...request } of asks) {
          line.clock.setTimeout(() => {
            const caller = new AbortController();
            if (callOff !== undefined) line.clock.setTimeout(() => caller.abort(), callOff);
            results.push(line.ask("x", { ...request, signal: caller.signal }, takesMs));
          }, atMs);
        }
        await line.clock.advance(3_000);
        const ended = await Promise.all(results);
        expect(ended).toHaveLength(asks.length);
        expect(line.mostActive).toBeLessThanOrEqual(sharing.concurrency);
        if (sharing.concurrency === 1) {
          line.turns.slice(1).forEach(({ fromMs }, i) => {
            expect(fromMs - (line.turns[i]?.toMs ?? 0)).toBeGreaterThanOrEqual(sharing.gapMs);
          });
        }
        expect([line.queue.waiting, line.queue.isBusy, line.clock.pendingTimers]).toEqual([0, false, 0]);
      }),
      { numRuns: 60 },
    );
  });

  test("knows the silence that the standard asks for", () => {
    expect(rtuGapMs(115_200, 11)).toBe(1.75);
    expect(rtuGapMs(9_600, 11)).toBeCloseTo(4.01, 2);
  });
});
