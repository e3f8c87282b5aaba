import { control, Protocol } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { DeviceDirectory } from "./device-directory.js";
import { LostWills } from "./lost-wills.js";
import { ToldWills, WillRoom } from "./told-wills.js";

const SILENCE_MS = 6_000;

/** The owner of one partition, listeners by name with their incarnation, and somebody who takes wills. */
function owner(maxBytes = 100_000) {
  const clock = new FakeClock();
  const wills = new ToldWills(new WillRoom(maxBytes));
  const devices = new DeviceDirectory(wills, () => clock.nowMs());
  const live = new Map<string, number>();
  const given: control.LostWill[] = [];
  const claimed: string[] = [];
  const taker = { isThere: true, isNatsThere: true, onRequest: () => {} };
  const partition = {
    wills,
    isHeld: true,
    claimAgain: (_tenant: string, deviceId: string) => claimed.push(deviceId),
  };
  const lost = new LostWills({
    ports: {
      clock,
      log: silentLogger,
      external: {
        flush: async () => {
          if (!taker.isNatsThere) throw new AppError("bus.disconnected", "NATS is away");
        },
      },
      request: async (_subject, data) => {
        if (!taker.isThere) throw new AppError("request.no_responder", "nobody");
        taker.onRequest();
        given.push(...control.LostWills.decode(data).wills);
        return new Uint8Array(0);
      },
    },
    partitions: () => [partition],
    incarnationOf: (name) => live.get(name),
    knowsAll: () => true,
  });
  const tell = (listener: string, changes: object[], more: object = {}): void => {
    const incarnation = live.get(listener) ?? 1;
    devices.apply(control.PresenceBatch.fromPartial({ listener, incarnation, changes, ...more } as object));
  };
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 500) {
      lost.sweep();
      await clock.advance(500);
    }
    lost.sweep();
    await clock.advance(0);
  };
  live.set("a", 1);
  live.set("b", 1);
  const gone = (): string[] => given.map(({ deviceId, will }) => `${deviceId}:${will.toString()}`);
  return { clock, wills, live, given, claimed, taker, partition, lost, tell, pass, gone };
}

const here = (deviceId: string, will = "", more: object = {}) => ({
  deviceId,
  online: true,
  connectionEpoch: 1,
  protocol: Protocol.MQTT,
  will: Buffer.from(will),
  ...more,
});
const away = (deviceId: string, will = "", more: object = {}) => ({
  ...here(deviceId, will),
  online: false,
  ...more,
});

