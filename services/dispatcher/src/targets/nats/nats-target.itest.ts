import type { Bus } from "@myelin/bus";
import type { Resource, Snapshot } from "@myelin/config";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "../../../test/support/box.js";
import type { DispatcherService } from "../../index.js";

const SUBJECT = "plant.readings";

function toSubject(revision = 1): Snapshot {
  const spec = { order: 100, match: {}, stop: false, targets: [{ nats: SUBJECT }] };
  const metadata = { name: "out" };
  const resource = { apiVersion: "myelin.dev/v1alpha1", kind: "Route", metadata, spec };
  return { revision, resources: [resource as unknown as Resource<"Route">] };
}

async function api(bus: Bus, call: string, body: object = {}): Promise<Record<string, never>> {
  const answer = await bus.request(`$JS.API.${call}`, Buffer.from(JSON.stringify(body)), 5_000);
  const parsed = JSON.parse(Buffer.from(answer).toString()) as { error?: unknown };
  if (parsed.error !== undefined) throw new Error(`${call}: ${JSON.stringify(parsed.error)}`);
  return parsed as Record<string, never>;
}

const stream = (name: string, limits: object = {}) => ({
  name,
  subjects: [SUBJECT],
  storage: "file",
  retention: "limits",
  discard: "new",
  ...limits,
});

async function storedTexts(bus: Bus, name: string): Promise<string[]> {
  const { state } = (await api(bus, `STREAM.INFO.${name}`)) as unknown as {
    state: { first_seq: number; last_seq: number };
  };
  const texts: string[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const { message } = (await api(bus, `STREAM.MSG.GET.${name}`, { seq })) as unknown as {
      message: { data: string };
    };
    texts.push(Buffer.from(message.data, "base64").toString());
  }
  return texts;
}

async function running(box: TestBox): Promise<DispatcherService> {
  const dispatcher = await box.dispatcher("dispatcher-0");
  await dispatcher.applyResources(toSubject());
  await waitFor(() => dispatcher.core.partitions.size === PARTITIONS, {
    what: "the partitions",
    deadlineMs: 15_000,
  });
  return dispatcher;
}

const fanout = (dispatcher: DispatcherService) =>
  dispatcher.core.ledger.account("fanout", "event", `nats:${SUBJECT}`);
const drain = (dispatcher: DispatcherService) =>
  dispatcher.core.ledger.account("drain", "event", `nats:${SUBJECT}`);

const awayQueues = (dispatcher: DispatcherService) =>
  [...dispatcher.core.partitions.values()]
    .flatMap((partition) => [...partition.events.entries()])
    .filter(([ref, queue]) => ref.kind === "nats" && queue.flyingCount > 0 && !queue.open).length;

describe("target nats", () => {
  it("takes an event for delivered when the stream has confirmed it, and keeps it while the stream is full", async () => {
    await using box = await TestBox.open();
    const outside = await box.connect("outside");
    await api(outside, "STREAM.CREATE.OUT", stream("OUT", { max_msgs: 5 }));
    const dispatcher = await running(box);
    const producer = await box.producer();
    for (let i = 0; i < 5; i++) await producer.event("d", "a", String(i));
    await waitFor(() => fanout(dispatcher).forwarded === 5, { what: "as many as fit" });
    await producer.event("d", "a", "5");
    await waitFor(() => awayQueues(dispatcher) > 0, { what: "the target to count as away" });
    for (let i = 6; i < 12; i++) await producer.event("d", "a", String(i));
    await waitFor(() => fanout(dispatcher).stored === 7, { what: "the rest to be kept" });
    expect(await storedTexts(outside, "OUT")).toEqual(["0", "1", "2", "3", "4"]);
    expect(fanout(dispatcher).forwarded).toBe(5);
    await api(outside, "STREAM.UPDATE.OUT", stream("OUT", { max_msgs: 100 }));
    await waitFor(() => fanout(dispatcher).forwarded + drain(dispatcher).forwarded === 12, {
      what: "the rest to be stored",
      deadlineMs: 20_000,
    });
    expect(await storedTexts(outside, "OUT")).toEqual(Array.from({ length: 12 }, (_, i) => String(i)));
  });

  it("counts what a stream refuses for good, and stores the others", async () => {
    await using box = await TestBox.open();
    const outside = await box.connect("outside");
    await api(outside, "STREAM.CREATE.OUT", stream("OUT", { max_msg_size: 1_000 }));
    const dispatcher = await running(box);
    const producer = await box.producer();
    await Promise.all(["small", "x".repeat(2_000), "too"].map((text) => producer.event("d", "a", text)));
    await waitFor(() => fanout(dispatcher).received === 3 && fanout(dispatcher).queued() === 0, {
      what: "all three to be settled",
    });
    expect(await storedTexts(outside, "OUT")).toEqual(["small", "too"]);
    expect([fanout(dispatcher).forwarded, fanout(dispatcher).dropped.get("target_error")]).toEqual([2, 1]);
  });

  it("publishes without a receipt where no stream listens, and notices one that is made", async () => {
    await using box = await TestBox.open();
    const outside = await box.connect("outside");
    const dispatcher = await running(box);
    const producer = await box.producer();
    const heard: [string, string | undefined][] = [];
    const end = outside.subscribe(SUBJECT, (data, _subject, reply) => {
      heard.push([Buffer.from(data).toString(), reply]);
    });
    await outside.flush();
    await producer.event("d", "a", "1");
    await waitFor(() => heard.length === 1, { what: "the first event" });
    expect(heard).toEqual([["1", undefined]]);
    end();
    await outside.flush();
    // With nobody there at all it is as with any subject of core NATS.
    await producer.event("d", "a", "2");
    await waitFor(() => fanout(dispatcher).forwarded === 2, { what: "the second event" });
    await api(outside, "STREAM.CREATE.OUT", stream("OUT"));
    let sent = 2;
    await waitFor(
      async () => {
        await producer.event("d", "a", String(++sent));
        const account = fanout(dispatcher);
        await waitFor(() => account.forwarded === sent, { what: `event ${sent}` });
        return (await storedTexts(outside, "OUT")).length > 0;
      },
      { what: "the stream to take something", deadlineMs: 20_000 },
    );
  });

  it("goes on without a receipt when the stream is deleted", async () => {
    await using box = await TestBox.open();
    const outside = await box.connect("outside");
    await api(outside, "STREAM.CREATE.OUT", stream("OUT"));
    const dispatcher = await running(box);
    const producer = await box.producer();
    await producer.event("d", "a", "1");
    await waitFor(() => fanout(dispatcher).forwarded === 1, { what: "the first event" });
    await api(outside, "STREAM.DELETE.OUT");
    await producer.event("d", "a", "2");
    await waitFor(() => fanout(dispatcher).forwarded === 2, { what: "the second event" });
  });
});
