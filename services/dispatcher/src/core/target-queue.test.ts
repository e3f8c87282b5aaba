import { BatchBuilder, BatchView, createChannel, EMPTY_HEAD, HopHeader, Lane, Stamp } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import type { TrackedBatch } from "./event-tracker.js";
import { LaneQueues } from "./lane-queues.js";
import { Ledger } from "./ledger.js";
import type { Outlet, OutletEvents, SendAnswer, Target } from "./outlet.js";
import type { StoredBatch } from "./overflow.js";
import type { DispatcherPorts } from "./ports.js";
import type { Share } from "./share.js";

const REF = { index: 0, kind: "app", name: "climate" };
const LINK = { sender: "l", incarnation: 1, partition: 0, lane: Lane.EVENT, target: "", targetInstance: "" };

function texts(data: Buffer): string[] {
  const view = new BatchView().reset(data);
  const found: string[] = [];
  while (view.next()) found.push(view.payload().toString());
  return found;
}

/** One event queue before a target that takes what the test says, with its overflow in memory. */
class Bench {
  readonly clock = new FakeClock();
  readonly ledger = new Ledger();
  readonly sent: string[][] = [];
  readonly stored: StoredBatch[] = [];
  /** Source batches that everything is done with. */
  done = 0;
  answer: SendAnswer = "taken";
  /** Who is there, where the target is one of connections. */
  keptFor: string | undefined = "first";
  events: OutletEvents | undefined;
  state: "open" | "away" = "open";
  readonly queues: LaneQueues;
  private readonly builder: BatchBuilder;
  private readonly channel = createChannel(1, EMPTY_HEAD, 0);
  private sources = 0;

  constructor(ofConnections = false) {
    const stamp = new Stamp(Buffer.alloc(10));
    stamp.tick(this.clock.wallUs());
    this.builder = new BatchBuilder(LINK, stamp);
    let sequence = 0;
    const ports = {
      clock: this.clock,
      log: silentLogger,
      instance: "d",
      incarnation: 1,
      openOverflow: () => ({
        store: async (data: Uint8Array) => {
          this.stored.push({ sequence: ++sequence, data: Buffer.from(data) });
          return sequence;
        },
        lastSequence: async () => this.stored.at(-1)?.sequence ?? 0,
        read: async (from: number) => this.stored.filter((b) => b.sequence >= from),
        remove: async (upTo: number) => {
          while ((this.stored[0]?.sequence ?? upTo + 1) <= upTo) this.stored.shift();
        },
      }),
    } as unknown as DispatcherPorts;
    const target = {
      name: "climate",
      whenLagging: "overflow",
      start: async () => undefined,
      stop: async () => undefined,
      ...(ofConnections && { keptFor: () => this.keptFor }),
      openOutlet: (_way, events) => {
        this.events = events;
        return this.outlet();
      },
    } satisfies Target;
    this.queues = new LaneQueues({
      ports,
      ledger: this.ledger,
      way: { partition: 0, epoch: 1, lane: "event" },
      limits: { telemetryBytes: 1e6, eventBytes: 1e6, awayGraceMs: 0 },
      targetOf: () => target,
    });
    this.queues.of(REF);
  }

  /** Routes one batch to the target: texts with their time to live in milliseconds, 0 for ever. */
  give(...messages: readonly (readonly [string, number])[]): void {
    for (const [text, ttlMs] of messages) {
      const payload = Buffer.from(text);
      const expiresAtUs = ttlMs === 0 ? 0 : this.clock.wallUs() + ttlMs * 1000;
      this.builder.appendWith(this.channel, payload, 0, payload.length, { expiresAtUs });
    }
    const view = new BatchView().reset(this.builder.finish()!);
    this.queues.add(REF, view.envelopesStart, view.bytes.length, messages.length);
    const source = { claim: () => undefined, done: () => this.done++ };
    this.queues.flush(view, false, ++this.sources, source as unknown as TrackedBatch);
  }

  comeBack(): void {
    this.state = "open";
    this.answer = "taken";
    this.events?.ready();
  }

  get queue() {
    return this.queues.of(REF)!;
  }

  books(hop: "fanout" | "drain") {
    const { received, forwarded, stored, expired, dropped, unaccounted } = this.ledger.account(
      hop,
      "event",
      "app:climate",
    );
    return { received, forwarded, stored, expired, unaccounted, dropped: Object.fromEntries(dropped) };
  }

  private outlet(): Outlet {
    const bench = this;
    return {
      get state() {
        return bench.state;
      },
      header: new HopHeader(LINK),
      trySend: (share: Share): SendAnswer => {
        if (this.answer !== "later") this.sent.push(texts(share.data));
        return this.answer;
      },
      close: () => undefined,
    };
  }
}

