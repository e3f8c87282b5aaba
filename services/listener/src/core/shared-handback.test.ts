import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { SharedHandback } from "./shared-handback.js";
import { SubscriptionTable } from "./subscription-table.js";
import type { GiveBack, Subscriber, SubscriberMessage } from "./subscriptions.js";

const FILTER = "$share/g/a";

/** A listener with the messages that its members got. */
class Here {
  readonly got: string[] = [];
  readonly extras: unknown[] = [];
  lost = 0;
  readonly table: SubscriptionTable;
  readonly handback: SharedHandback;
  private giveBack: GiveBack | undefined;
  private members = 0;

  constructor(bus: MemoryBus, clock: FakeClock) {
    this.table = new SubscriptionTable({
      wanted: () => {},
      unwanted: () => {},
      shared: (key, members) => this.handback.shared(key, members),
      handBack: (key, message) => this.handback.take(key, message),
    });
    this.handback = new SharedHandback({
      ...{ bus, clock, log: silentLogger, groups: this.table },
      onLost: (messages) => {
        this.lost += messages;
      },
    });
  }

  join(): Subscriber {
    const member: Subscriber = {
      number: ++this.members,
      identity: { tenant: "t", deviceId: `m${this.members}`, user: "" },
      deliver: (message, _tags, giveBack) => {
        const { bytes, payloadStart, payloadEnd } = message;
        this.got.push(`${message.qos} ${bytes.toString("utf8", payloadStart, payloadEnd)}`);
        this.extras.push(message.extras());
        this.giveBack = giveBack;
        return true;
      },
      revoked: () => {},
    };
    this.table.add(member, FILTER, 1);
    return member;
  }

  deliver(text: string, size = 0): GiveBack {
    this.table.group(`t\0${FILTER}`)!.deliver(messageOf(text, size));
    return this.giveBack!;
  }
}

function messageOf(text: string, size = 0): SubscriberMessage {
  const bytes = Buffer.concat([Buffer.from(text), Buffer.alloc(size)]);
  const headers = [{ name: "n", value: "v" }];
  return {
    ...{ path: "a", contentType: "text/plain", qos: 1, retain: false, tenant: "t", deviceId: "d" },
    ...{ bytes, payloadStart: 0, payloadEnd: bytes.length },
    extras: () => ({ expiresAtUs: 7, headers, responsePath: "r", correlation: Buffer.of(1), isText: true }),
  };
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

function listeners(make = (hub: MemoryHub, name: string): MemoryBus => new MemoryBus(hub, name)) {
  const hub = new MemoryHub();
  const clock = new FakeClock();
  return { clock, a: new Here(make(hub, "a"), clock), b: new Here(make(hub, "b"), clock) };
}

describe("what the last member of a group here has left", () => {
  it("goes to a member on another listener, with all that belongs to it", async () => {
    const { a, b } = listeners();
    const leaving = a.join();
    const giveBack = a.deliver("one");
    b.join();
    a.table.removeAll(leaving);
    expect([giveBack(messageOf("one")), giveBack(messageOf("two"))]).toEqual([true, true]);
    await turns();
    expect(b.got).toEqual(["1 one", "1 two"]);
    expect(b.extras[0]).toEqual(messageOf("").extras());
    expect([a.lost, b.lost]).toEqual([0, 0]);
  });

  it("is counted as lost where no other listener has members", async () => {
    const { a } = listeners();
    const leaving = a.join();
    const giveBack = a.deliver("one");
    a.table.removeAll(leaving);
    giveBack(messageOf("one"));
    await turns();
    expect(a.lost).toBe(1);
  });

  it("is offered again while nobody says that there is no member", async () => {
    class Deaf extends MemoryBus {
      refusals = 2;
      override async request(subject: string, data: Uint8Array): Promise<Uint8Array> {
        if (this.refusals-- > 0) throw new AppError("request.timeout", "no answer");
        return await super.request(subject, data);
      }
    }
    const { a, b, clock } = listeners((hub, name) => new Deaf(hub, name));
    const leaving = a.join();
    const giveBack = a.deliver("one");
    b.join();
    a.table.removeAll(leaving);
    giveBack(messageOf("one"));
    for (let i = 0; i < 10; i++) await clock.advance(500);
    await turns();
    expect(b.got).toEqual(["1 one"]);
  });

  it("is given up with the listener, which waits for it for a while", async () => {
    class Dead extends MemoryBus {
      override async request(): Promise<Uint8Array> {
        throw new AppError("bus.disconnected", "NATS is away");
      }
    }
    const { a, clock } = listeners((hub, name) => new Dead(hub, name));
    const leaving = a.join();
    const giveBack = a.deliver("one");
    a.table.removeAll(leaving);
    giveBack(messageOf("one"));
    const stopped = a.handback.stop();
    for (let i = 0; i < 10; i++) await clock.advance(500);
    await stopped;
    expect(a.lost).toBe(1);
  });

  it("is bounded: what is beyond is not taken", () => {
    const { a } = listeners();
    const leaving = a.join();
    const giveBack = a.deliver("one");
    a.table.removeAll(leaving);
    const large = messageOf("", 4 * 1024 * 1024);
    expect([1, 2, 3, 4].map(() => giveBack(large))).toEqual([true, true, true, false]);
  });
});
