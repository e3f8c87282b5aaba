import { control, Lane } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.js";
import { LedgerKeeper } from "./ledger-keeper.js";

class Bucket {
  readonly values = new Map<string, Uint8Array>();
  puts = 0;
  async put(key: string, value: Uint8Array): Promise<number> {
    this.values.set(key, value);
    return ++this.puts;
  }
  async delete(key: string): Promise<void> {
    this.values.delete(key);
  }
  async entries() {
    return [...this.values].map(([key, value]) => ({ key, value }));
  }
}

async function keeper(bucket: Bucket, incarnation: number, instance = "box.core") {
  const clock = new FakeClock();
  const ledger = new Ledger();
  const options = { service: "dispatcher", instance, incarnation, clock, log: silentLogger, ledger };
  const made = new LedgerKeeper(options);
  await made.start(bucket);
  return { clock, ledger, keeper: made };
}

describe("LedgerKeeper", () => {
  it("writes the books each second while they change", async () => {
    const bucket = new Bucket();
    const { clock, ledger } = await keeper(bucket, 1);
    const before = bucket.puts;
    await clock.advance(3_000);
    expect(bucket.puts).toBe(before);
    const account = ledger.account("route", "event");
    account.received = account.forwarded = 5;
    await clock.advance(1_000);
    expect(bucket.puts).toBe(before + 1);
    const [written] = [...bucket.values.values()].map((v) => control.LedgerSnapshot.decode(v));
    expect(written!.accounts).toMatchObject([{ hop: "route", lane: Lane.EVENT, received: 5, forwarded: 5 }]);
  });

  it("closes the books of a start that died with messages in memory", async () => {
    const bucket = new Bucket();
    const dead = await keeper(bucket, 1);
    for (const lane of ["telemetry", "event"] as const) {
      const account = dead.ledger.account("fanout", lane, "app:a");
      account.received = 10;
      account.forwarded = 7;
      account.hold(() => 3);
    }
    await dead.clock.advance(1_000);
    const other = await keeper(bucket, 5, "box.core2");
    const next = await keeper(bucket, 2);
    const [closed] = next.keeper.snapshot().closed;
    expect(closed).toMatchObject({ incarnation: 1 });
    expect(closed!.accounts.map((a) => [a.lane, a.queued, a.dropped])).toEqual([
      [Lane.EVENT, 0, [{ reason: "requeued", count: 3 }]],
      [Lane.TELEMETRY, 0, [{ reason: "process_died", count: 3 }]],
    ]);
    expect(other.keeper.snapshot().closed).toEqual([]);
    expect([...bucket.values.keys()].sort()).toEqual(["dispatcher.box=2Ecore.2", "dispatcher.box=2Ecore2.5"]);
  });

  it("carries closed books over further starts, the newest eight", async () => {
    const bucket = new Bucket();
    for (let incarnation = 1; incarnation <= 12; incarnation++) {
      const { keeper: made } = await keeper(bucket, incarnation);
      await made.stop();
    }
    const { keeper: last } = await keeper(bucket, 13);
    expect(last.snapshot().closed).toHaveLength(8);
  });
});
