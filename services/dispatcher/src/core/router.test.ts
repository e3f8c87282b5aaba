import {
  BatchBuilder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  type EnvelopeExtras,
  envelope,
  HopHeader,
  Lane,
  Stamp,
  topicMatches,
} from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DedupeWindow } from "./dedupe.js";
import { LaneQueues } from "./lane-queues.js";
import { Ledger } from "./ledger.js";
import type { Outlet, Target } from "./outlet.js";
import { PlanCompiler, type TargetRef, type Transform } from "./plan.js";
import { PlanCache } from "./plan-cache.js";
import type { DispatcherPorts } from "./ports.js";
import type { RouteMatch } from "./route.js";
import { Router } from "./router.js";

const LINK = { partition: 0, lane: Lane.TELEMETRY, incarnation: 1, target: "", targetInstance: "" };
const NOW_US = 1_000_000;

/** A router whose targets write down what they are given. */
class Bench {
  readonly got = new Map<string, string[]>();
  readonly shares: Buffer[] = [];
  readonly compiler = new PlanCompiler();
  readonly ledger = new Ledger();
  readonly unrouted: TargetRef = { index: 0, kind: "unrouted", name: "events" };
  readonly dedupe = new DedupeWindow();
  private readonly clock = new FakeClock();
  private readonly cache = new PlanCache(this.compiler, { maxPages: 2 });
  private readonly router = new Router(this.cache, () => NOW_US);
  private readonly refs = [this.unrouted];
  private readonly builder = new BatchBuilder({ ...LINK, sender: "listener" }, new Stamp(Buffer.alloc(10)));
  private readonly channels = new Map<string, ReturnType<typeof createChannel>>();
  private readonly queues = new LaneQueues({
    ports: { clock: this.clock, log: silentLogger } as unknown as DispatcherPorts,
    ledger: this.ledger,
    way: { partition: 0, epoch: 9, lane: "telemetry" },
    limits: { telemetryBytes: 1e6, eventBytes: 1e6, awayGraceMs: 0 },
    targetOf: (ref) => this.target(ref),
  });

  constructor(private readonly event = false) {}

  ref(name: string): TargetRef {
    const ref = { index: this.refs.length, kind: "app", name };
    this.refs.push(ref);
    return ref;
  }

  subscribe(filter: string, name: string): void {
    this.compiler.subscribe(filter, { target: this.ref(name), test: undefined });
    this.compiler.invalidate();
  }

  listen(filter: string, name: string): () => void {
    const subscriber = { target: this.ref(name), test: undefined };
    this.compiler.listeners.add("", filter, subscriber);
    return () => void this.compiler.listeners.remove("", filter, subscriber);
  }

  route(name: string, match: RouteMatch, transform?: Transform): void {
    const spec = { name, order: 1, match, targets: [{}] };
    this.compiler.setRoutes([{ spec, legs: [{ target: this.ref(name), transform }] }]);
  }

  append(path: string, text: string, extras?: EnvelopeExtras): void {
    let channel = this.channels.get(path);
    if (channel === undefined) {
      // Numbers far apart, so that pages are turned and dropped; and heads without a number.
      const number = path.startsWith("no-channel/") ? 0 : this.channels.size * 4096 + 1;
      channel = createChannel(number, { ...EMPTY_HEAD, path, deviceId: "d" }, 0);
      this.channels.set(path, channel);
    }
    const payload = Buffer.from(text);
    if (extras === undefined) this.builder.append(channel, payload, 0, payload.length);
    else this.builder.appendWith(channel, payload, 0, payload.length, extras);
  }

  run(data: Buffer = this.builder.finish()!): void {
    const view = new BatchView().reset(data);
    this.dedupe.begin(this.shares.length + 1);
    const lane = {
      event: this.event,
      queues: this.queues,
      account: this.account,
      unrouted: this.event ? this.unrouted : undefined,
    };
    this.router.route(view, lane, undefined, false, this.dedupe);
    this.dedupe.commit();
  }

