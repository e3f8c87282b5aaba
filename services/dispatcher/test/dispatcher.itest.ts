import { readFile } from "node:fs/promises";
import { createSubjectLog, openKeyValue } from "@myelin/bus";
import { BatchView, BUCKETS, control, Kind, Lane, partitionOf, STREAMS, subjects } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { FakeBridge } from "./support/fake-bridge.js";
import { distinct, judge, ledgerOf, owning, route, seeing, snapshot, unaccounted } from "./support/steps.js";

describe("a dispatcher", () => {
  it("brings both lanes to an app, keeps what nobody wants, and its books close", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const climate = bridge.connect("climate", ["plant/#"]);
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    for (let i = 0; i < 200; i++) producer.send(`d${i % 7}`, "plant/t", String(i));
    for (let i = 0; i < 20; i++) await producer.event(`d${i % 7}`, "plant/alarm", String(i));
    await producer.event("d1", "nobody/cares", "lost and found");
    producer.send("d1", "nobody/cares", "lost");
    await seeing(climate.seen, 220);
    expect(climate.seen.filter((s) => s.lane === Lane.EVENT)).toHaveLength(20);
    const log = createSubjectLog(await box.connect("reader"), STREAMS.unrouted.name);
    const subject = subjects.unroutedBatch(partitionOf("", "d1", PARTITIONS));
    const kept = await waitFor(async () => (await log.read(subject, 1, { messages: 9, bytes: 99_999 }))[0], {
      what: "the unrouted event",
    });
    const view = new BatchView().reset(kept.data);
    expect([view.next(), view.payload().toString()]).toEqual([true, "lost and found"]);
    const books = await waitFor(
      async () => {
        const all = await ledgerOf(box);
        return all.accounts.every((a) => a.queued === 0) ? all : undefined;
      },
      { what: "quiet books" },
    );
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
    const telemetry = books.accounts.find((a) => a.hop === "route" && a.lane === Lane.TELEMETRY)!;
    expect([telemetry.received, telemetry.forwarded, telemetry.dropped]).toEqual([
      201,
      200,
      [{ reason: "unrouted", count: 1 }],
    ]);
  });

  it("keeps the events of an app that is away, also over its own restart, and gives them in order", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    bridge.connect("night", ["#"], [Kind.EVENT]);
    const first = await box.dispatcher("dispatcher-0");
    await owning(first, PARTITIONS);
    const producer = await box.producer();
    const apps = await openKeyValue(await box.connect("look"), BUCKETS.apps);
    await waitFor(async () => (await apps.entries()).length === 1, { what: "the app to be remembered" });
    bridge.disconnect("night");
    await waitFor(() => [...first.core.apps.instances("night")].length === 0, { what: "the app to be gone" });
    for (let i = 0; i < 30; i++) await producer.event(`d${i % 3}`, "a/b", String(i));
    await box.stop(first);
    const second = await box.dispatcher("dispatcher-0");
    await owning(second, PARTITIONS);
    for (let i = 30; i < 60; i++) await producer.event(`d${i % 3}`, "a/b", String(i));
    const night = bridge.connect("night", ["#"], [Kind.EVENT]);
    await seeing(night.seen, 60);
    expect(judge(night.seen)).toEqual([]);
    expect(distinct(night.seen)).toBe(60);
  });

  it("lets a fast app have everything while a slow one takes nothing, and the slow one gets it later", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const slow = bridge.connect("slow", ["#"]);
    const fast = bridge.connect("fast", ["#"]);
    slow.acknowledges = false;
    const dispatcher = await box.dispatcher("dispatcher-0", {
      queues: { events: "64KiB" },
      events: { inHandBatches: 16 },
    });
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    // One device, one partition: without the overflow the sixteenth batch would be the last.
    for (let i = 0; i < 100; i++) await producer.event("d", "a", String(i));
    await seeing(fast.seen, 100);
    expect(fast.seen.map((s) => s.text)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    expect(distinct(slow.seen)).toBeLessThan(100);
    bridge.relent("slow");
    await waitFor(() => distinct(slow.seen) === 100, { what: "the slow app to get all", deadlineMs: 20_000 });
    expect(judge(slow.seen)).toEqual([]);
  });

  it("changes routes under load without losing or doubling a message", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    const to = (file: string) => snapshot(route("r", { targets: [{ file: { path: file } }] }));
    await dispatcher.applyResources(to("one.ndjson"));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    const written = (file: string) => waitFor(() => readFile(box.dir.join(file), "utf8"), { what: file });
    const sent: Promise<void>[] = [producer.event("d0", "a", "0")];
    await written("one.ndjson");
    for (let i = 1; i < 400; i++) {
      sent.push(producer.event(`d${i % 5}`, "a", String(i)));
      if (i % 50 === 49) await dispatcher.applyResources(to(i % 100 === 99 ? "one.ndjson" : "two.ndjson"));
      if (i % 10 === 0) await sent.at(-1);
      if (i === 80) await written("two.ndjson");
    }
    await Promise.all(sent);
    const lines = async () => {
      const files = ["one.ndjson", "two.ndjson"].map((f) => readFile(box.dir.join(f), "utf8"));
      return (await Promise.all(files)).map((text) => text.split("\n").filter((l) => l !== ""));
    };
    await waitFor(async () => (await lines()).flat().length >= 400, { what: "all lines" });
    const [one, two] = await lines();
    expect(Math.min(one!.length, two!.length)).toBeGreaterThan(0);
    const numbers = [...one!, ...two!].map((line) => (JSON.parse(line) as { payload: number }).payload);
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, i) => i));
  });

  it("refuses a route that cannot be compiled and keeps its last good version", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await dispatcher.applyResources(snapshot(route("r", { targets: [{ file: { path: "good.ndjson" } }] })));
    await owning(dispatcher, PARTITIONS);
    const bad = { codec: "protobuf", protobuf: { file: "missing.proto", message: "M" } };
    const broken = route("r", { transform: [bad], targets: [{ file: { path: "bad.ndjson" } }] });
    await dispatcher.applyResources(snapshot(broken));
    const producer = await box.producer();
    await producer.event("d", "a", "1");
    const line = await waitFor(() => readFile(box.dir.join("good.ndjson"), "utf8"), { what: "the line" });
    expect(JSON.parse(line)).toMatchObject({ device: "d", path: "a", kind: "event", payload: 1 });
  });

  it("removes messages that a sender repeats, also after a restart", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const one = bridge.connect("one", ["#"]);
    const first = await box.dispatcher("dispatcher-0");
    await owning(first, PARTITIONS);
    const producer = await box.producer();
    const extras = (n: number) => ({ id: Buffer.alloc(16, n), senderId: true });
    await producer.event("d", "a", "1", extras(1));
    await producer.event("d", "a", "1", extras(1));
    await producer.event("d", "a", "2", extras(2));
    await seeing(one.seen, 2);
    await box.stop(first);
    const second = await box.dispatcher("dispatcher-0");
    await owning(second, PARTITIONS);
    await producer.event("d", "a", "2", extras(2));
    await producer.event("d", "a", "3", extras(3));
    await seeing(one.seen, 3);
    expect(one.seen.map((s) => s.text)).toEqual(["1", "2", "3"]);
  });

  it("passes messages for a device on to its listener, and says so when there is none", async () => {
    await using box = await TestBox.open();
    const listener = await box.connect("listener-9");
    const partition = partitionOf("", "lamp", PARTITIONS);
    const seen: control.DownlinkRequest[] = [];
    listener.serve(subjects.listenerDownlink("listener-9"), (data) => {
      seen.push(control.DownlinkRequest.decode(data));
      return control.DownlinkResult.encode({ state: 1, error: undefined }).finish();
    });
    const beat = setInterval(() => {
      const message = { service: "listener", instance: "listener-9", incarnation: listener.incarnation };
      const bytes = control.Heartbeat.encode(control.Heartbeat.fromPartial(message)).finish();
      listener.publish(subjects.heartbeat("listener"), bytes);
    }, 300);
    listener.subscribe(subjects.presenceSync(partition), () => {
      const replay = control.PresenceBatch.fromPartial({
        listener: "listener-9",
        incarnation: listener.incarnation,
        partition,
        reset: true,
        changes: [{ deviceId: "lamp", online: true, connectionEpoch: 4, atUs: 1 }],
      });
      listener.publish(subjects.presence(partition), control.PresenceBatch.encode(replay).finish());
    });
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const ask = async (deviceId: string) => {
      const request = control.DownlinkRequest.fromPartial({
        deviceId,
        path: "on",
        payload: Buffer.from("1"),
      });
      const bytes = control.DownlinkRequest.encode(request).finish();
      const to = subjects.downlink(partitionOf("", deviceId, PARTITIONS));
      return control.DownlinkResult.decode(await listener.request(to, bytes, 5_000));
    };
    expect((await ask("lamp")).state).toBe(1);
    expect(seen).toMatchObject([{ deviceId: "lamp", path: "on", connectionEpoch: 4 }]);
    expect((await ask("nobody")).error?.code).toBe("device.not_connected");
    clearInterval(beat);
  });

  it("copies for a tail only what it asked for, and tells how much it left out", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const tail = await box.connect("tail");
    const copies: string[] = [];
    let leftOut = 0;
    tail.subscribe(subjects.allTapBatches(), (data) => {
      const view = new BatchView().reset(Buffer.from(data));
      while (view.next()) copies.push(view.payload().toString());
    });
    tail.subscribe(subjects.tapGap("t1"), (data) => {
      leftOut += control.TapGap.decode(data).leftOut;
    });
    const interest = {
      id: "t1",
      deviceGlobs: ["d*"],
      filters: ["a/#"],
      protocols: [],
      maxRate: 5,
      ended: false,
    };
    tail.publish(subjects.tapInterest(), control.TapInterest.encode(interest).finish());
    await waitFor(() => dispatcher.core.tap.active, { what: "the interest to be known" });
    const producer = await box.producer();
    for (let i = 0; i < 12; i++) await producer.event("d1", "a/b", String(i));
    await producer.event("x1", "a/b", "other device");
    await producer.event("d1", "b", "other path");
    await waitFor(() => copies.length + leftOut >= 12, { what: "copies and gaps", deadlineMs: 10_000 });
    expect(copies.length + leftOut).toBe(12);
    expect(leftOut).toBeGreaterThan(0);
    expect(copies).not.toContain("other device");
  });
});

describe("two dispatchers", () => {
  it("share the partitions, and when one is killed under load every event still arrives, in order", async () => {
    await using box = await TestBox.open();
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const all = bridge.connect("all", ["#"], [Kind.EVENT]);
    const doomed = await box.child("dispatcher-1");
    const survivor = await box.dispatcher("dispatcher-0");
    await waitFor(() => survivor.core.partitions.size === PARTITIONS / 2, {
      what: "half of the partitions",
      deadlineMs: 20_000,
    });
    const producer = await box.producer();
    const devices = Array.from({ length: 8 }, (_, i) => `d${i}`);
    let sent = 0;
    const load = (async () => {
      for (let i = 0; i < 250; i++) {
        await Promise.all(devices.map((device) => producer.event(device, "a", String(i))));
        sent += devices.length;
      }
    })();
    await waitFor(() => sent > 400, { what: "some load", deadlineMs: 20_000 });
    await doomed.kill("SIGKILL");
    await load;
    await waitFor(() => distinct(all.seen) === 2_000, {
      what: "all events",
      deadlineMs: 30_000,
    });
    expect(judge(all.seen)).toEqual([]);
    expect(survivor.core.partitions.size).toBe(PARTITIONS);
  });
});
