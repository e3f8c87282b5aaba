import { app, control, Lane, Protocol, subjects } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { DownlinkServer } from "./downlink.js";
import { ingressAccount, LedgerBook } from "./ledger.js";
import { Presence } from "./presence.js";
import type { DeviceSession, Downlink, DownlinkState } from "./session.js";
import { SessionDirectory } from "./session-directory.js";
import { Takeover } from "./takeover.js";
import { WillKeeper } from "./will-keeper.js";

const PARTITIONS = 4;
class Session implements DeviceSession {
  readonly identity;
  readonly address = "10.0.0.1";
  openedAtUs = 0;
  taken = 0;
  takenAnew = false;
  readonly got: Downlink[] = [];
  answer: () => Promise<DownlinkState> = async () => "written";

  constructor(
    readonly number: number,
    deviceId: string,
    readonly protocol: Protocol = Protocol.MQTT,
    readonly beginsAnew = false,
  ) {
    this.identity = { tenant: "", deviceId, user: "" };
  }
  downlink(message: Downlink): Promise<DownlinkState> {
    this.got.push(message);
    return this.answer();
  }
  takenOver(anew: boolean): void {
    this.taken += 1;
    this.takenAnew = anew;
  }
}

async function listener(hub: MemoryHub, clock: FakeClock, instance: string) {
  const bus = new MemoryBus(hub, instance);
  const sessions = new SessionDirectory(PARTITIONS, clock);
  const published: string[] = [];
  const wills = new WillKeeper(clock, (_owner, { topic }) => published.push(topic));
  const presence = new Presence(bus, clock, sessions, PARTITIONS, wills);
  const takeover = new Takeover(bus, clock, sessions, wills, silentLogger);
  sessions.addListener(presence);
  sessions.addListener(takeover);
  await presence.start();
  await takeover.start();
  return { bus, sessions, presence, takeover, wills, published };
}

/** What an owner knows after all batches published so far. */
function directoryOf(hub: MemoryHub): Map<string, string> {
  const online = new Map<string, string>();
  for (const { subject, data } of hub.published) {
    if (!/^mln\.pres\.batch\./.test(subject)) continue;
    const batch = control.PresenceBatch.decode(data);
    for (const change of batch.changes) {
      if (change.online) online.set(change.deviceId, batch.listener);
      else if (online.get(change.deviceId) === batch.listener) online.delete(change.deviceId);
    }
  }
  return online;
}

describe("presence", () => {
  it("reports all changes of a turn in one batch for each partition, a millisecond later", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const { sessions } = await listener(hub, clock, "listener-0");
    const all = Array.from({ length: 100 }, (_, i) => new Session(i + 1, `d${i}`));
    for (const session of all) sessions.open(session);
    sessions.close(all[7]!, "lost");
    await clock.advance(1);
    const batches = hub.published.filter(({ subject }) => subject.startsWith("mln.pres.batch."));
    expect(batches.length).toBeLessThanOrEqual(PARTITIONS);
    expect(directoryOf(hub).size).toBe(99);
  });

  it("is replayed whole to an owner that asks, and only its partition", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const { bus, sessions } = await listener(hub, clock, "listener-0");
    for (let i = 0; i < 5000; i++) sessions.open(new Session(i + 1, `d${i}`));
    await clock.advance(100);
    hub.published.length = 0;
    bus.publish(subjects.presenceSync(2), new Uint8Array());
    const batches = hub.published.slice(1).map(({ data }) => control.PresenceBatch.decode(data));
    expect(batches.map(({ reset }) => reset)).toEqual([true, ...batches.slice(1).map(() => false)]);
    expect(new Set(batches.map(({ partition }) => partition))).toEqual(new Set([2]));
    expect(batches.flatMap(({ changes }) => changes)).toHaveLength([...sessions.of(2)].length);
  });

  it("says an empty partition is empty, so that an owner forgets what it thought", async () => {
    const hub = new MemoryHub();
    const { bus } = await listener(hub, new FakeClock(), "listener-0");
    bus.publish(subjects.presenceSync(1), new Uint8Array());
    expect(control.PresenceBatch.decode(hub.published[1]!.data)).toMatchObject({ reset: true, changes: [] });
  });

  it("is replayed when NATS returns", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const { bus, sessions } = await listener(hub, clock, "listener-0");
    bus.setConnected(false);
    sessions.open(new Session(1, "d"));
    await clock.advance(100);
    expect(directoryOf(hub).size).toBe(0);
    bus.setConnected(true);
    expect(directoryOf(hub)).toEqual(new Map([["d", "listener-0"]]));
  });

  it("of a device that reconnects is not ended by its older connection", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const { sessions } = await listener(hub, clock, "listener-0");
    const older = new Session(1, "d");
    sessions.open(older);
    sessions.open(new Session(2, "d"));
    expect(older.taken).toBe(1);
    sessions.close(older, "takeover");
    await clock.advance(50);
    expect(directoryOf(hub).has("d")).toBe(true);
  });
});

