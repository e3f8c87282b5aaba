import { subjects, session as wire } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import type { SessionHolder } from "./session-home.js";
import { SessionHomeClient } from "./session-homes.js";

const EPOCH = 7;
const { ReportKind, SignalKind } = wire;

it("lets go of a session that is taken over while its home opens it, and its connection never has it", async () => {
  const hub = new MemoryHub();
  const bus = new MemoryBus(hub, "listener-0");
  const home = new MemoryBus(hub, "core");
  const homes = new SessionHomeClient({ bus, clock: systemClock, log: silentLogger, partitions: 1 });
  await homes.start();
  const kinds: number[] = [];
  home.serve(subjects.sessionReports(0), (data) => {
    kinds.push(...wire.SessionReports.decode(data).kinds);
    return wire.HomeBeat.encode(wire.HomeBeat.fromPartial({ epoch: EPOCH })).finish();
  });
  home.serve(subjects.sessionHome(0), async () => {
    // Another connection of the client has come before the answer leaves.
    const signals = { signalConnections: [3], signals: [SignalKind.TAKEN_OVER], signalValues: [0] };
    const told = { epoch: EPOCH, incarnation: bus.incarnation, sequence: 1, link: 1, ...signals };
    const data = wire.SessionDeliveries.encode(wire.SessionDeliveries.fromPartial(told)).finish();
    await home.request(subjects.sessionDeliveries(bus.instance), data);
    return wire.OpenedSession.encode(wire.OpenedSession.fromPartial({ epoch: EPOCH })).finish();
  });
  const holder = { number: 3 } as SessionHolder;
  const identity = { tenant: "", deviceId: "d", user: "" };
  const opening = homes.open({ identity, clean: false, expirySeconds: 60, receiveMaximum: 1 }, holder);
  await expect(opening).rejects.toMatchObject({ code: "session.lost" });
  await homes.stop();
  expect(kinds).toEqual([ReportKind.CLOSED]);
  expect(homes.size).toBe(0);
});
