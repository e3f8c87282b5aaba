import { AppError, FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.js";
import type { Share } from "./share.js";
import { type SinkBatch, SinkOutlet } from "./sink-outlet.js";

function setUp(lane: "telemetry" | "event", write: (batches: readonly SinkBatch[]) => Promise<undefined>) {
  const clock = new FakeClock();
  const events: string[] = [];
  const outlet = new SinkOutlet({
    way: { partition: 0, epoch: 1, lane },
    clock,
    windowBytes: 10,
    onError: (error) => events.push(error.code),
    events: {
      ready: () => events.push(`ready ${outlet.state}`),
      settled: (count) => events.push(`settled ${count}`),
      refused: (reason) => events.push(`refused ${reason}`),
      leftOut: () => undefined,
      lost: () => undefined,
    },
    writer: { maxGroup: 8, write },
  });
  let sequence = 0;
  const account = new Ledger().account("fanout", lane);
  const send = (text: string) => {
    const share = { data: Buffer.from(text), sourceSequence: ++sequence, account } as unknown as Share;
    return outlet.trySend(share);
  };
  return { clock, outlet, events, send };
}

describe("SinkOutlet", () => {
  it("writes what comes at once as one group, within its window", async () => {
    const groups: string[][] = [];
    const { send, events, clock } = setUp("event", async (batches) => {
      groups.push(batches.map((b) => b.data.toString()));
      return undefined;
    });
    expect([send("aaaa"), send("bbbb"), send("cccc")]).toEqual(["taken", "taken", "later"]);
    await clock.advance(0);
    expect([groups, events]).toEqual([[["aaaa", "bbbb"]], ["settled 2"]]);
    expect(send("cccc")).toBe("taken");
  });

  it("tries events again, in order and as away, until they are written", async () => {
    let tries = 0;
    const { send, events, clock, outlet } = setUp("event", async () => {
      if (++tries < 3) throw new AppError("store.unavailable", "not now");
      return undefined;
    });
    send("a");
    await clock.advance(0);
    expect([outlet.state, events]).toEqual(["away", ["store.unavailable", "ready away"]]);
    send("b");
    await clock.advance(60_000);
    expect([tries, outlet.state]).toEqual([4, "open"]);
    expect(events.filter((e) => e.startsWith("settled"))).toEqual(["settled 1", "settled 1"]);
  });

  it("drops telemetry that cannot be written, and goes on", async () => {
    let fails = true;
    const { send, events, clock } = setUp("telemetry", async () => {
      if (fails) throw new AppError("store.unavailable", "not now");
      return undefined;
    });
    send("a");
    send("b");
    await clock.advance(0);
    fails = false;
    send("c");
    await clock.advance(0);
    expect(events).toEqual([
      "store.unavailable",
      "refused target_error",
      "refused target_error",
      "settled 1",
    ]);
  });

  it("refuses one batch for an error that cannot be mended, and writes the others", async () => {
    const { send, events, clock } = setUp("event", async (batches) => {
      if (batches[0]!.data.toString() === "bad") throw new AppError("bus.too_large", "too large");
      return undefined;
    });
    send("bad");
    send("good");
    await clock.advance(0);
    expect(events).toEqual(["bus.too_large", "refused target_error", "settled 1"]);
  });

  it("says nothing more once it is closed", async () => {
    const { send, events, clock, outlet } = setUp("event", async () => undefined);
    send("a");
    outlet.close();
    await clock.advance(60_000);
    expect([events, clock.pendingTimers]).toEqual([[], 0]);
  });
});
