import {
  type BusSpec,
  busKind,
  checkValue,
  type DeviceProfileSpec,
  type DeviceSpec,
  deviceKind,
  deviceProfileKind,
} from "@myelin/config";
import { AppError, FakeClock } from "@myelin/kernel";
import { decodeSampleBlock, Profile, type Sample } from "@myelin/profile";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SimulatedAdapter } from "../drivers/simulated/simulated-adapter.js";
import { ModelLine } from "../links/model-line.js";
import { checkDevice } from "./check-device.js";
import { Poller } from "./poller.js";
import { Unit } from "./unit.js";
import { LONGEST_WAIT_MS } from "./unit-health.js";

const profile = new Profile(
  "tank",
  checkValue(deviceProfileKind.spec, {
    points: { level: { deadband: { absolute: 5 } }, pump: { type: "boolean" }, inflow: {} },
  }).value as DeviceProfileSpec,
);

const signal = new AbortController().signal;
const fault = (unit: Unit, place: number) =>
  unit.adapter.sendCommand({ address: "fault", value: place, priority: "command" }, signal);

interface Told extends Sample {
  readonly device: string;
  readonly atMs: number;
}

/** A simulated line with tanks on it. */
class Hall {
  readonly clock = new FakeClock();
  readonly told: Told[] = [];
  readonly changes: string[] = [];
  readonly units: Unit[] = [];
  readonly line: ModelLine;
  readonly poller: Poller;

  constructor(bus: BusSpec) {
    const { clock, told, changes } = this;
    this.line = new ModelLine("hall", bus.link.simulated as NonNullable<typeof bus.link.simulated>, 0, clock);
    this.poller = new Poller({
      link: this.line,
      clock,
      outstanding: 1,
      retries: bus.retries,
      sink: {
        publish: (unit, block) => {
          for (const sample of decodeSampleBlock(block) ?? [])
            told.push({ ...sample, device: unit.device.name, atMs: clock.nowMs() });
        },
      },
      onChange: (unit, error) => void changes.push(`${unit?.device.name ?? "line"} ${error?.code ?? "back"}`),
    });
  }

  of(device: string, point: string): readonly Told[] {
    return this.told.filter((one) => one.device === device && one.point === point);
  }
}

async function hallOf(devices: Readonly<Record<string, object>>, more: object = {}): Promise<Hall> {
  const bus = checkValue(busKind.spec, { link: { simulated: {} }, ...more }).value as BusSpec;
  const hall = new Hall(bus);
  for (const [name, spec] of Object.entries(devices)) {
    const { value, problems } = checkValue(deviceKind.spec, {
      bus: "hall",
      driver: "simulated",
      profile: "tank",
      address: `tank:${name}`,
      points: { level: { address: "level" }, pump: { address: "pump" } },
      ...spec,
    });
    expect(problems).toEqual([]);
    const around = { bus: () => bus, profile: () => profile };
    const device = await checkDevice(name, value as DeviceSpec, around);
    hall.units.push(
      new Unit(device, device.driver.open(hall.line, device.unit, device.settings, hall.clock)),
    );
  }
  hall.poller.apply(hall.units, () => true);
  return hall;
}

