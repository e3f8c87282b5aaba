import { control, Protocol, subjects } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { Presence } from "./presence.js";
import { SessionDirectory } from "./session-directory.js";
import { WillAdoption } from "./will-adoption.js";
import { WillKeeper } from "./will-keeper.js";

const PARTITIONS = 2;

async function listener() {
  const hub = new MemoryHub();
  const clock = new FakeClock();
  const bus = new MemoryBus(hub, "a");
  const sessions = new SessionDirectory(PARTITIONS, clock);
  const published: [user: string, topic: string][] = [];
  const wills = new WillKeeper(clock, ({ identity }, { topic }) => published.push([identity.user, topic]));
  const presence = new Presence(bus, clock, sessions, PARTITIONS, wills);
  sessions.addListener(presence);
  await presence.start();
  const adoption = new WillAdoption(bus, wills, sessions, presence, silentLogger);
  await adoption.start();
  /** What the owners have been told since the last call: who is online with which will, and how long it waits. */
  const told = (): string[] =>
    hub.published
      .splice(0)
      .filter(({ subject }) => subject.startsWith("mln.pres.batch."))
      .flatMap(({ data }) => control.PresenceBatch.decode(data).changes)
      .map(({ deviceId, online, will }) => {
        const { topic, delayMs } = control.KeptWill.decode(will);
        return `${deviceId} ${online ? "here" : "away"} ${topic} ${delayMs}`.trim();
      });
  const adopt = (deviceId: string, delayMs: number, lostMs: number) => {
    const id = Buffer.alloc(16, deviceId);
    const will = control.KeptWill.fromPartial({ id, topic: `gone/${deviceId}`, user: "ann", delayMs });
    const lost = { deviceId, protocol: Protocol.MQTT, will: control.KeptWill.encode(will).finish(), lostMs };
    const wills = control.LostWills.fromPartial({ wills: [lost] } as object);
    return bus.request(subjects.lostWills(), control.LostWills.encode(wills).finish());
  };
  const session = (deviceId: string, topic = "") => ({
    identity: { tenant: "", deviceId, user: "" },
    number: 1,
    protocol: Protocol.MQTT as Protocol,
    address: "10.0.0.1",
    openedAtUs: 0,
    keptWill: () => (topic === "" ? undefined : control.KeptWill.fromPartial({ topic })),
    downlink: async () => "written" as const,
    takenOver: () => {},
  });
  return { clock, bus, sessions, wills, published, told, adopt, session };
}

it("publishes a will of a listener that has died at once when it had no delay or that has passed", async () => {
  const { adopt, published, wills } = await listener();
  await adopt("d", 0, 3_000);
  await adopt("e", 10_000, 11_000);
  expect([published, wills.size]).toEqual([
    [
      ["ann", "gone/d"],
      ["ann", "gone/e"],
    ],
    0,
  ]);
});

it("goes on with the delay, tells the owner that it waits here, and that it is settled when it was published", async () => {
  const { adopt, published, clock, told } = await listener();
  await adopt("d", 10_000, 4_000);
  await clock.advance(1);
  expect(told()).toEqual(["d away gone/d 6000"]);
  await clock.advance(5_998);
  expect(published).toEqual([]);
  await clock.advance(1);
  expect(published).toEqual([["ann", "gone/d"]]);
  await clock.advance(10);
  expect(told()).toEqual(["d away  0"]);
});

it("goes on as before when a will is handed over once more", async () => {
  const { adopt, published, clock } = await listener();
  await adopt("d", 10_000, 0);
  await adopt("d", 10_000, 500);
  expect(published).toEqual([]);
  await clock.advance(10_000);
  expect(published).toHaveLength(1);
});

it("tells whole milliseconds, rounded up, whatever the clock says", async () => {
  const { adopt, clock, told, bus } = await listener();
  await adopt("d", 10_000, 0);
  await clock.advance(100.25);
  told();
  for (let p = 0; p < PARTITIONS; p++) bus.publish(subjects.presenceSync(p), Buffer.alloc(0));
  expect(told()).toEqual(["d away gone/d 9900"]);
});

it("publishes nothing for a client that is here", async () => {
  const { adopt, published, sessions, session, wills } = await listener();
  sessions.open(session("d"));
  await adopt("d", 0, 3_000);
  expect([published, wills.size]).toEqual([[], 0]);
});

it("tells the owner the wills of those who are connected and of those who wait, also when it asks for everything", async () => {
  const { bus, adopt, clock, sessions, session, told } = await listener();
  const d = session("d", "gone/d");
  sessions.open(d);
  sessions.open(session("e"));
  await clock.advance(10);
  expect(told()).toEqual(["d here gone/d 0", "e here  0"]);
  await adopt("f", 5_000, 0);
  await clock.advance(10);
  told();
  for (let p = 0; p < PARTITIONS; p++) bus.publish(subjects.presenceSync(p), Buffer.from("a"));
  expect(told().sort()).toEqual(["d here gone/d 0", "e here  0", "f away gone/f 4990"]);
  for (let p = 0; p < PARTITIONS; p++) bus.publish(subjects.presenceSync(p), Buffer.from("another"));
  expect(told()).toEqual([]);
});

it("tells many large wills in pieces", async () => {
  const { clock, sessions, session, told, bus } = await listener();
  for (let i = 0; i < 20; i++) sessions.open(session(`d${i}`, "x".repeat(60_000)));
  await clock.advance(100);
  const sizes = bus.hub.published.map(({ data }) => data.length);
  expect(Math.max(...sizes)).toBeLessThan(400_000);
  expect(told()).toHaveLength(20);
});
