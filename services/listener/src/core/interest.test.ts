import { control, filterKey, subjects } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { Interest } from "./interest.js";
import { SubscriptionTable } from "./subscription-table.js";
import type { Subscriber } from "./subscriptions.js";

function interestOf() {
  const hub = new MemoryHub();
  const clock = new FakeClock();
  const bus = new MemoryBus(hub, "listener-0");
  const interest = new Interest(bus, clock);
  const table = new SubscriptionTable(interest);
  interest.attach(table);
  /** A dispatcher that keeps what it is told and checks that it missed nothing. */
  const wanted = new Set<string>();
  const groups = new Map<string, number>();
  let untold = new Set<string>();
  let sequence = 0;
  bus.subscribe(subjects.interest(), (data) => {
    const batch = control.InterestBatch.decode(data);
    expect(batch.sequence).toBe(sequence + 1);
    sequence = batch.sequence;
    if (batch.reset) untold = new Set(wanted);
    for (const filter of batch.added) {
      wanted.add(filter);
      untold.delete(filter);
    }
    for (const filter of batch.removed) wanted.delete(filter);
    for (const { key, members } of batch.groups) groups.set(key, members);
    if (batch.reset || batch.added.length + batch.removed.length + batch.groups.length > 0) return;
    for (const filter of untold) wanted.delete(filter);
  });
  return { bus, clock, interest, table, wanted, groups };
}

const who = (number: number, tenant = ""): Subscriber => ({
  number,
  identity: { tenant, deviceId: `d${number}`, user: "" },
  deliver: () => true,
  revoked: () => {},
});

