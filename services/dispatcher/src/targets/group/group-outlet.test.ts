import { BatchBuilder, BatchView, control, createChannel, EMPTY_HEAD, Lane, Stamp } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CreditWindow } from "../../core/credit-window.js";
import { Ledger } from "../../core/ledger.js";
import { LinkOutlet } from "../../core/link-outlet.js";
import { type Share, ShareBuilder } from "../../core/share.js";
import { GroupOutlet } from "./group-outlet.js";

interface Sent {
  readonly listener: string;
  readonly instance: string;
  readonly sequence: number;
  /** Number of the share. */
  readonly id: number;
  readonly again: boolean;
}

/** A group whose listeners are played by the test. */
function setUp(lane: "telemetry" | "event" = "event", window = 1_000) {
  const clock = new FakeClock();
  const sent: Sent[] = [];
  const events: string[] = [];
  const links = new Set<LinkOutlet>();
  const context = {
    ...{ sender: "dispatcher-0", incarnation: 77, clock },
    publish: (subject: string, data: Uint8Array): boolean => {
      const view = new BatchView().reset(data);
      const { targetInstance: instance, sequence, flags } = view.hop;
      view.next();
      const id = Number(Buffer.from(view.bytes.subarray(view.payloadStart, view.payloadEnd)).toString());
      sent.push({ listener: subject, instance, sequence, id, again: (flags & 32) !== 0 });
      return true;
    },
  };
  const way = { partition: 0, epoch: 5, lane };
  const windows = new Map<string, CreditWindow>();
  const places = new Map<string, string>();
  let names = 0;
  let settled = 0;
  const outlet = new GroupOutlet({
    target: "group:g",
    way,
    context,
    events: {
      ready: () => {},
      settled: (count) => {
        settled += count;
        events.push(`settled ${count}`);
      },
      refused: () => {},
      leftOut: () => {},
      lost: () => events.push("lost"),
    },
    open: (ofLink) => {
      const link: LinkOutlet = new LinkOutlet({
        ...{ context, target: "group:g", way, events: ofLink },
        onClose: () => links.delete(link),
      });
      links.add(link);
      return link;
    },
    peerOf: (listener) => {
      const targetInstance = `${listener}#${++names}`;
      if (!windows.has(listener)) windows.set(listener, new CreditWindow(window, 1e9));
      return { key: targetInstance, subject: listener, targetInstance, window: windows.get(listener)! };
    },
    placeOf: (name) => places.get(name) ?? "",
    onClose: () => events.push("closed"),
  });
  const account = new Ledger().account("fanout", lane);
  const send = (id: number) => outlet.trySend(shareOf(outlet, account, id), false);
  const acknowledge = ({ instance, sequence }: Sent) => {
    const ack = control.LinkAck.fromPartial({
      ...{ target: "group:g", targetInstance: instance, epoch: 5, incarnation: 77, sequence },
    });
    for (const link of [...links]) link.acknowledged(ack);
  };
  const members = (counts: Record<string, number>) => outlet.setMembers(new Map(Object.entries(counts)));
  return { outlet, sent, events, places, send, acknowledge, members, settled: () => settled };
}

const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "d" }, 0);

function shareOf(outlet: GroupOutlet, account: Share["account"], id: number): Share {
  const link = {
    sender: "l",
    incarnation: 1,
    partition: 0,
    lane: Lane.EVENT,
    target: "",
    targetInstance: "",
  };
  const builder = new BatchBuilder(link, new Stamp(Buffer.alloc(10)));
  const payload = Buffer.from(String(id));
  builder.append(channel, payload, 0, payload.length);
  const view = new BatchView().reset(builder.finish()!);
  const shares = new ShareBuilder();
  shares.add(view.envelopesStart, view.bytes.length, 1);
  return shares.build(view, outlet.header, 0, 1, account, undefined);
}