describe("the wills of a listener that has died", () => {
  it("are handed over once when it stays silent, and those of its clients alone that have one", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D"), here("e")]);
    tell("b", [here("f", "F")]);
    await pass(20_000);
    live.delete("a");
    await pass(SILENCE_MS);
    await pass(20_000);
    expect(gone()).toEqual(["d:D"]);
  });

  it("are handed over at once when it has started anew", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D")]);
    live.set("a", 2);
    tell("a", [here("e", "E")]);
    await pass(500);
    expect(gone()).toEqual(["d:D"]);
  });

  it("are forgotten when their clients are back in time, told by whichever listener", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D"), here("e", "E"), here("f", "F")]);
    live.delete("a");
    tell("b", [here("d", "", { atUs: 5 }), here("e", "new", { atUs: 5 })]);
    await pass(SILENCE_MS);
    expect(gone()).toEqual(["f:F"]);
    live.set("b", 2);
    await pass(500);
    expect(gone()).toEqual(["f:F", "e:new"]);
  });

  it("stay where they are while the listener was only not heard, or NATS is away", async () => {
    const { tell, pass, live, taker, lost, gone } = owner();
    tell("a", [here("d", "D")]);
    live.delete("a");
    await pass(2_000);
    live.set("a", 1);
    await pass(20_000);
    taker.isNatsThere = false;
    live.delete("a");
    await pass(20_000);
    taker.isNatsThere = true;
    lost.reconnected();
    await pass(2_000);
    live.set("a", 1);
    await pass(20_000);
    expect(gone()).toEqual([]);
  });

  it("wait for a listener that takes them, and are given up when none comes", async () => {
    const { tell, pass, live, taker, lost, gone, wills } = owner();
    taker.isThere = false;
    tell("a", [here("d", "D"), here("e", "E")]);
    live.set("a", 2);
    await pass(5_000);
    tell("a", [here("e")]);
    taker.isThere = true;
    await pass(1_000);
    expect(gone()).toEqual(["d:D"]);
    taker.isThere = false;
    tell("a", [here("f", "F")]);
    live.set("a", 3);
    await pass(11 * 60_000);
    taker.isThere = true;
    await pass(2_000);
    expect([gone(), lost.givenUp, wills.size]).toEqual([["d:D"], 1, 0]);
  });

  it("say for how long their clients have been away", async () => {
    const { tell, pass, live, given } = owner();
    tell("a", [here("d", "D"), here("e", "E")]);
    tell("a", [away("e", "E")]);
    await pass(10_000);
    live.set("a", 2);
    await pass(500);
    expect(given.map(({ deviceId, lostMs }) => [deviceId, lostMs < 1_000, lostMs >= 10_000])).toEqual([
      ["d", true, false],
      ["e", false, true],
    ]);
  });

  it("are no more when the listener has published them, or their clients have said goodbye", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D"), here("e", "E"), here("f", "F")]);
    tell("a", [away("d"), away("e", "E")]);
    tell("a", [away("e")]);
    live.set("a", 2);
    await pass(500);
    expect(gone()).toEqual(["f:F"]);
  });

  it("are not those of clients that it tells no more when it tells everything again", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D"), here("e", "E")]);
    tell("a", [here("e", "E2"), away("f", "F")], { reset: true });
    live.set("a", 2);
    await pass(500);
    expect(gone().sort()).toEqual(["e:E2", "f:F"]);
  });

  it("are claimed for clients that have come back while they were handed over", async () => {
    const { tell, pass, live, taker, claimed } = owner();
    tell("a", [here("d", "D"), here("e", "E")]);
    live.delete("a");
    taker.onRequest = () => tell("b", [here("d", "", { atUs: 5 })]);
    await pass(SILENCE_MS);
    expect(claimed).toEqual(["d"]);
  });

  it("of a client that is away are not those of its messages over HTTP", async () => {
    const { tell, pass, live, gone } = owner();
    tell("a", [here("d", "D")]);
    tell("a", [away("d", "D")]);
    tell("b", [here("d", "", { protocol: Protocol.HTTP, atUs: 5 })]);
    tell("b", [away("d", "", { protocol: Protocol.HTTP })]);
    live.set("a", 2);
    await pass(500);
    expect(gone()).toEqual(["d:D"]);
  });

  it("are not handed over by an owner that has given its partition up", async () => {
    const { tell, pass, live, partition, gone } = owner();
    tell("a", [here("d", "D")]);
    live.set("a", 2);
    partition.isHeld = false;
    await pass(5_000);
    expect(gone()).toEqual([]);
  });

  it("are kept as far as there is room, and those beyond it counted", async () => {
    const room = new WillRoom(600);
    const wills = new ToldWills(room);
    const from = { listener: "a", incarnation: 1 };
    for (const key of ["d", "e", "f"]) {
      wills.tell(key, from, control.PresenceChange.fromPartial({ deviceId: key, will: Buffer.from("W") }));
    }
    expect([wills.size, room.refused]).toEqual([2, 1]);
    wills.settle("d");
    wills.tell("f", from, control.PresenceChange.fromPartial({ deviceId: "f", will: Buffer.from("W") }));
    expect([wills.size, room.refused]).toEqual([2, 1]);
    wills.clear();
    expect(room.usedBytes).toBe(0);
  });
});
