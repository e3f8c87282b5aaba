import type { Bus } from "@myelin/bus";
import { BatchView, partitionOf, retained, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { DispatcherService } from "../src/index.js";
import { PARTITIONS, type Producer, TestBox } from "./support/box.js";
import { owning } from "./support/steps.js";

const RETAIN = { retain: true };
const ALL = [...Array(PARTITIONS).keys()];

/** A piece of an answer: topic to payload. */
async function piece(bus: Bus, partition: number, want: object, maxBytes = 1_000_000) {
  const request = retained.QueryRequest.fromPartial({ partition, wants: [want], maxBytes });
  const answer = await bus.request(
    subjects.retainedQuery(partition),
    retained.QueryRequest.encode(request).finish(),
    5_000,
  );
  const [found] = retained.QueryAnswer.decode(answer).found;
  const messages: { topic: string; text: string; qos: number }[] = [];
  if (found!.batch.length > 0) {
    const view = new BatchView().reset(found!.batch);
    while (view.next()) {
      expect(view.retain).toBe(true);
      messages.push({ topic: view.path, text: view.payload().toString(), qos: view.qos });
    }
  }
  return { messages, more: found!.more };
}

async function kept(bus: Bus, filter: string, tenant = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const partition of ALL) {
    const { messages } = await piece(bus, partition, { tenant, filter, after: "" });
    for (const { topic, text } of messages) found[topic] = text;
  }
  return found;
}

/** Waits until every partition answers. */
const ready = (bus: Bus) =>
  waitFor(
    () =>
      kept(bus, "nothing").then(
        () => true,
        () => false,
      ),
    { what: "the keepers" },
  );

async function setUp(box: TestBox, changes: object = {}): Promise<[DispatcherService, Bus, Producer]> {
  const dispatcher = await box.dispatcher("dispatcher-0", changes);
  await owning(dispatcher, PARTITIONS);
  const bus = await box.connect("asker");
  await ready(bus);
  return [dispatcher, bus, await box.producer()];
}

describe("retained messages", () => {
  it("are the last ones of their topics by either lane, go when cleared, and are there after a restart", async () => {
    await using box = await TestBox.open();
    const [dispatcher, bus, producer] = await setUp(box);
    for (let i = 0; i < 20; i++) await producer.event(`d${i}`, `site/${i % 5}/t`, String(i), RETAIN);
    await producer.event("d1", "site/9/plain", "x");
    await producer.event("d1", "site/4/t", "", RETAIN);
    await producer.event("d1", "$SYS/x", "hidden", RETAIN);
    producer.retain("d2", "site/tel/t", "1");
    producer.retain("d2", "site/tel/t", "2");
    const expected = { "site/0/t": "15", "site/1/t": "16", "site/2/t": "17", "site/3/t": "18" };
    await waitFor(async () => (await kept(bus, "site/tel/t"))["site/tel/t"] === "2", { what: "telemetry" });
    expect(await kept(bus, "site/+/t")).toEqual({ ...expected, "site/tel/t": "2" });
    expect(await kept(bus, "#", "other")).toEqual({});
    expect(await kept(bus, "$SYS/#")).toEqual({ "$SYS/x": "hidden" });
    await box.stop(dispatcher);
    const second = await box.dispatcher("dispatcher-1");
    await owning(second, PARTITIONS);
    await ready(bus);
    expect(await kept(bus, "site/#")).toEqual({ ...expected, "site/tel/t": "2" });
  });

  it("carry the QoS they were published with", async () => {
    await using box = await TestBox.open();
    const [, bus, producer] = await setUp(box);
    producer.retain("d", "q/0", "x");
    await producer.event("d", "q/1", "x", RETAIN);
    await producer.event("d", "q/2", "x", { retain: true, qos: 2 });
    await waitFor(async () => Object.keys(await kept(bus, "q/#")).length === 3, { what: "three messages" });
    for (const qos of [0, 1, 2]) {
      const topic = `q/${qos}`;
      const { messages } = await piece(bus, partitionOf("", topic, PARTITIONS), { filter: topic });
      expect(messages).toEqual([{ topic, text: "x", qos }]);
    }
  });

  it("come piece by piece, and from the stream where memory is short", async () => {
    await using box = await TestBox.open();
    const [, bus, producer] = await setUp(box, { retained: { memory: "2KiB" } });
    const sent: Record<string, string> = {};
    const stored: Promise<void>[] = [];
    for (let i = 0; i < 300; i++) {
      sent[`many/${i}`] = `payload ${i}`;
      stored.push(producer.event(`d${i % 9}`, `many/${i}`, `payload ${i}`, RETAIN));
    }
    await Promise.all(stored);
    const found: Record<string, string> = {};
    let pieces = 0;
    for (const partition of ALL) {
      for (let after = "", more = true; more; pieces++) {
        const next = await piece(bus, partition, { filter: "many/#", after }, 700);
        for (const { topic, text } of next.messages) found[topic] = text;
        more = next.more;
        after = next.messages.at(-1)?.topic ?? "";
      }
    }
    expect(found).toEqual(sent);
    expect(pieces).toBeGreaterThan(30);
  });

  it("stay when their partitions go from one dispatcher to another, and a query misses nothing that was routed elsewhere", async () => {
    await using box = await TestBox.open();
    const [first, bus, producer] = await setUp(box);
    for (let i = 0; i < 10; i++) await producer.event(`d${i}`, `move/${i}`, "before", RETAIN);
    const second = await box.dispatcher("dispatcher-1");
    await owning(second, PARTITIONS / 2);
    await owning(first, PARTITIONS / 2);
    await ready(bus);
    for (let i = 0; i < 10; i++) await producer.event(`d${i + 3}`, `move/${i}`, "after", RETAIN);
    const all = await kept(bus, "move/+");
    expect(Object.values(all)).toEqual(Array<string>(10).fill("after"));
  });

  it("are refused in time when there are too many, and what was accepted meanwhile is kept when there is room", async () => {
    await using box = await TestBox.open();
    const [, bus, producer] = await setUp(box, { retained: { messages: 40 } });
    let full = false;
    bus.subscribe(subjects.retainedState(), (data) => {
      full = retained.KeeperState.decode(data).full;
    });
    for (let i = 0; i < 80; i++) await producer.event(`d${i % 3}`, `full/${i}`, String(i), RETAIN);
    await waitFor(() => full, { what: "the keeper to say that it is full" });
    const names = new Set(Object.keys(await kept(bus, "#")));
    expect(names.size).toBeLessThan(60);
    const cleared = ALL.map((partition) =>
      bus.request(
        subjects.retainedClear(partition),
        retained.ClearRequest.encode({ partition, tenant: "", filter: "full/#" }).finish(),
        5_000,
      ),
    );
    await Promise.all(cleared);
    const everything = async (): Promise<boolean> => {
      for (const name of Object.keys(await kept(bus, "#"))) names.add(name);
      return names.size === 80;
    };
    await waitFor(everything, { what: "what was accepted to be kept after all", deadlineMs: 20_000 });
    await waitFor(() => !full, { what: "the keeper to say that there is room" });
  });
});
