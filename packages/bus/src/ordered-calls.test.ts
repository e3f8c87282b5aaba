import { AppError, FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderedCalls, OrderedCallsReader } from "./ordered-calls.js";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("OrderedCalls", () => {
  it("brings everything once and in order over a way that loses calls and answers", async () => {
    const fates = fc.array(fc.constantFrom("arrives", "call is lost", "answer is lost"), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fates, fc.array(fc.nat({ max: 3 }), { maxLength: 20 }), async (ways, bursts) => {
        const clock = new FakeClock();
        const reader = new OrderedCallsReader();
        const arrived: number[] = [];
        let waiting: number[] = [];
        const calls = new OrderedCalls({
          clock,
          request: async (data) => {
            const way = ways.shift() ?? "arrives";
            if (way !== "call is lost" && reader.isNew("one", data[0]!)) arrived.push(...data.subarray(1));
            if (way !== "arrives") throw new AppError("request.timeout", "no answer");
            return new Uint8Array(0);
          },
          onDefect: () => undefined,
          take: (sequence) => {
            if (waiting.length === 0) return undefined;
            const data = Uint8Array.of(sequence, ...waiting);
            waiting = [];
            return data;
          },
        });
        let sent = 0;
        for (const burst of bursts) {
          for (let i = 0; i < burst; i++) waiting.push(sent++);
          calls.kick();
          await turn();
          clock.advance(1_000);
        }
        for (let i = 0; i < 100 && arrived.length < sent; i++) {
          calls.kick();
          await turn();
          clock.advance(1_000);
        }
        expect(arrived).toEqual(Array.from({ length: sent }, (_, i) => i));
        calls.close();
      }),
      { numRuns: 50 },
    );
  });

  it("sends nothing after it was closed, even what it was about to repeat", async () => {
    const clock = new FakeClock();
    let tries = 0;
    const calls = new OrderedCalls({
      clock,
      request: async () => {
        tries += 1;
        throw new AppError("request.timeout", "no answer");
      },
      take: () => Uint8Array.of(1),
      onDefect: () => undefined,
    });
    calls.kick();
    await turn();
    calls.close();
    clock.advance(10_000);
    await turn();
    expect(tries).toBe(1);
  });

  it("tells of a defect at the other end once per call, and tries on", async () => {
    const clock = new FakeClock();
    const told: string[] = [];
    const tried: number[] = [];
    let left = 2;
    const calls = new OrderedCalls({
      clock,
      request: async (data) => {
        tried.push(data[0]!);
        if (tried.length < 4) throw new AppError("internal.unexpected", "a bug");
        return data;
      },
      take: (sequence) => (left-- > 0 ? Uint8Array.of(sequence) : undefined),
      onDefect: ({ code }) => told.push(code),
    });
    calls.kick();
    for (let i = 0; i < 10; i++) {
      await turn();
      await clock.advance(1_000);
    }
    expect(tried).toEqual([1, 1, 1, 1, 2]);
    expect(told).toEqual(["internal.unexpected"]);
  });

  it("tells of an answer that cannot be read, and goes on with the next call", async () => {
    const told: string[] = [];
    const answers: number[] = [];
    let left = 2;
    const calls = new OrderedCalls({
      clock: new FakeClock(),
      request: async (data) => data,
      take: (sequence) => (left-- > 0 ? Uint8Array.of(sequence) : undefined),
      answered: (answer) => {
        answers.push(answer[0]!);
        if (answer[0] === 1) throw new RangeError("no answer at all");
      },
      onDefect: ({ family }) => told.push(family),
    });
    calls.kick();
    for (let i = 0; i < 4; i++) await turn();
    expect([answers, told]).toEqual([[1, 2], ["ours"]]);
  });
});
