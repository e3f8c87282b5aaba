import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mqttRig } from "../../test/mqtt-rig.js";
import type { Connection } from "./connection.js";
import { LowestNumbers, scanConnections } from "./operations-scan.js";

describe("scanConnections", () => {
  it("visits everybody who stays, once, though others come and go meanwhile", async () => {
    const rig = mqttRig();
    const clients = Array.from({ length: 2_000 }, (_, i) => rig.connected(`d${i}`));
    const clock = new FakeClock();
    // Each look at the clock is at the end of a turn.
    const hurried = new Proxy(clock, {
      get: (target, key) => (key === "nowMs" ? () => (turns += 10) : Reflect.get(target, key)),
    });
    let turns = 0;
    const seen = new Map<string, number>();
    const scanning = scanConnections(rig.manager.connections(), hurried, ({ identity }) => {
      seen.set(identity.deviceId, (seen.get(identity.deviceId) ?? 0) + 1);
    });
    setImmediate(() => {
      for (let i = 0; i < 2_000; i += 7) clients[i]!.lose();
      rig.connected("late");
    });
    await scanning;
    for (let i = 0; i < 2_000; i++) {
      if (i % 7 === 0) expect(seen.get(`d${i}`) ?? 1).toBe(1);
      else expect(seen.get(`d${i}`)).toBe(1);
    }
    expect(seen.has("late")).toBe(false);
  });

  it("passes over those whose client is not known yet", async () => {
    const rig = mqttRig();
    rig.client();
    let visits = 0;
    await scanConnections(rig.manager.connections(), rig.clock, () => (visits += 1));
    expect(visits).toBe(0);
  });

  it("passes over those that were told goodbye and are still being closed", async () => {
    const rig = mqttRig();
    const client = rig.connected("d");
    const visit = async (): Promise<number> => {
      let visits = 0;
      await scanConnections(rig.manager.connections(), rig.clock, () => (visits += 1));
      return visits;
    };
    expect(await visit()).toBe(1);
    client.connection.disconnect("deleted");
    expect([rig.manager.connections().length, await visit()]).toEqual([1, 0]);
  });
});

describe("LowestNumbers", () => {
  it("keeps the lowest ones in order, and one more", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat()), fc.integer({ min: 1, max: 10 }), (numbers, limit) => {
        const lowest = new LowestNumbers(limit);
        for (const number of numbers) lowest.add({ number } as Connection);
        const sorted = [...numbers].sort((a, b) => a - b).slice(0, limit + 1);
        expect(lowest.picked.map(({ number }) => number)).toEqual(sorted);
      }),
    );
  });
});
