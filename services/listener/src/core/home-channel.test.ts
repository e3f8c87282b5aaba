import { subjects, session as wire } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { HomeChannel, MAX_REPORTS } from "./home-channel.js";

const { ReportKind } = wire;
const COUNT = 200_000;

it("tells of any number of reports in calls that the bus can carry, in order, each identifier with its report", async () => {
  const hub = new MemoryHub();
  const calls: wire.SessionReports[] = [];
  new MemoryBus(hub, "core").serve(subjects.sessionReports(0), (data) => {
    calls.push(wire.SessionReports.decode(data));
    return wire.HomeBeat.encode(wire.HomeBeat.fromPartial({ epoch: 1 })).finish();
  });
  const bus = new MemoryBus(hub, "listener-0");
  const options = { bus, clock: systemClock, log: silentLogger, partition: 0 };
  const channel = new HomeChannel({ ...options, onBeat: () => {} });
  const id = (i: number): Buffer => Buffer.alloc(16, i % 251);
  for (let i = 0; i < COUNT; i++) {
    const begins = i % 3 === 0;
    channel.report(i, begins ? ReportKind.INCOMING : ReportKind.ACKNOWLEDGED, 1, begins ? id(i) : undefined);
  }
  await waitFor(() => channel.idle, { what: "everything to be told", deadlineMs: 30_000 });
  channel.close();
  for (const call of calls) {
    expect(wire.SessionReports.encode(call).finish().length).toBeLessThan(4 * 1024 * 1024);
    const begun = call.connections.filter((_, i) => call.kinds[i] === ReportKind.INCOMING);
    expect(Buffer.concat(begun.map(id)).equals(call.ids)).toBe(true);
  }
  expect(calls.flatMap(({ connections }) => connections)).toEqual(Array.from({ length: COUNT }, (_, i) => i));
  expect(calls.length).toBeGreaterThan(1);
});

it("takes no more than it can keep for a home that does not answer, but for how connections ended", () => {
  const bus = new MemoryBus(new MemoryHub(), "listener-0");
  const options = { bus, clock: systemClock, log: silentLogger, partition: 0 };
  const channel = new HomeChannel({ ...options, onBeat: () => {} });
  let taken = 0;
  for (let i = 0; i < MAX_REPORTS; i++) taken += Number(channel.report(1, ReportKind.ACKNOWLEDGED, 1));
  expect(taken).toBe(MAX_REPORTS);
  expect(channel.report(1, ReportKind.ACKNOWLEDGED, 1)).toBe(false);
  expect(channel.report(1, ReportKind.CLOSED, 0)).toBe(true);
  channel.close();
});
