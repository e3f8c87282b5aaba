import { BatchBuilder, BatchView, control, createChannel, EMPTY_HEAD, Lane, Stamp } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { CreditWindow } from "./credit-window.js";
import { Ledger } from "./ledger.js";
import { LinkOutlet, type Peer } from "./link-outlet.js";
import { type Share, ShareBuilder } from "./share.js";

function setUp(lane: "telemetry" | "event" = "event") {
  const clock = new FakeClock();
  const sent: string[] = [];
  const events: string[] = [];
  let connected = true;
  const outlet = new LinkOutlet({
    context: {
      sender: "dispatcher-0",
      incarnation: 77,
      clock,
      publish: (subject, data) => {
        if (!connected) return false;
        const { hop } = new BatchView().reset(data);
        sent.push(
          `${subject}>${hop.targetInstance} ${hop.sequence}@${hop.firstOrdinal}${hop.flags & 32 ? " again" : ""}`,
        );
        return true;
      },
    },
    target: "a",
    way: { partition: 3, epoch: 5, lane },
    events: {
      ready: () => events.push("ready"),
      settled: (n) => events.push(`settled ${n}`),
      lost: () => events.push("lost"),
    },
    onClose: () => events.push("closed"),
  });
  const peer = (key: string, window = new CreditWindow(100, 10_000)): Peer => ({
    key,
    subject: `to.${key}`,
    targetInstance: key,
    window,
  });
  const account = new Ledger().account("fanout", lane);
  const send = () => outlet.trySend(shareOf(outlet, account), false);
  const acknowledge = (instance: string, sequence: number, more: object = {}) =>
    outlet.acknowledged(
      control.LinkAck.fromPartial({
        target: "a",
        targetInstance: instance,
        partition: 3,
        epoch: 5,
        incarnation: 77,
        sequence,
        ...more,
      }),
    );
  return {
    clock,
    outlet,
    sent: () => sent.splice(0),
    events: () => events.splice(0),
    peer,
    send,
    acknowledge,
    disconnect: () => {
      connected = false;
    },
  };
}

const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "d" }, 0);

function shareOf(outlet: LinkOutlet, account: Share["account"]): Share {
  const link = {
    sender: "l",
    incarnation: 1,
    partition: 3,
    lane: Lane.EVENT,
    target: "",
    targetInstance: "",
  };
  const builder = new BatchBuilder(link, new Stamp(Buffer.alloc(10)));
  for (let i = 0; i < 2; i++) builder.append(channel, Buffer.from("x"), 0, 1);
  const view = new BatchView().reset(builder.finish()!);
  const shares = new ShareBuilder();
  shares.add(view.envelopesStart, view.bytes.length, 2);
  return shares.build(view, outlet.header, 0, 1, account, undefined);
}

const never = () => false;

describe("LinkOutlet", () => {
  it("numbers a link from one and settles by cumulative acknowledgements of its own only", () => {
    const { outlet, peer, send, sent, acknowledge, events } = setUp();
    expect([outlet.state, send()]).toEqual(["away", "later"]);
    outlet.assign(peer("i"), never);
    expect([send(), send(), send()]).toEqual(["taken", "taken", "taken"]);
    expect(sent()).toEqual(["to.i>i 1@0", "to.i>i 2@2", "to.i>i 3@4"]);
    events();
    acknowledge("other", 3);
    acknowledge("i", 3, { epoch: 4 });
    acknowledge("i", 3, { incarnation: 1 });
    expect(events()).toEqual([]);
    acknowledge("i", 2);
    acknowledge("i", 1);
    expect(events()).toEqual(["settled 2"]);
  });

  it("stops at the credit and goes on when some comes back", () => {
    const { outlet, peer, send, acknowledge, events } = setUp();
    outlet.assign(peer("i", new CreditWindow(4, 10_000)), never);
    expect([send(), send(), send()]).toEqual(["taken", "taken", "later"]);
    events();
    acknowledge("i", 1);
    expect(events()).toEqual(["settled 1", "ready"]);
    expect(send()).toBe("taken");
  });

  it("turns to another receiver when the old one has acknowledged everything", () => {
    const { outlet, peer, send, sent, acknowledge, events } = setUp();
    outlet.assign(peer("old"), never);
    send();
    outlet.assign(peer("new"), never);
    expect(send()).toBe("later");
    sent();
    events();
    acknowledge("old", 1);
    expect(events()).toEqual(["settled 1", "ready"]);
    send();
    expect(sent()).toEqual(["to.new>new 1@0"]);
  });

  it("turns at once when the old receiver is gone, and in the end when it never acknowledges", async () => {
    const { outlet, peer, send, events, clock } = setUp();
    outlet.assign(peer("old"), never);
    send();
    events();
    outlet.assign(peer("new"), () => true);
    expect(events()).toEqual(["lost"]);
    send();
    outlet.assign(peer("third"), never);
    await clock.advance(9_999);
    outlet.tick();
    expect(outlet.current?.key).toBe("new");
    await clock.advance(1);
    outlet.tick();
    expect([events(), outlet.current?.key]).toEqual([["lost"], "third"]);
  });

  it("goes on counting for a receiver that lived on, and begins anew for one that did not", () => {
    const { outlet, peer, send, sent, acknowledge } = setUp();
    outlet.assign(peer("i"), never);
    send();
    acknowledge("i", 1);
    outlet.assign(undefined, never);
    outlet.assign(peer("i"), never);
    send();
    acknowledge("i", 2);
    outlet.assign(undefined, never);
    outlet.forget("i");
    outlet.assign(peer("i"), never);
    send();
    expect(sent()).toEqual(["to.i>i 1@0", "to.i>i 2@2", "to.i>i 1@0"]);
  });

  it("sends events again under their numbers when no acknowledgement comes, with longer and longer waits", async () => {
    const { outlet, peer, send, sent, clock } = setUp();
    outlet.assign(peer("i"), never);
    send();
    sent();
    const resentAfter: number[] = [];
    for (let s = 1; s <= 40; s++) {
      await clock.advance(1_000);
      outlet.tick();
      if (sent().includes("to.i>i 1@0 again")) resentAfter.push(s);
    }
    expect(resentAfter).toEqual([5, 15, 35]);
  });

  it("does not send telemetry again, and takes its window for empty after ten seconds", async () => {
    const { outlet, peer, send, sent, clock } = setUp("telemetry");
    outlet.assign(peer("i", new CreditWindow(2, 10_000)), never);
    expect([send(), send()]).toEqual(["done", "later"]);
    await clock.advance(10_000);
    outlet.tick();
    expect([send(), sent()]).toEqual(["done", ["to.i>i 1@0", "to.i>i 2@2"]]);
  });

  it("keeps a share, its number and the credit when NATS is away", () => {
    const { outlet, peer, send, disconnect } = setUp();
    const window = new CreditWindow(2, 10_000);
    outlet.assign(peer("i", window), never);
    disconnect();
    expect([send(), window.empty]).toEqual(["later", true]);
  });

  it("gives its credit back when it is closed", () => {
    const { outlet, peer, send, events } = setUp();
    const window = new CreditWindow(9, 10_000);
    outlet.assign(peer("i", window), never);
    send();
    outlet.close();
    outlet.close();
    expect([window.empty, events().filter((e) => e === "closed")]).toEqual([true, ["closed"]]);
  });
});