describe("GroupOutlet", () => {
  it("is away without members, and serves listeners in turn by how many members they have", () => {
    const { outlet, members, send, sent } = setUp();
    expect([outlet.state, send(0)]).toEqual(["away", "later"]);
    members({ a: 1, b: 3 });
    expect(outlet.state).toBe("open");
    for (let i = 0; i < 400; i++) expect(send(i)).toBe("taken");
    const ofA = sent.filter(({ listener }) => listener === "a").length;
    expect(ofA).toBe(100);
    members({ a: 1, b: 3, c: 4 });
    for (let i = 400; i < 800; i++) send(i);
    // One that has just come has nothing to make up for.
    expect(sent.slice(400).filter(({ listener }) => listener === "c").length).toBe(200);
  });

  it("serves who has room, and waits when nobody has", () => {
    const { members, send, sent, acknowledge } = setUp("event", 2);
    members({ a: 1, b: 1 });
    expect([0, 1, 2, 3, 4].map(send)).toEqual(["taken", "taken", "taken", "taken", "later"]);
    const last = sent.findLast(({ listener }) => listener === "b")!;
    acknowledge(last);
    expect([4, 5, 6].map(send)).toEqual(["taken", "taken", "later"]);
    expect(sent.slice(4).map(({ listener }) => listener)).toEqual(["b", "b"]);
  });

  it("settles in the order of the queue, whoever acknowledges first", () => {
    const { members, send, sent, acknowledge, events } = setUp();
    members({ a: 1, b: 1 });
    for (let i = 0; i < 4; i++) send(i);
    const of = (id: number) => sent.find((one) => one.id === id)!;
    acknowledge(of(1));
    expect(events).toEqual([]);
    acknowledge(of(2));
    expect(events).toEqual(["settled 3"]);
    acknowledge(of(3));
    expect(events).toEqual(["settled 3", "settled 1"]);
  });

  it("gives what a listener has not acknowledged to another when its members go, and all back to the queue with the last", () => {
    const { members, send, sent, acknowledge, events } = setUp();
    members({ a: 1, b: 1 });
    for (let i = 0; i < 4; i++) send(i);
    const ofA = sent.filter(({ listener }) => listener === "a");
    acknowledge(ofA[0]!);
    sent.length = 0;
    members({ b: 1 });
    expect(sent).toMatchObject([{ listener: "b", id: ofA[1]!.id, again: true }]);
    // Too late: it is another's now.
    acknowledge(ofA[1]!);
    expect(events.filter((e) => e.startsWith("settled"))).toEqual(["settled 1"]);
    members({});
    expect(events.at(-1)).toBe("lost");
  });

  it("gives nothing more to those that do not count, and leaves them what they have", () => {
    const { outlet, members, send, sent, acknowledge, events } = setUp();
    members({ a: 1, b: 1 });
    for (let i = 0; i < 2; i++) send(i);
    const ofA = sent.find(({ listener }) => listener === "a")!;
    members({ a: 0, b: 1 });
    for (let i = 2; i < 6; i++) expect(send(i)).toBe("taken");
    expect(sent.slice(2).map(({ listener }) => listener)).toEqual(["b", "b", "b", "b"]);
    acknowledge(ofA);
    expect(events.filter((e) => e === "settled 1")).toHaveLength(1);
    members({ a: 0 });
    expect(outlet.state).toBe("away");
    members({ a: 1, c: 1 });
    sent.length = 0;
    for (let i = 6; i < 10; i++) send(i);
    expect(sent.filter(({ listener }) => listener === "c").length).toBeGreaterThan(0);
  });

  it("sends what is on the way again to one that has another place", () => {
    const { members, send, sent, places, settled, acknowledge } = setUp();
    places.set("home", "7");
    members({ home: 1 });
    send(0);
    members({ home: 2 });
    expect(sent).toHaveLength(1);
    places.set("home", "8");
    members({ home: 2 });
    expect(sent).toMatchObject([
      { id: 0, sequence: 1, again: false },
      { id: 0, sequence: 1, again: true },
    ]);
    expect(sent[0]!.instance).not.toBe(sent[1]!.instance);
    acknowledge(sent[0]!);
    expect(settled()).toBe(0);
    acknowledge(sent[1]!);
    expect(settled()).toBe(1);
  });

  it("does not wait for telemetry", () => {
    const { members, send, sent, outlet, events } = setUp("telemetry");
    members({ a: 1, b: 1 });
    expect([0, 1].map(send)).toEqual(["done", "done"]);
    expect(new Set(sent.map(({ listener }) => listener)).size).toBe(2);
    members({});
    expect(events).toEqual([]);
    outlet.close();
    outlet.close();
    expect(events).toEqual(["closed"]);
  });

  it("loses nothing and settles everything once, whoever comes, goes, acknowledges or does not", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ do: "send" as const }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("acknowledge" as const), at: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("members" as const),
          of: fc.array(fc.nat(3), { maxLength: 3 }),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { members, send, sent, acknowledge, settled, events, outlet } = setUp("event", 4);
        let taken = 0;
        let waiting: number[] = [];
        let next = 0;
        const done = new Set<number>();
        const sendAll = () => {
          while (waiting.length > 0 && send(waiting[0]!) === "taken") waiting.shift();
        };
        let inFlight: number[] = [];
        let settledSeen = 0;
        const look = () => {
          while (settledSeen < settled()) {
            done.add(inFlight.shift()!);
            settledSeen++;
          }
          if (events.includes("lost")) {
            events.length = 0;
            waiting = [...inFlight, ...waiting];
            inFlight = [];
          }
        };
        const flush = () => {
          const before = [...waiting];
          sendAll();
          inFlight.push(...before.slice(0, before.length - waiting.length));
          look();
        };
        for (const what of steps) {
          if (what.do === "send") {
            waiting.push(next++);
            taken++;
          } else if (what.do === "acknowledge") {
            const one = sent[what.at % Math.max(1, sent.length)];
            if (one !== undefined) acknowledge(one);
          } else members(Object.fromEntries(what.of.map((n) => [`l${n}`, n + 1])));
          look();
          flush();
        }
        members({ last: 1 });
        look();
        for (let i = 0; i < 1_000 && done.size < taken; i++) {
          flush();
          for (const one of sent.filter(({ listener }) => listener === "last")) acknowledge(one);
          look();
        }
        expect(done.size).toBe(taken);
        expect([...done]).toEqual([...done].sort((a, b) => a - b));
        expect(new Set(sent.map(({ id }) => id)).size).toBe(taken);
        outlet.close();
      }),
      { numRuns: 300 },
    );
  });
});