describe("takeover", () => {
  it("ends the older connection on another listener and leaves the newer", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const [one, two] = [await listener(hub, clock, "a"), await listener(hub, clock, "b")];
    const older = new Session(1, "d");
    const bystander = new Session(2, "other");
    one.sessions.open(older);
    one.sessions.open(bystander);
    await clock.advance(5_000);
    const newer = new Session(1, "d");
    two.sessions.open(newer);
    await clock.advance(20);
    expect([older.taken, newer.taken, bystander.taken]).toEqual([1, 0, 0]);
  });

  it("ends exactly one of two that connect at the same moment", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const [one, two] = [await listener(hub, clock, "a"), await listener(hub, clock, "b")];
    const [left, right] = [new Session(1, "d"), new Session(1, "d")];
    one.sessions.open(left);
    two.sessions.open(right);
    await clock.advance(20);
    expect(left.taken + right.taken).toBe(1);
  });

  it("ends the older one even when the clock of the newer one's machine is behind", async () => {
    const hub = new MemoryHub();
    const [ahead, behind] = [new FakeClock(2_000_000_000_000), new FakeClock(1_999_999_000_000)];
    const one = await listener(hub, ahead, "a");
    const two = await listener(hub, behind, "b");
    const older = new Session(1, "d");
    one.sessions.open(older);
    await ahead.advance(10_000);
    two.sessions.open(new Session(1, "d"));
    await behind.advance(20);
    expect(older.taken).toBe(1);
  });
});

describe("a will that waits at one listener", () => {
  it.each([
    ["is forgotten when its client goes on at another one", Protocol.MQTT, false, 0, 0],
    ["is due when its client begins anew at another one", Protocol.MQTT, true, 1, 1],
    ["waits on while its client only fetches", Protocol.HTTP, false, 0, 1],
  ])("%s", async (_, protocol, anew, atOnce, inTheEnd) => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const [one, two] = [await listener(hub, clock, "a"), await listener(hub, clock, "b")];
    one.wills.keep(new Session(1, "d"), 10_000, control.KeptWill.fromPartial({ topic: "gone" }));
    two.sessions.open(new Session(1, "d", protocol, anew));
    await clock.advance(20);
    expect(one.published.length).toBe(atOnce);
    await clock.advance(20_000);
    expect(one.published.length).toBe(inTheEnd);
  });

  it("and the connection it belongs to are told by the claim whether the client begins anew", async () => {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    const [one, two] = [await listener(hub, clock, "a"), await listener(hub, clock, "b")];
    const older = new Session(1, "d");
    one.sessions.open(older);
    await clock.advance(5_000);
    two.sessions.open(new Session(1, "d", Protocol.MQTT, true));
    await clock.advance(20);
    expect([older.taken, older.takenAnew]).toEqual([1, true]);
  });
});

describe("a session that only fetches now and then", () => {
  async function two() {
    const hub = new MemoryHub();
    const clock = new FakeClock();
    return { hub, clock, one: await listener(hub, clock, "a"), other: await listener(hub, clock, "b") };
  }

  it("finds out before it opens that its device is connected elsewhere, which stays as it is", async () => {
    const { hub, clock, one, other } = await two();
    const live = new Session(1, "d");
    one.sessions.open(live);
    await clock.advance(5_000);
    const claims = hub.published.length;
    const fetching = new Session(1, "d", Protocol.HTTP);
    const asked = [other.sessions.isHeldElsewhere(fetching), other.sessions.isHeldElsewhere(fetching)];
    await clock.advance(50);
    expect(await Promise.all(asked)).toEqual([true, true]);
    expect([live.taken, hub.published.length - claims]).toEqual([0, 2]);
  });

  it("hears nothing from nobody, nor from one like itself, for a tenth of a second", async () => {
    const { clock, one, other } = await two();
    const like = new Session(1, "d", Protocol.HTTP);
    one.sessions.open(like);
    await clock.advance(5_000);
    let held: boolean | undefined;
    void other.sessions.isHeldElsewhere(new Session(1, "d", Protocol.HTTP)).then((answer) => {
      held = answer;
    });
    await clock.advance(99);
    expect(held).toBeUndefined();
    await clock.advance(1);
    expect(held).toBe(false);
  });

  it("is ended by a connection that objects late, or that comes later", async () => {
    const { clock, one, other } = await two();
    const [live, fetching] = [new Session(1, "d"), new Session(1, "d", Protocol.HTTP)];
    one.sessions.open(live);
    await clock.advance(5_000);
    other.sessions.open(fetching);
    await clock.advance(50);
    expect([live.taken, fetching.taken]).toEqual([0, 1]);
  });
});