describe("an event queue", () => {
  it("leaves out what became too old while it waited, and books it", async () => {
    const bench = new Bench();
    await bench.clock.advance(1);
    bench.answer = "later";
    bench.give(["short", 100], ["long", 10_000], ["also short", 100], ["for ever", 0]);
    bench.give(["gone", 100]);
    await bench.clock.advance(200);
    bench.comeBack();
    expect(bench.sent).toEqual([["long", "for ever"]]);
    bench.events?.settled(1);
    expect([bench.done, bench.queue.finished]).toEqual([2, true]);
    expect(bench.books("fanout")).toEqual({
      received: 5,
      forwarded: 2,
      stored: 0,
      expired: 3,
      unaccounted: 0,
      dropped: {},
    });
  });

  it("leaves out what became too old in the overflow, and keeps the order of what it removes there", async () => {
    const bench = new Bench();
    await bench.clock.advance(1);
    bench.state = "away";
    bench.give(["a", 0]);
    bench.give(["b", 100], ["c", 0]);
    bench.give(["d", 100]);
    bench.give(["e", 0]);
    await bench.clock.advance(200);
    expect([bench.done, bench.stored.length]).toEqual([4, 4]);
    bench.comeBack();
    await bench.clock.advance(1);
    expect(bench.sent).toEqual([["a"], ["c"]]);
    // Nothing of the stored is forgotten before the target has settled what is older.
    expect(bench.stored).toHaveLength(4);
    bench.events?.settled(2);
    await bench.clock.advance(1);
    expect(bench.sent.at(-1)).toEqual(["e"]);
    bench.events?.settled(1);
    await bench.clock.advance(1);
    expect([bench.stored, bench.queue.finished]).toEqual([[], true]);
    expect(bench.books("drain")).toMatchObject({ received: 5, forwarded: 3, expired: 2, unaccounted: 0 });
  });

  it("gives up what waits and what is stored for an app that was deleted, and keeps what comes later", async () => {
    const bench = new Bench();
    await bench.clock.advance(1);
    bench.state = "away";
    for (let i = 0; i < 100; i++) bench.give([String(i), 0]);
    await bench.clock.advance(1);
    bench.queue.abandon("app_deleted");
    await bench.clock.advance(1);
    expect([bench.done, bench.stored, bench.queue.finished]).toEqual([100, [], true]);
    expect(bench.books("drain")).toMatchObject({
      received: 100,
      dropped: { app_deleted: 100 },
      unaccounted: 0,
    });
    bench.give(["new", 0]);
    await bench.clock.advance(1);
    expect([bench.sent, bench.stored.length]).toEqual([[], 1]);
  });

  it("keeps for connections what they lag behind with, and nothing once they are gone", async () => {
    const bench = new Bench(true);
    await bench.clock.advance(1);
    bench.answer = "later";
    for (const text of ["a", "b", "c"]) bench.give([text, 0]);
    bench.queue.relieve();
    await bench.clock.advance(1);
    expect([bench.done, bench.stored.length]).toEqual([3, 3]);
    bench.answer = "taken";
    bench.events?.ready();
    await bench.clock.advance(1);
    bench.events?.settled(1);
    expect(bench.sent.flat()).toEqual(["a", "b", "c"]);
    bench.state = "away";
    bench.keptFor = undefined;
    bench.events?.lost();
    bench.give(["d", 0]);
    await bench.clock.advance(1);
    expect([bench.done, bench.stored, bench.queue.finished]).toEqual([4, [], true]);
    expect(bench.books("fanout")).toMatchObject({ dropped: { target_away: 1 }, unaccounted: 0 });
    expect(bench.books("drain")).toMatchObject({
      forwarded: 1,
      dropped: { target_away: 2 },
      unaccounted: 0,
    });
  });

  it("gives nobody what was kept for another one of the same name", async () => {
    const bench = new Bench(true);
    await bench.clock.advance(1);
    bench.answer = "later";
    bench.give(["of the first", 0]);
    bench.queue.relieve();
    await bench.clock.advance(1);
    bench.keptFor = "second";
    bench.give(["of the second", 0]);
    bench.comeBack();
    await bench.clock.advance(1);
    bench.events?.settled(1);
    await bench.clock.advance(1);
    expect([bench.sent, bench.stored, bench.queue.finished]).toEqual([[["of the second"]], [], true]);
    expect(bench.books("drain")).toMatchObject({ forwarded: 1, dropped: { target_away: 1 }, unaccounted: 0 });
  });

  it("goes on with the other targets when one throws", async () => {
    const bench = new Bench();
    await bench.clock.advance(1);
    const { outlet } = bench.queue as unknown as { outlet: Outlet };
    const trySend = outlet.trySend.bind(outlet);
    outlet.trySend = () => {
      throw new RangeError("a defect");
    };
    bench.give(["a", 0]);
    outlet.trySend = trySend;
    bench.give(["b", 0]);
    expect(bench.sent).toEqual([["a"], ["b"]]);
  });
});