  get account() {
    return this.ledger.account("route", this.event ? "event" : "telemetry");
  }

  books(): Record<string, number | Record<string, number>> {
    const { received, forwarded, stored, expired, dropped, unaccounted } = this.account;
    return { received, forwarded, stored, expired, unaccounted, dropped: Object.fromEntries(dropped) };
  }

  batch(): Buffer {
    return this.builder.finish()!;
  }

  private target(ref: TargetRef): Target {
    const seen: string[] = [];
    this.got.set(ref.name, seen);
    const outlet: Outlet = {
      state: "open",
      header: new HopHeader({ ...LINK, sender: "dispatcher" }),
      trySend: ({ data }) => {
        this.shares.push(data);
        const view = new BatchView().reset(data);
        expect(view.producer).toBe("listener");
        while (view.next()) seen.push(`${view.path}=${view.payload()}${view.contentType}`);
        return "done";
      },
      close: () => undefined,
    };
    return {
      name: ref.name,
      whenLagging: "drop",
      start: async () => undefined,
      stop: async () => undefined,
      openOutlet: () => outlet,
    };
  }
}

describe("Router", () => {
  it("gives each target exactly its messages, in order, whatever the mix of topics", () => {
    const paths = fc.constantFrom("a/x", "a/y", "b/x", "b/y", "c", "d", "e", "f", "g");
    fc.assert(
      fc.property(fc.array(fc.array(paths, { minLength: 1, maxLength: 40 }), { maxLength: 6 }), (batches) => {
        const bench = new Bench();
        bench.subscribe("a/#", "A");
        bench.subscribe("+/x", "X");
        bench.subscribe("b/y", "B");
        const all: string[] = [];
        batches.forEach((batch, i) => {
          batch.forEach((path, k) => {
            bench.append(path, `${i}.${k}`);
            all.push(`${path}=${i}.${k}`);
          });
          bench.run();
        });
        const of = (test: RegExp) => all.filter((line) => test.test(line));
        expect(bench.got.get("A") ?? []).toEqual(of(/^a\//));
        expect(bench.got.get("X") ?? []).toEqual(of(/^[ab]\/x/));
        expect(bench.got.get("B") ?? []).toEqual(of(/^b\/y/));
        expect(bench.account.received).toBe(all.length);
        expect(bench.account.forwarded).toBe(of(/^[ab]/).length);
        expect(bench.account.unaccounted).toBe(0);
      }),
    );
  });

  it("gives a listener what it wants from the moment on in which it says so", () => {
    const paths = fc.constantFrom("a/x", "a/y", "b/x", "c", "no-channel/x", "no-channel/y");
    const filters = fc.constantFrom("a/x", "a/#", "+/x", "#", "c/#", "no-channel/+", "no-channel/y");
    const steps = fc.array(fc.tuple(filters, fc.array(paths, { minLength: 1, maxLength: 8 })), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(steps, (all) => {
        const bench = new Bench();
        const held = new Map<string, () => void>();
        const expected = new Map<string, string[]>();
        all.forEach(([filter, batch], i) => {
          const end = held.get(filter);
          if (end === undefined) held.set(filter, bench.listen(filter, `${filter} ${i}`));
          else end();
          if (end !== undefined) held.delete(filter);
          batch.forEach((path, k) => {
            bench.append(path, `${i}.${k}`);
            for (const f of held.keys()) {
              if (topicMatches(f, path)) expected.set(f, [...(expected.get(f) ?? []), `${path}=${i}.${k}`]);
            }
          });
          bench.run();
        });
        const got = new Map<string, string[]>();
        for (const [name, lines] of bench.got) {
          const filter = name.split(" ")[0]!;
          if (lines.length > 0) got.set(filter, [...(got.get(filter) ?? []), ...lines]);
        }
        expect(got).toEqual(expected);
      }),
    );
  });

  it("routes nothing of a batch that turns out to be broken", () => {
    const bench = new Bench();
    bench.subscribe("#", "A");
    bench.append("a", "1");
    bench.append("a", "2");
    const data = bench.batch();
    expect(() => bench.run(data.subarray(0, data.length - 1))).toThrow(
      expect.objectContaining({ code: "contract.bad_envelope" }),
    );
    bench.append("a", "3");
    bench.run();
    expect(bench.got.get("A")).toEqual(["a=3"]);
    expect(bench.books()).toMatchObject({ received: 1, unaccounted: 0 });
  });

  it("leaves out what has expired", () => {
    const bench = new Bench();
    bench.subscribe("#", "A");
    bench.append("a", "old", { expiresAtUs: NOW_US });
    bench.append("a", "fresh", { expiresAtUs: NOW_US + 1 });
    bench.append("a", "for ever");
    bench.run();
    expect(bench.got.get("A")).toEqual(["a=fresh", "a=for ever"]);
    expect(bench.books()).toMatchObject({ received: 3, forwarded: 2, expired: 1, unaccounted: 0 });
  });

  it("leaves out what a sender repeats, within a batch and after it", () => {
    const bench = new Bench();
    bench.subscribe("#", "A");
    const id = (n: number) => ({ id: Buffer.alloc(16, n), senderId: true });
    bench.append("a", "1", id(1));
    bench.append("a", "1 again", id(1));
    bench.append("a", "no id");
    bench.run();
    bench.append("a", "1 once more", id(1));
    bench.append("a", "2", id(2));
    bench.run();
    expect(bench.got.get("A")).toEqual(["a=1", "a=no id", "a=2"]);
    expect(bench.books()).toMatchObject({
      received: 5,
      forwarded: 3,
      dropped: { double: 2 },
      unaccounted: 0,
    });
  });

  it("looks at headers only of messages that may have some", () => {
    const bench = new Bench();
    bench.route("north", { headers: { site: "north" } });
    const site = (value: string) => ({ headers: [{ name: "site", value }] });
    bench.append("a", "plain");
    bench.run();
    bench.append("a", "n", site("north"));
    bench.append("a", "s", site("south"));
    bench.append("a", "none");
    bench.run();
    expect(bench.got.get("north")).toEqual(["a=n"]);
    expect(bench.books()).toMatchObject({ received: 4, forwarded: 1, dropped: { unrouted: 3 } });
  });

  it("puts rewritten messages between the others where they were", () => {
    const bench = new Bench();
    bench.route(
      "t",
      {},
      {
        name: "shout",
        apply: (bytes) => {
          const message = envelope.Envelope.decode(bytes);
          const text = Buffer.from(message.payload).toString();
          if (text === "drop") return "drop";
          if (text === "keep") return undefined;
          const payload = Buffer.from(text.toUpperCase());
          return envelope.Envelope.encode({ ...message, channel: 0, payload, contentType: "!" }).finish();
        },
      },
    );
    for (const text of ["a", "keep", "drop", "b"]) bench.append("p", text);
    bench.run();
    expect(bench.got.get("t")).toEqual(["p=A!", "p=keep", "p=B!"]);
    const { received, forwarded, dropped } = bench.ledger.account("fanout", "telemetry", "app:t");
    expect([received, forwarded, [...dropped]]).toEqual([4, 3, [["codec_error", 1]]]);
  });

  it("keeps events that nobody wants, among them those that no codec can read", () => {
    const bench = new Bench(true);
    bench.route("t", { paths: ["p"] }, { name: "never", apply: () => "unrouted" });
    bench.append("p", "unreadable");
    bench.append("q", "unwanted");
    bench.run();
    expect(bench.got.get("events")).toEqual(["p=unreadable", "q=unwanted"]);
    expect(bench.books()).toMatchObject({ received: 2, forwarded: 1, stored: 1, unaccounted: 0 });
  });
});
