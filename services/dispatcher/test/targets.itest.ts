import { readdir, readFile } from "node:fs/promises";
import { createSubjectLog, openKeyValue } from "@myelin/bus";
import { BUCKETS, Kind, STREAMS, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { DispatcherService } from "../src/index.js";
import { PARTITIONS, TestBox } from "./support/box.js";
import { FakeBridge } from "./support/fake-bridge.js";
import { distinct, ledgerOf, owning, route, seeing, snapshot, unaccounted } from "./support/steps.js";

const hasTarget = (dispatcher: DispatcherService, name: string) =>
  [...dispatcher.core.targets.refs()].some((ref) => `${ref.kind}:${ref.name}` === name);

const drained = (dispatcher: DispatcherService, target: string) => {
  const { forwarded, dropped } = dispatcher.core.ledger.account("drain", "event", target);
  return { forwarded, dropped: Object.fromEntries(dropped) };
};

describe("a target that nobody names any more", () => {
  it("goes when it has what waited for it, and its books stay", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    const toFile = route("r", { targets: [{ file: { path: "a.ndjson" } }] });
    await dispatcher.applyResources(snapshot(toFile));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    for (let i = 0; i < 20; i++) await producer.event(`d${i}`, "a", String(i));
    const routed = dispatcher.core.ledger.account("fanout", "event", "file:a.ndjson");
    await waitFor(() => routed.received === 20, { what: "the events to be routed" });
    await dispatcher.applyResources(snapshot());
    await waitFor(() => !hasTarget(dispatcher, "file:a.ndjson"), { what: "the target to go" });
    expect((await readFile(box.dir.join("a.ndjson"), "utf8")).trim().split("\n")).toHaveLength(20);
    await dispatcher.applyResources(snapshot(toFile));
    await producer.event("d", "a", "20");
    await waitFor(async () => (await readFile(box.dir.join("a.ndjson"), "utf8")).includes('"payload":20'), {
      what: "the target to be back",
    });
    const books = await ledgerOf(box);
    expect(books.accounts.find((a) => a.hop === "fanout")).toMatchObject({ received: 21, forwarded: 21 });
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
  });

  it("stays while an app that only a route named has events waiting, also over a restart without the route", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const first = await box.dispatcher("dispatcher-0");
    await first.applyResources(snapshot(route("r", { targets: [{ app: "late" }] })));
    await owning(first, PARTITIONS);
    const producer = await box.producer();
    for (let i = 0; i < 10; i++) await producer.event(`d${i}`, "a", String(i));
    const kept = first.core.ledger.account("fanout", "event", "app:late");
    await waitFor(() => kept.stored === 10, { what: "the events to be kept" });
    await first.applyResources(snapshot());
    await box.stop(first);
    const second = await box.dispatcher("dispatcher-0");
    await owning(second, PARTITIONS);
    await waitFor(() => hasTarget(second, "app:late"), { what: "the target to be adopted" });
    const late = bridge.connect("late", [], [Kind.EVENT]);
    await seeing(late.seen, 10);
    expect(distinct(late.seen)).toBe(10);
  });
});

describe("an app that is deleted", () => {
  it("has what waits for it given up and counted, while the others go on", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const live = bridge.connect("live", ["#"], [Kind.EVENT]);
    bridge.connect("dead", ["#"], [Kind.EVENT]);
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const look = await box.connect("look");
    const apps = await openKeyValue(look, BUCKETS.apps);
    await waitFor(async () => (await apps.entries()).length === 2, { what: "the apps to be remembered" });
    bridge.disconnect("dead");
    await waitFor(() => [...dispatcher.core.apps.instances("dead")].length === 0, { what: "it to be gone" });
    const producer = await box.producer();
    for (let i = 0; i < 50; i++) await producer.event(`d${i}`, "a", String(i));
    const kept = dispatcher.core.ledger.account("fanout", "event", "app:dead");
    await waitFor(() => kept.stored === 50, { what: "its events to be kept" });
    await apps.delete("dead");
    await waitFor(() => !hasTarget(dispatcher, "app:dead"), { what: "the target to go" });
    expect(drained(dispatcher, "app:dead")).toEqual({ forwarded: 0, dropped: { app_deleted: 50 } });
    const overflow = createSubjectLog(look, STREAMS.overflow.name);
    await waitFor(async () => (await overflow.subjects(subjects.allOverflowBatches())).size === 0, {
      what: "the overflow to be empty",
    });
    await producer.event("d", "a", "50");
    await seeing(live.seen, 51);
    const books = await ledgerOf(box);
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
  });

  it("is given up also when no dispatcher ran at that moment", async () => {
    await using box = await TestBox.open();
    const bridge = new FakeBridge(await box.connect("bridge-0"));
    bridge.connect("dead", ["#"], [Kind.EVENT]);
    const first = await box.dispatcher("dispatcher-0");
    await owning(first, PARTITIONS);
    const apps = await openKeyValue(await box.connect("look"), BUCKETS.apps);
    await waitFor(async () => (await apps.entries()).length === 1, { what: "the app to be remembered" });
    bridge.disconnect("dead");
    await waitFor(() => [...first.core.apps.instances("dead")].length === 0, { what: "it to be gone" });
    const producer = await box.producer();
    for (let i = 0; i < 10; i++) await producer.event(`d${i}`, "a", String(i));
    const kept = first.core.ledger.account("fanout", "event", "app:dead");
    await waitFor(() => kept.stored === 10, { what: "its events to be kept" });
    await bridge[Symbol.asyncDispose]();
    await box.stop(first);
    await apps.delete("dead");
    const second = await box.dispatcher("dispatcher-0");
    await owning(second, PARTITIONS);
    await waitFor(() => drained(second, "app:dead").dropped.app_deleted === 10, {
      what: "it to be given up",
    });
  });
});

describe("two processes with one data directory", () => {
  it("write to a file each, and every event is in one of them", async () => {
    await using box = await TestBox.open();
    const toFile = route("r", { targets: [{ file: { path: "all.ndjson", maxBytes: 2_000, keep: 1_000 } }] });
    await using child = await box.child("dispatcher-1", [toFile]);
    const here = await box.dispatcher("dispatcher-0");
    await here.applyResources(snapshot(toFile));
    await owning(here, PARTITIONS / 2);
    const producer = await box.producer();
    for (let i = 0; i < 200; i++) await producer.event(`d${i % 16}`, "a", String(i));
    const numbers = async () => {
      const entries = await readdir(box.dir.path, { withFileTypes: true });
      // Beside them are folders of what else a dispatcher keeps.
      const names = entries.filter((entry) => entry.isFile() && !entry.name.startsWith("."));
      const texts = await Promise.all(names.map(({ name }) => readFile(box.dir.join(name), "utf8")));
      const lines = texts.flatMap((text) => text.split("\n").filter((line) => line !== ""));
      return lines.map((line) => (JSON.parse(line) as { payload: number }).payload).sort((a, b) => a - b);
    };
    await waitFor(async () => (await numbers()).length >= 200, { what: "all events", deadlineMs: 20_000 });
    expect(await numbers()).toEqual(Array.from({ length: 200 }, (_, i) => i));
    const current = (await readdir(box.dir.path)).filter((name) => name.endsWith(".ndjson"));
    expect(current).toHaveLength(2);
    expect(child.running).toBe(true);
  });
});