describe("downlink", () => {
  async function downlinkRig(maxWaiting = 10) {
    const hub = new MemoryHub();
    const bus = new MemoryBus(hub, "listener-0");
    const sessions = new SessionDirectory(PARTITIONS, new FakeClock());
    const book = new LedgerBook("downlink", Lane.COMMAND);
    const server = new DownlinkServer(bus, sessions, book, maxWaiting);
    await server.start();
    const ask = async (more: Partial<control.DownlinkRequest> = {}) => {
      const request = control.DownlinkRequest.fromPartial({
        deviceId: "d",
        path: "p",
        payload: Buffer.from("x"),
        ...more,
      });
      const answer = await bus.request(
        subjects.listenerDownlink("listener-0"),
        control.DownlinkRequest.encode(request).finish(),
      );
      return control.DownlinkResult.decode(answer);
    };
    return { sessions, book, ask, bus };
  }

  it("reaches the session and says how far it came", async () => {
    const { sessions, ask, book } = await downlinkRig();
    const session = new Session(3, "d");
    sessions.open(session);
    expect((await ask()).state).toBe(app.SendState.WRITTEN);
    session.answer = async () => "acknowledged";
    expect((await ask({ waitForDevice: true })).state).toBe(app.SendState.ACKNOWLEDGED);
    expect(session.got.map(({ path, waitForDevice }) => [path, waitForDevice])).toEqual([
      ["p", false],
      ["p", true],
    ]);
    expect(book).toMatchObject({ received: 2, forwarded: 2, queued: 0 });
  });

  it("says what went wrong, in balance with the books", async () => {
    const { sessions, ask, book, bus } = await downlinkRig();
    expect(await ask()).toMatchObject({
      state: app.SendState.REFUSED,
      error: { code: "device.not_connected" },
    });
    const session = new Session(3, "d");
    sessions.open(session);
    expect((await ask({ connectionEpoch: 4 })).error?.code).toBe("device.not_connected");
    session.answer = () => Promise.reject(new AppError("limit.slow_client", "slow"));
    expect((await ask()).error).toMatchObject({ code: "limit.slow_client", retryable: true });
    const broken = await bus.request(subjects.listenerDownlink("listener-0"), Buffer.from([0xff, 0xff]));
    expect(control.DownlinkResult.decode(broken).error?.code).toBe("contract.bad_frame");
    const dropped = [...book.dropped.values()].reduce((a, b) => a + b, 0);
    expect(book.received).toBe(book.forwarded + dropped + book.queued);
  });

  it("refuses more than may wait", async () => {
    const { sessions, ask } = await downlinkRig(1);
    const session = new Session(3, "d");
    const { promise, resolve } = Promise.withResolvers<DownlinkState>();
    session.answer = () => promise;
    sessions.open(session);
    const first = ask();
    expect((await ask()).error?.code).toBe("queue.full");
    resolve("written");
    expect((await first).state).toBe(app.SendState.WRITTEN);
  });
});

describe("the ingress account", () => {
  it("adds what was stopped before the sender to what the sender counts", () => {
    const sender = { received: 10, forwarded: 6, stored: 0, dropped: { bus_down: 3 }, queued: () => 1 };
    const account = ingressAccount(Lane.TELEMETRY, sender, new Map([["auth.not_authorized", 2]]));
    const dropped = account.dropped.reduce((sum, { count }) => sum + count, 0);
    expect(account.received).toBe(12);
    expect(account.received).toBe(
      account.forwarded + account.stored + dropped + account.expired + account.queued,
    );
  });
});
