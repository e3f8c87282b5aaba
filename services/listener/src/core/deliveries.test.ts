import {
  BatchBuilder,
  control,
  createChannel,
  groupLinkName,
  Kind,
  Lane,
  Protocol,
  Stamp,
  subjects,
} from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { Deliveries } from "./deliveries.js";
import { LedgerBook } from "./ledger.js";
import { Patience } from "./pressure.js";
import { type InterestListener, SubscriptionTable } from "./subscription-table.js";
import type { Subscriber, SubscriberMessage } from "./subscriptions.js";

describe("deliveries", () => {
  async function deliveriesRig(interest: Partial<InterestListener> = {}) {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const bus = new MemoryBus(hub, "listener-0");
    const table = new SubscriptionTable({
      ...{ wanted: () => {}, unwanted: () => {}, shared: () => {} },
      ...interest,
    });
    const books = {
      telemetry: new LedgerBook("deliver", Lane.TELEMETRY),
      event: new LedgerBook("deliver", Lane.EVENT),
    };
    const deliveries = new Deliveries({ bus, clock, log: silentLogger, table, books });
    await deliveries.start();
    const acks: control.LinkAck[] = [];
    bus.subscribe(subjects.linkAck("core"), (data) => acks.push(control.LinkAck.decode(data)));
    const builder = (lane: Lane) =>
      new BatchBuilder(
        {
          sender: "core",
          incarnation: 7,
          partition: 1,
          lane,
          target: "listener",
          targetInstance: "listener-0",
        },
        new Stamp(Buffer.alloc(10)),
      );
    const send = (data: Uint8Array) => hub.publish(subjects.listenerDeliver("listener-0"), data);
    return { hub, clock, table, books, acks, builder, send, deliveries };
  }
  const channel = (number: number, path: string, deviceId = "sender") =>
    createChannel(
      number,
      {
        tenant: "",
        deviceId,
        path,
        kind: Kind.TELEMETRY,
        protocol: Protocol.MQTT,
        contentType: "text/plain",
        port: "",
        profile: "",
      },
      1,
    );

  class Collector implements Subscriber {
    readonly number = 1;
    readonly identity = { tenant: "", deviceId: "c", user: "" };
    readonly got: string[] = [];
    takes = true;
    deliver(message: SubscriberMessage, tags: readonly number[]): boolean {
      const payload = message.bytes.toString("utf8", message.payloadStart, message.payloadEnd);
      const site = message.extras()?.headers[0]?.value ?? "-";
      this.got.push(
        `${message.path} ${payload} q${message.qos} ${message.retain ? "r" : "-"} ${site} ${tags}`,
      );
      return this.takes;
    }
    revoked(): void {}
  }

  it("go to whoever wants them, with what they carry, and are acknowledged", async () => {
    const { table, builder, send, acks, books } = await deliveriesRig();
    const collector = new Collector();
    table.add(collector, "a/#", 5);
    const telemetry = builder(Lane.TELEMETRY);
    telemetry.append(channel(1, "a/b"), Buffer.from("one"), 0, 3);
    telemetry.append(channel(2, "c"), Buffer.from("two"), 0, 3);
    telemetry.appendWith(channel(1, "a/b"), Buffer.from("three"), 0, 5, {
      retain: true,
      headers: [{ name: "site", value: "north" }],
    });
    send(telemetry.finish()!);
    const event = builder(Lane.EVENT);
    event.append(channel(1, "a/b"), Buffer.from("four"), 0, 4);
    event.appendWith(channel(1, "a/b"), Buffer.from("five"), 0, 4, { qos: 2 });
    send(event.finish()!);
    expect(collector.got).toEqual([
      "a/b one q0 - - 5",
      "a/b three q0 r north 5",
      "a/b four q1 - - 5",
      "a/b five q2 - - 5",
    ]);
    expect(acks).toMatchObject([
      {
        target: "listener",
        targetInstance: "listener-0",
        lane: Lane.TELEMETRY,
        sequence: 1,
        ordinal: 3,
        incarnation: 7,
      },
      { lane: Lane.EVENT, sequence: 1, ordinal: 2 },
    ]);
    expect(books.telemetry).toMatchObject({ received: 3, forwarded: 2 });
    expect(books.telemetry.dropped).toEqual(new Map([["no_subscriber", 1]]));
  });

  /** Presses once it has got so many. */
  class Pressing extends Collector {
    pressAt = Number.POSITIVE_INFINITY;
    readonly patience = new Patience(1_000, 0);
    constructor(readonly rig: Awaited<ReturnType<typeof deliveriesRig>>) {
      super();
    }
    override deliver(message: SubscriberMessage, tags: readonly number[]): boolean {
      const taken = super.deliver(message, tags);
      const { table, clock } = this.rig;
      if (this.got.length >= this.pressAt) table.pressure.press(this.patience, clock.nowMs());
      return taken;
    }
    ease(): void {
      this.pressAt = Number.POSITIVE_INFINITY;
      this.rig.table.pressure.ease(this.patience, this.rig.clock.nowMs());
    }
  }

  const batchOf = (batches: BatchBuilder, ...texts: string[]): Uint8Array => {
    for (const text of texts) batches.append(channel(1, "a"), Buffer.from(text), 0, text.length);
    return batches.finish()!;
  };
  const payloads = (collector: Collector): string[] => collector.got.map((line) => line.split(" ")[1]!);

  it("of events wait in the middle of a batch while a subscriber presses, unacknowledged; telemetry does not", async () => {
    const rig = await deliveriesRig();
    const { table, builder, send, acks, books } = rig;
    const collector = new Pressing(rig);
    table.add(collector, "a", 1);
    collector.pressAt = 2;
    const events = builder(Lane.EVENT);
    const first = batchOf(events, "1", "2", "3");
    send(first);
    send(batchOf(events, "4"));
    // Sent again by somebody who misses the acknowledgement.
    send(first);
    expect([payloads(collector), acks]).toEqual([["1", "2"], []]);
    send(batchOf(builder(Lane.TELEMETRY), "now"));
    expect(payloads(collector)).toEqual(["1", "2", "now"]);
    collector.ease();
    await Promise.resolve();
    expect(payloads(collector)).toEqual(["1", "2", "now", "3", "4"]);
    expect(acks.filter(({ lane }) => lane === Lane.EVENT).map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(books.event).toMatchObject({ received: 4, forwarded: 4 });
  });

  it("of events wait for nobody whose patience is over", async () => {
    const rig = await deliveriesRig();
    const { table, builder, send, acks, clock } = rig;
    const collector = new Pressing(rig);
    table.add(collector, "a", 1);
    collector.pressAt = 1;
    send(batchOf(builder(Lane.EVENT), "1", "2", "3"));
    await clock.advance(900);
    expect(payloads(collector)).toEqual(["1"]);
    await clock.advance(300);
    expect([payloads(collector), acks.length]).toEqual([["1", "2", "3"], 1]);
  });

  it("that wait for a group are passed on and acknowledged when its last member leaves, before others hear of it", async () => {
    const order: string[] = [];
    const rig: Awaited<ReturnType<typeof deliveriesRig>> = await deliveriesRig({
      shared: (_key, members) => order.push(`${members} members, ${rig.acks.length} acknowledged`),
      handBack: (_key, { bytes, payloadStart, payloadEnd }) => {
        order.push(`handed ${bytes.toString("utf8", payloadStart, payloadEnd)}`);
        return true;
      },
    });
    const { table, send, acks } = rig;
    const member = new Pressing(rig);
    table.add(member, "$share/g/a", 1);
    const [group] = [...table.groups()];
    member.pressAt = 1;
    const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT, targetInstance: "l#1" };
    const target = groupLinkName(group!.key);
    const events = new BatchBuilder({ ...link, target }, new Stamp(Buffer.alloc(10)));
    send(batchOf(events, "1", "2"));
    send(batchOf(events, "3"));
    order.length = 0;
    table.removeAll(member);
    expect(order).toEqual(["handed 2", "handed 3", "0 members, 2 acknowledged"]);
    expect(acks.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });

  it("for a group whose last member has gone are neither booked nor acknowledged here: whoever gets them next does both", async () => {
    const rig = await deliveriesRig();
    const { table, send, acks, books } = rig;
    const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT };
    const target = groupLinkName("$share/g/a");
    const of = (targetInstance: string) =>
      new BatchBuilder({ ...link, targetInstance, target }, new Stamp(Buffer.alloc(10)));
    const late = of("l#1");
    send(batchOf(late, "1", "2"));
    send(batchOf(late, "3"));
    expect([acks, books.event.received]).toEqual([[], 0]);
    // The dispatcher has heard that the group has members again: over another link everything comes once more.
    const member = new Pressing(rig);
    table.add(member, "$share/g/a", 1);
    const next = of("l#2");
    send(batchOf(next, "1", "2"));
    send(batchOf(next, "3"));
    expect(acks.map(({ targetInstance, sequence }) => `${targetInstance} ${sequence}`)).toEqual([
      "l#2 1",
      "l#2 2",
    ]);
    const { received, forwarded } = books.event;
    expect([received, forwarded, books.event.dropped.size]).toEqual([3, 3, 0]);
  });

  it("for a group none of whose members has room wait for one, unacknowledged and in order, and nobody else waits for them", async () => {
    const rig = await deliveriesRig();
    const { table, send, acks, builder, clock } = rig;
    const member = Object.assign(new Collector(), { isBusy: false, isFull: false });
    table.add(member, "$share/g/a", 1);
    const other = new Collector();
    table.add(other, "a", 1);
    const deliver = member.deliver.bind(member);
    member.deliver = (...what) => {
      member.isBusy = member.isFull = member.got.length % 2 === 1;
      return deliver(...what);
    };
    const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT, targetInstance: "l#1" };
    const group = new BatchBuilder(
      { ...link, target: groupLinkName("$share/g/a") },
      new Stamp(Buffer.alloc(10)),
    );
    send(batchOf(group, "1", "2", "3"));
    send(batchOf(group, "4"));
    const plain = builder(Lane.EVENT);
    send(batchOf(plain, "x"));
    expect([payloads(member), payloads(other)]).toEqual([["1", "2"], ["x"]]);
    expect(acks.map(({ target, sequence }) => [target, sequence])).toEqual([["listener", 1]]);
    member.isBusy = member.isFull = false;
    await clock.advance(50);
    expect(payloads(member)).toEqual(["1", "2", "3", "4"]);
    send(batchOf(group, "5"));
    expect(acks.map(({ sequence }) => sequence)).toEqual([1, 1]);
    table.removeAll(member);
    expect(acks.map(({ sequence }) => sequence)).toEqual([1, 1, 2, 3]);
    await clock.advance(50);
    expect(clock.pendingTimers).toBe(0);
  });

  it("for a group none of whose members has room keep no other link from hearing again what it has not heard", async () => {
    const { table, send, acks, builder } = await deliveriesRig();
    table.add(Object.assign(new Collector(), { isBusy: true, isFull: true }), "$share/g/a", 1);
    table.add(new Collector(), "a", 1);
    const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT, targetInstance: "l#1" };
    const group = batchOf(
      new BatchBuilder({ ...link, target: groupLinkName("$share/g/a") }, new Stamp(Buffer.alloc(10))),
      "1",
    );
    const plain = batchOf(builder(Lane.EVENT), "x");
    for (const batch of [group, plain, group, plain]) send(batch);
    expect(acks.map(({ target, sequence }) => [target, sequence])).toEqual([
      ["listener", 1],
      ["listener", 1],
    ]);
  });

  it("for a group whose members take nothing for half a minute end those that can take no more, and go elsewhere", async () => {
    const handed: string[] = [];
    const handBack = (_key: string, { bytes, payloadStart, payloadEnd }: SubscriberMessage): boolean =>
      handed.push(bytes.toString("utf8", payloadStart, payloadEnd)) > 0;
    const { table, send, acks, clock, books } = await deliveriesRig({ handBack });
    const member = Object.assign(new Collector(), { isBusy: true, isFull: true });
    member.deliver = () => {
      if (member.got.push("more") === 2) table.removeAll(member);
      return member.got.length < 2;
    };
    table.add(member, "$share/g/a", 1);
    const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT, targetInstance: "l#1" };
    const group = new BatchBuilder(
      { ...link, target: groupLinkName("$share/g/a") },
      new Stamp(Buffer.alloc(10)),
    );
    send(batchOf(group, "1", "2", "3"));
    send(batchOf(group, "4"));
    await clock.advance(29_000);
    expect([member.got.length, acks.length, books.event.received]).toEqual([0, 0, 0]);
    await clock.advance(1_100);
    expect([member.got.length, handed]).toEqual([2, ["2", "3", "4"]]);
    expect(acks.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect([books.event.received, books.event.forwarded, clock.pendingTimers]).toEqual([4, 4, 0]);
  });

  it("for groups none of whose members have room wait in so many bytes at most", async () => {
    const { table, send, acks, clock } = await deliveriesRig();
    const payload = "x".repeat(1_000_000);
    for (let i = 0; i < 70; i++) {
      const name = `$share/g${i}/a`;
      table.add(Object.assign(new Collector(), { isBusy: true, isFull: true }), name, 1);
      const link = { sender: "core", incarnation: 7, partition: 1, lane: Lane.EVENT, targetInstance: "l#1" };
      send(
        batchOf(
          new BatchBuilder({ ...link, target: groupLinkName(name) }, new Stamp(Buffer.alloc(10))),
          payload,
        ),
      );
    }
    expect(acks).toEqual([]);
    await clock.advance(100);
    expect(acks.length).toBe(3);
    expect(clock.pendingTimers).toBe(1);
  });

  it("follow the subscriptions as they change", async () => {
    const { table, builder, send } = await deliveriesRig();
    const collector = new Collector();
    const telemetry = builder(Lane.TELEMETRY);
    const ch = channel(1, "a");
    const one = (text: string) => {
      telemetry.append(ch, Buffer.from(text), 0, text.length);
      send(telemetry.finish()!);
    };
    one("x");
    table.add(collector, "a", 1);
    one("y");
    table.remove(collector, "a");
    one("z");
    expect(collector.got).toEqual(["a y q0 - - 1"]);
  });

  it("that come twice or from an owner of the past are left out, and gaps are booked", async () => {
    const { table, builder, send, books, deliveries, acks } = await deliveriesRig();
    const collector = new Collector();
    table.add(collector, "#", 0);
    const telemetry = builder(Lane.TELEMETRY);
    telemetry.epoch = 5;
    const batches = [1, 2, 3].map((i) => {
      telemetry.append(channel(1, "a"), Buffer.from(`${i}`), 0, 1);
      return telemetry.finish()!;
    });
    send(batches[0]!);
    send(batches[0]!);
    send(batches[2]!);
    const past = builder(Lane.TELEMETRY);
    past.epoch = 4;
    past.append(channel(1, "a"), Buffer.from("old"), 0, 3);
    send(past.finish()!);
    expect(collector.got).toEqual(["a 1 q0 - - 0", "a 3 q0 - - 0"]);
    expect(deliveries.refusedBatches).toEqual({ malformed: 0, notAccepted: 2 });
    expect(books.telemetry.dropped).toEqual(new Map([["lost_in_transit", 1]]));
    expect(books.telemetry.received).toBe(3);
    expect(acks.map(({ sequence }) => sequence).slice(0, 3)).toEqual([1, 1, 3]);
  });

  it("that an owner sends which its predecessor had sent are known again, where that is asked", async () => {
    const { table, builder, send } = await deliveriesRig();
    const doubles: boolean[] = [];
    const subscriber: Subscriber = {
      number: 1,
      identity: { tenant: "", deviceId: "c", user: "" },
      deliver: (message) => {
        // Twice, as two subscribers would.
        doubles.push(message.isDouble === true, message.isDouble === true);
        return true;
      },
      revoked: () => {},
    };
    table.add(subscriber, "a", 2);
    const from = (epoch: number, ...ids: number[]): void => {
      const events = builder(Lane.EVENT);
      events.epoch = epoch;
      for (const id of ids) {
        events.appendWith(channel(1, "a"), Buffer.from("x"), 0, 1, { qos: 2, id: Buffer.alloc(16, id) });
      }
      send(events.finish()!);
    };
    from(1, 1, 2);
    from(2, 2, 3);
    expect(doubles).toEqual([false, false, false, false, true, true, false, false]);
  });

  it("that cannot be read are counted and hurt nobody", async () => {
    const { send, deliveries, builder, table } = await deliveriesRig();
    const collector = new Collector();
    table.add(collector, "#", 0);
    send(Buffer.from("nonsense"));
    const telemetry = builder(Lane.TELEMETRY);
    telemetry.append(channel(1, "a"), Buffer.from("1"), 0, 1);
    telemetry.append(channel(1, "a"), Buffer.from("2"), 0, 1);
    const whole = telemetry.finish()!;
    send(whole.subarray(0, whole.length - 3));
    telemetry.append(channel(1, "a"), Buffer.from("3"), 0, 1);
    send(telemetry.finish()!);
    expect(deliveries.refusedBatches.malformed).toBe(2);
    expect(collector.got).toEqual(["a 1 q0 - - 0", "a 3 q0 - - 0"]);
  });
});
