import { openKeyValue } from "@myelin/bus";
import { BUCKETS, Kind, STREAMS } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, type Producer, TestBox } from "./support/box.js";
import { FakeBridge } from "./support/fake-bridge.js";
import { distinct, judge, ledgerOf, owning, seeing, unaccounted } from "./support/steps.js";

const MIB = 1024 * 1024;
const DEVICES = 16;
const FILLER = "0".repeat(4_000);

/** Sends events, several at a time, until one is refused. Numbers are text with zeros before them, so that they take room. */
class Sender {
  /** What was acknowledged. */
  readonly accepted: string[] = [];
  readonly refusals = new Set<string>();
  private next = 0;

  constructor(
    private readonly producer: Producer,
    private readonly path: string,
  ) {}

  async untilRefused(): Promise<void> {
    this.refusals.clear();
    while (this.refusals.size === 0) await this.round();
  }

  async round(): Promise<void> {
    await Promise.all(
      Array.from({ length: DEVICES }, async (_, device) => {
        const text = FILLER + String(this.next++);
        try {
          await this.producer.event(`d${device}`, this.path, text);
          this.accepted.push(`d${device}#${text}`);
        } catch (error) {
          this.refusals.add(AppError.from(error).code);
        }
      }),
    );
  }
}

const keysOf = (seen: readonly { device: string; text: string }[]) =>
  new Set(seen.map(({ device, text }) => `${device}#${text}`));

describe("an app that is away for so long that the overflow gets full", () => {
  it("costs no other app an event: senders are refused, nothing accepted is lost, and all goes on when it comes back", async () => {
    await using box = await TestBox.open({ overflow: 4 * MIB, events: 64 * MIB });
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const healthy = bridge.connect("healthy", ["#"], [Kind.EVENT]);
    bridge.connect("dead", ["#"], [Kind.EVENT]);
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const apps = await openKeyValue(await box.connect("look"), BUCKETS.apps);
    await waitFor(async () => (await apps.entries()).length === 2, { what: "the apps to be remembered" });
    bridge.disconnect("dead");
    const sender = new Sender(await box.producer(), "a");
    await sender.untilRefused();
    expect([...sender.refusals]).toEqual(["bus.stream_full"]);
    await seeing(healthy.seen, sender.accepted.length);
    expect(keysOf(healthy.seen)).toEqual(new Set(sender.accepted));
    // Refused for good, not only once.
    sender.refusals.clear();
    await sender.round();
    expect([...sender.refusals]).toEqual(["bus.stream_full"]);
    const back = bridge.connect("dead", ["#"], [Kind.EVENT]);
    await waitFor(() => distinct(back.seen) >= sender.accepted.length, {
      what: "the app to have all that waited",
      deadlineMs: 20_000,
    });
    const before = sender.accepted.length;
    await waitFor(
      async () => {
        await sender.round();
        return sender.accepted.length > before;
      },
      { what: "events to be accepted again", deadlineMs: 20_000 },
    );
    for (const app of [healthy, back]) {
      await waitFor(() => distinct(app.seen) === sender.accepted.length, { what: "both to have everything" });
      expect(keysOf(app.seen)).toEqual(new Set(sender.accepted));
      expect(judge(app.seen)).toEqual([]);
    }
    const books = await waitFor(
      async () => {
        const all = await ledgerOf(box);
        return all.accounts.every((a) => a.queued === 0) ? all : undefined;
      },
      { what: "quiet books" },
    );
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
  });

  it("is judged alike by a dispatcher that starts while events are refused", async () => {
    await using box = await TestBox.open({ overflow: 2 * MIB, events: 64 * MIB });
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    bridge.connect("dead", ["#"], [Kind.EVENT]);
    const first = await box.dispatcher("dispatcher-0");
    await owning(first, PARTITIONS);
    const apps = await openKeyValue(await box.connect("look"), BUCKETS.apps);
    await waitFor(async () => (await apps.entries()).length === 1, { what: "the app to be remembered" });
    bridge.disconnect("dead");
    const sender = new Sender(await box.producer(), "a");
    await sender.untilRefused();
    await box.stop(first);
    const second = await box.dispatcher("dispatcher-0");
    await owning(second, PARTITIONS);
    expect(second.door.isOpen).toBe(false);
    await apps.delete("dead");
    await waitFor(() => second.door.isOpen, { what: "events to be accepted again", deadlineMs: 20_000 });
    await waitFor(
      async () => {
        sender.refusals.clear();
        await sender.round();
        return sender.refusals.size === 0;
      },
      { what: "a round without a refusal" },
    );
  });
});

describe("events that nobody wants, so many that their stream gets full", () => {
  it("cost no app an event: senders are refused until somebody makes room", async () => {
    await using box = await TestBox.open({ unrouted: 8 * MIB, events: 64 * MIB });
    await using bridge = new FakeBridge(await box.connect("bridge-0"));
    const healthy = bridge.connect("healthy", ["wanted"], [Kind.EVENT]);
    const dispatcher = await box.dispatcher("dispatcher-0");
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    const wanted = new Sender(producer, "wanted");
    const unwanted = new Sender(producer, "unwanted");
    while (unwanted.refusals.size === 0) {
      await Promise.all([wanted.round(), unwanted.round()]);
    }
    expect([...unwanted.refusals]).toEqual(["bus.stream_full"]);
    await seeing(healthy.seen, wanted.accepted.length);
    expect(keysOf(healthy.seen)).toEqual(new Set(wanted.accepted));
    const kept = dispatcher.core.ledger.account("unrouted", "event");
    await waitFor(() => kept.stored === unwanted.accepted.length, {
      what: "all that nobody wants to be kept",
    });
    const operator = await box.connect("operator");
    const purge = `$JS.API.STREAM.PURGE.${STREAMS.unrouted.name}`;
    await operator.request(purge, new Uint8Array(0), 5_000);
    const before = wanted.accepted.length;
    await waitFor(
      async () => {
        await wanted.round();
        return wanted.accepted.length > before;
      },
      { what: "events to be accepted again", deadlineMs: 20_000 },
    );
  });
});