describe("a poller", () => {
  it("tells what has changed, and all of it again when the heartbeat is due", async () => {
    const hall = await hallOf({ a: { heartbeat: "10s" } });
    await hall.clock.advance(21_000);
    expect(hall.units[0]?.counters.reads).toBe(21);
    const times = hall.of("a", "pump").map(({ atMs }) => Math.floor(atMs / 1_000));
    expect(times).toEqual([0, 10, 20]);
    expect(hall.of("a", "pump")[0]).toMatchObject({ value: true, quality: "good", latencyUs: 2_000 });
    await hall.poller.stop();
    expect(hall.clock.pendingTimers).toBe(0);
  });

  it("tells at once that a read failed, and why, and never the value before", async () => {
    const hall = await hallOf({ a: {} });
    await hall.clock.advance(1_500);
    void fault(hall.units[0] as Unit, 1);
    await hall.clock.advance(1_000);
    expect(hall.of("a", "level").at(-1)).toMatchObject({ value: null, quality: "bad", reason: "no_reply" });
    void fault(hall.units[0] as Unit, 2);
    await hall.clock.advance(1_000);
    expect(hall.of("a", "level").at(-1)).toMatchObject({ value: null, quality: "bad", reason: "bad_reply" });
    await hall.poller.stop();
  });

  it("takes hardly anything from the neighbours of a dead unit, and notices in time that it is back", async () => {
    const devices = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`u${i}`, { poll: "100ms" }]));
    const hall = await hallOf(devices);
    const dead = hall.units[7] as Unit;
    const reads = () => hall.units.reduce((sum, unit) => sum + (unit === dead ? 0 : unit.counters.reads), 0);
    await hall.clock.advance(20_000);
    const before = reads();
    void fault(dead, 1);
    await hall.clock.advance(10_000);
    const since = reads();
    await hall.clock.advance(20_000);
    expect((reads() - since) / before).toBeGreaterThan(0.95);
    expect(hall.changes).toEqual(["u7 hardware.no_reply"]);
    void fault(dead, 0);
    const backMs = hall.clock.nowMs();
    await hall.clock.advance(LONGEST_WAIT_MS + 500);
    const good = hall.of("u7", "level").find(({ quality, atMs }) => quality === "good" && atMs > backMs);
    expect(good).toBeDefined();
    expect(hall.changes).toEqual(["u7 hardware.no_reply", "u7 back"]);
    await hall.poller.stop();
  });

  it("says of all points of a dead unit that they are bad, also of those that are seldom read", async () => {
    const points = { level: { address: "level", poll: "100ms" }, pump: { address: "pump", poll: "1h" } };
    const hall = await hallOf({ a: { points } });
    await hall.clock.advance(3_600_000);
    void fault(hall.units[0] as Unit, 1);
    await hall.clock.advance(5_000);
    expect(hall.of("a", "pump").at(-1)).toMatchObject({ quality: "bad", reason: "no_reply" });
    await hall.poller.stop();
  });

  it("says of all units that a line is down, and goes on when it is back", async () => {
    const hall = await hallOf({ a: {}, b: {} });
    await hall.clock.advance(2_000);
    hall.line.cut(true);
    await hall.clock.advance(1_500);
    for (const device of ["a", "b"])
      expect(hall.of(device, "level").at(-1)).toMatchObject({ quality: "bad", reason: "unreachable" });
    hall.line.cut(false);
    await hall.clock.advance(6_000);
    for (const device of ["a", "b"])
      expect(hall.of(device, "level").at(-1)).toMatchObject({ quality: "good" });
    expect(hall.changes).toEqual(["line hardware.line_down", "line back"]);
    await hall.poller.stop();
  });

  it("leaves units alone whose resources have not changed when others come", async () => {
    const hall = await hallOf({ a: {}, b: {} });
    const [a, b] = hall.units as [Unit, Unit];
    hall.poller.apply([a], () => true);
    await hall.clock.advance(5_500);
    hall.poller.apply([a, b], () => true);
    await hall.clock.advance(5_500);
    expect([a.counters.reads, b.counters.reads]).toEqual([11, 6]);
    expect(a.counters.late).toBe(0);
    await hall.poller.stop();
  });

  it("says of what the line has no time for that it was not read", async () => {
    const hall = await hallOf({ a: {} });
    hall.poller.apply(hall.units, () => false);
    await hall.clock.advance(3_000);
    expect(hall.of("a", "level").at(-1)).toMatchObject({ value: null, reason: "not_read" });
    expect(hall.units[0]?.counters.reads).toBe(0);
    await hall.poller.stop();
  });

  it("keeps every promise of a plan that fits, whatever the intervals", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 50, max: 3_000 }), { minLength: 1, maxLength: 8 }),
        async (intervals) => {
          const hall = await hallOf(
            Object.fromEntries(intervals.map((ms, i) => [`u${i}`, { poll: `${ms}ms` }])),
          );
          await hall.clock.advance(9_000);
          for (const [i, ms] of intervals.entries()) {
            const { reads, late } = (hall.units[i] as Unit).counters;
            expect(late).toBe(0);
            expect(Math.abs(reads - 9_000 / ms)).toBeLessThanOrEqual(1.5);
          }
          await hall.poller.stop();
          expect(hall.clock.pendingTimers).toBe(0);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe("a device", () => {
  const bus = checkValue(busKind.spec, { link: { simulated: {} } }).value as BusSpec;
  const check = (spec: object) => {
    const { value } = checkValue(deviceKind.spec, {
      bus: "hall",
      driver: "simulated",
      profile: "tank",
      ...spec,
    });
    const around = {
      bus: (name: string) => (name === "hall" ? bus : undefined),
      profile: (name: string) => (name === "tank" ? profile : undefined),
    };
    return checkDevice("one", value as DeviceSpec, around);
  };

  it.each([
    [{ bus: "cellar", address: "tank" }, 'spec.bus: "cellar" must be a Bus of the node local'],
    [{ profile: "pump", address: "tank" }, 'spec.profile: "pump" must be a DeviceProfile that is in force'],
    [{ driver: "canopen" }, "there is no driver canopen; known are modbus, simulated"],
    [{ driver: "modbus-rtu", address: "1" }, "must be a driver for simulated lines, as hall is one"],
    [{ address: "boat" }, 'spec.address: "boat" must be what the driver takes'],
    [
      { address: "tank", points: { depth: { address: "level" } } },
      'spec.points.depth: "depth" must be a point of the profile tank',
    ],
    [{ address: "tank", points: { level: { address: "9" } } }, 'spec.points.level.address: "9" must be'],
    [{ address: "tank", settings: { maxPoints: "many" } }, "spec.settings.maxPoints"],
    [{ address: "tank", settings: { speed: "1" } }, "spec.settings.speed"],
  ])("that does not fit is refused with path, value and rule: %o", async (spec, expected) => {
    await expect(check(spec)).rejects.toSatisfy(
      (error) => AppError.is(error) && error.code === "hardware.unfit" && error.message.includes(expected),
    );
  });

  it("takes settings of its driver as text", async () => {
    const { settings } = await check({ address: "motor", settings: { maxPoints: "7" } });
    expect(settings).toMatchObject({ maxPoints: 7, fault: "none" });
  });

  it("counts a write", async () => {
    const device = await check({ address: "tank", points: { pump: { address: "pump" } } });
    const clock = new FakeClock();
    const line = new ModelLine("hall", { latency: 0, seed: 1 }, 0, clock);
    const adapter = device.driver.open(line, device.unit, device.settings, clock) as SimulatedAdapter;
    await adapter.sendCommand({ address: "pump", value: false, priority: "command" }, signal);
    const refused = await adapter.sendCommand({ address: "level", value: 3, priority: "command" }, signal);
    expect([adapter.writes, refused.outcome]).toEqual([1, "not_written"]);
  });
});
