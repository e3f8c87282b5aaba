import { control, Lane } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import type { Bus, KeyValue } from "./api.js";
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
  const accounts: control.LedgerAccount[] = [];
  const bus = { instance, incarnation, serve: () => () => undefined } as unknown as Bus;
  const made = new LedgerKeeper({
    service: "dispatcher",
    bus,
    clock,
    open: async () => bucket as unknown as KeyValue,
    accounts: () => accounts,
    onWriteFailed: () => undefined,
  });
  await made.start();
  return { clock, accounts, keeper: made };
}

const account = (lane: Lane, changes: Partial<control.LedgerAccount>): control.LedgerAccount =>
  control.LedgerAccount.fromPartial({ hop: "fanout", lane, target: "app:a", ...changes });

describe("LedgerKeeper", () => {
  it("writes the books each second while they change", async () => {
    const bucket = new Bucket();
    const { clock, accounts } = await keeper(bucket, 1);
    const before = bucket.puts;
    await clock.advance(3_000);
    expect(bucket.puts).toBe(before);
    accounts.push(account(Lane.EVENT, { received: 5, forwarded: 5 }));
    await clock.advance(1_000);
    expect(bucket.puts).toBe(before + 1);
    const [written] = [...bucket.values.values()].map((v) => control.LedgerSnapshot.decode(v));
    expect(written!.accounts).toMatchObject([{ hop: "fanout", lane: Lane.EVENT, received: 5, forwarded: 5 }]);
  });

  it("closes the books of a start that died with messages in memory", async () => {
    const bucket = new Bucket();
    const dead = await keeper(bucket, 1);
    for (const lane of [Lane.EVENT, Lane.TELEMETRY]) {
      dead.accounts.push(account(lane, { received: 10, forwarded: 7, queued: 3 }));
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