describe("interest", () => {
  it("keeps a dispatcher up to date through changes and replays", async () => {
    const { bus, clock, interest, table, wanted, groups } = interestOf();
    await interest.start();
    for (let i = 0; i < 5000; i++) table.add(who(i), `f/${i}`, 0);
    await Promise.resolve();
    expect(wanted.size).toBe(5000);
    const first = who(-1);
    table.add(first, "a/#", 0);
    table.add(first, "$share/g/a/#", 0);
    table.add(who(-2), "$share/g/a/#", 0);
    table.add(first, "$share/h/b", 0);
    table.remove(first, "$share/h/b");
    table.add(first, "b", 0);
    table.remove(first, "b");
    await Promise.resolve();
    expect(wanted.has("a/#")).toBe(true);
    expect(wanted.has("b")).toBe(false);
    expect(groups).toEqual(
      new Map([
        ["$share/g/a/#", 2],
        ["$share/h/b", 0],
      ]),
    );
    wanted.clear();
    groups.clear();
    wanted.add("left from before");
    bus.publish(subjects.interestSync("all"), new Uint8Array());
    bus.publish(subjects.interestSync("listener-0"), new Uint8Array());
    await clock.advance(100);
    expect(wanted.size).toBe(5001);
    expect(groups).toEqual(new Map([["$share/g/a/#", 2]]));
    await interest.stop();
    expect(wanted.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("lets the event loop turn in a long replay, and misses nothing that changes meanwhile", async () => {
    const { bus, clock, interest, table, wanted } = interestOf();
    await interest.start();
    const all = Array.from({ length: 30_000 }, (_, i) => who(i));
    for (const [i, one] of all.entries()) table.add(one, `f/${i}`, 0);
    await Promise.resolve();
    wanted.clear();
    bus.publish(subjects.interestSync("all"), new Uint8Array());
    await clock.advance(50);
    expect(wanted.size).toBeGreaterThan(0);
    expect(wanted.size).toBeLessThan(all.length);
    table.removeAll(all[0]!);
    table.removeAll(all[29_999]!);
    table.add(all[0]!, "late", 0);
    await clock.advance(100);
    expect(wanted).toEqual(new Set(table.filters()));
    expect(wanted.has("late")).toBe(true);
    bus.publish(subjects.interestSync("all"), new Uint8Array());
    await clock.advance(50);
    // A dispatcher that asks while another one is being told has missed the beginning.
    wanted.clear();
    bus.publish(subjects.interestSync("all"), new Uint8Array());
    await clock.advance(200);
    expect(wanted.size).toBe(table.size);
    await interest.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("tells the tenant of a filter with it", async () => {
    const { interest, table, wanted } = interestOf();
    await interest.start();
    table.add(who(1, "acme"), "a", 0);
    table.add(who(2), "a", 0);
    await Promise.resolve();
    expect([...wanted].sort()).toEqual(["a", filterKey("acme", "a")].sort());
    table.removeAll(who(3));
    await Promise.resolve();
    expect(wanted.size).toBe(2);
    await interest.stop();
  });

  describe("is settled", () => {
    async function settling() {
      const made = interestOf();
      let sequence = 0;
      made.bus.subscribe(subjects.interest(), (data) => {
        sequence = control.InterestBatch.decode(data).sequence;
      });
      const confirms = (dispatcher: string, more: object = {}): void => {
        const receipt = { dispatcher, incarnation: 1, sequence, ...more };
        const data = control.InterestApplied.encode(control.InterestApplied.fromPartial(receipt)).finish();
        made.bus.publish(subjects.interestApplied("listener-0"), data);
      };
      await made.interest.start();
      /** Subscribes to one filter more and says what has settled since. */
      const settled: number[] = [];
      const subscribe = (number: number): void => {
        made.table.add(who(number), `f/${number}`, 0);
        const wait = made.table.settled();
        if (wait === undefined) settled.push(number);
        else void wait.then(() => settled.push(number));
      };
      return { ...made, confirms, subscribe, settled, sequence: () => sequence };
    }

    it("at once while no dispatcher is known, and when all know everything", async () => {
      const { confirms, subscribe, settled, table, interest, clock } = await settling();
      subscribe(1);
      expect(settled).toEqual([1]);
      await Promise.resolve();
      confirms("a");
      expect(table.settled()).toBeUndefined();
      await interest.stop();
      expect(clock.pendingTimers).toBe(0);
    });

    it("when the last dispatcher has confirmed the batch that a filter came with, or a later one", async () => {
      const { confirms, subscribe, settled, interest, sequence, clock } = await settling();
      confirms("a");
      confirms("b");
      subscribe(1);
      subscribe(2);
      await clock.advance(0);
      const first = sequence();
      subscribe(3);
      await clock.advance(0);
      expect(settled).toEqual([]);
      confirms("a");
      await clock.advance(0);
      expect(settled).toEqual([]);
      confirms("b", { sequence: first });
      await clock.advance(0);
      expect(settled).toEqual([1, 2]);
      // Held by somebody else here already, and not yet known everywhere.
      subscribe(3);
      confirms("b", { incarnation: 7 });
      await clock.advance(0);
      expect(settled).toEqual([1, 2]);
      confirms("b");
      await clock.advance(0);
      expect(settled).toEqual([1, 2, 3, 3]);
      expect(interest.unconfirmed).toBe(0);
      expect(clock.pendingTimers).toBe(0);
    });

    it("after half a second without a dispatcher that does not answer, which is waited for again when it does", async () => {
      const { confirms, subscribe, settled, interest, clock } = await settling();
      confirms("a");
      confirms("b");
      subscribe(1);
      await clock.advance(300);
      confirms("a");
      subscribe(2);
      subscribe(3);
      await clock.advance(199);
      expect(settled).toEqual([]);
      await clock.advance(1);
      // Nobody waits for the silent one any more; the other one has not confirmed the second batch.
      expect([settled, interest.unconfirmed]).toEqual([[1], 1]);
      confirms("a");
      await clock.advance(0);
      expect([settled, interest.unconfirmed]).toEqual([[1, 2, 3], 1]);
      confirms("b");
      subscribe(4);
      await clock.advance(0);
      confirms("a");
      await clock.advance(0);
      expect(settled).toHaveLength(3);
      await clock.advance(500);
      expect([settled, interest.unconfirmed]).toEqual([[1, 2, 3, 4], 2]);
      expect(clock.pendingTimers).toBe(0);
    });

    it("when the listener stops", async () => {
      const { confirms, subscribe, settled, interest, clock } = await settling();
      confirms("a");
      subscribe(1);
      await interest.stop();
      expect(settled).toEqual([1]);
      subscribe(2);
      expect(settled).toEqual([1, 2]);
      await clock.advance(0);
      expect(clock.pendingTimers).toBe(0);
    });
  });
});
