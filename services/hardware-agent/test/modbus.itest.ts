/** Modbus against a unit of libmodbus, over TCP and over a serial line that hurts frames. */
import { type BusSpec, busKind, checkValue } from "@myelin/config";
import { systemClock } from "@myelin/kernel";
import { QUALITY, SAMPLE_REASONS } from "@myelin/profile";
import {
  LIBMODBUS_HEADER,
  requires,
  type SerialLine,
  startLibmodbus,
  startSerialLine,
  waitFor,
} from "@myelin/testkit";
import { describe, expect, test } from "vitest";
import { ReadingBuffer } from "../src/core/readings.js";
import type { AnyDriver, HardwareAdapter, PlannedRead, ReadOutcome } from "../src/drivers/adapter.js";
import { drivers } from "../src/drivers/registry.js";
import type { Link } from "../src/links/link.js";
import { links } from "../src/links/registry.js";

const never = new AbortController().signal;
const point = { type: "number" } as never;

class Unit implements AsyncDisposable {
  private constructor(
    readonly link: Link,
    readonly driver: AnyDriver,
    readonly adapter: HardwareAdapter,
    readonly settings: unknown,
  ) {}

  static async open(
    driverName: string,
    link: BusSpec["link"],
    bus: Record<string, unknown> = {},
  ): Promise<Unit> {
    const spec = checkValue(busKind.spec, { node: "edge", link, ...bus }).value as BusSpec;
    const line = await openLine(spec);
    const driver = (await drivers.modbus()).drivers.find(({ name }) => name === driverName) as AnyDriver;
    const settings = checkValue(driver.settings as never, {}).value;
    return new Unit(line, driver, driver.open(line, 1, settings, systemClock), settings);
  }

  plan(places: readonly string[]): readonly PlannedRead[] {
    const points = places.map((text, number) => ({
      number,
      address: this.driver.parseAddress(text, point),
      spec: point,
      intervalMs: 1000,
    }));
    return this.driver.plan(1, points, this.settings);
  }

  async read(
    ...places: readonly string[]
  ): Promise<{ values: number[]; outcome: ReadOutcome; reason: string | undefined }> {
    const out = new ReadingBuffer(places.length);
    const [read] = this.plan(places);
    const outcome = await this.adapter.readSensor(read as PlannedRead, out, "poll", never);
    const values = [...out.values].map((value, i) => (out.quality[i] === QUALITY.good ? value : Number.NaN));
    return { values, outcome, reason: SAMPLE_REASONS[(out.reason[0] as number) - 1] };
  }

  async write(place: string, value: number): Promise<string> {
    const address = this.driver.parseAddress(place, point);
    return (await this.adapter.sendCommand({ address, value, priority: "command" }, never)).outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.link.disconnect();
  }
}

async function openLine(spec: BusSpec): Promise<Link> {
  const { tcp, serial } = spec.link;
  if (tcp !== undefined) return (await links.tcp()).openLink("line", spec, systemClock);
  if (serial !== undefined) return (await links.serial()).openLink("line", spec, systemClock);
  throw new TypeError("a line of another kind");
}

const serialBus = (line: SerialLine): BusSpec["link"] =>
  ({ serial: { path: line.a, baud: 115_200, parity: "none" } }) as unknown as BusSpec["link"];
const tcpBus = (port: number): BusSpec["link"] =>
  ({ tcp: { host: "127.0.0.1", port } }) as unknown as BusSpec["link"];

async function exercise(unit: Unit): Promise<void> {
  expect((await unit.read("holding:100", "holding:101", "input:7")).values.slice(0, 2)).toEqual([100, 101]);
  expect(await unit.write("holding:10/float32/cdab", 12.5)).toBe("written");
  expect((await unit.read("holding:10/float32/cdab")).values).toEqual([12.5]);
  expect(await unit.write("coil:5", 1)).toBe("written");
  expect((await unit.read("coil:4", "coil:5")).values).toEqual([0, 1]);
  expect(await unit.write("holding:20.4-7", 9)).toBe("written");
  expect((await unit.read("holding:20.4-7", "holding:20")).values).toEqual([9, 0x94]);
  const beyond = await unit.read("holding:5000");
  expect([beyond.reason, beyond.outcome.answer]).toEqual(["unknown_address", "complete"]);
}

describe("Modbus TCP to a server of libmodbus", requires.program(LIBMODBUS_HEADER), () => {
  test("reads, writes and is refused", async () => {
    await using server = await startLibmodbus({ kind: "tcp" });
    await using unit = await Unit.open("modbus-tcp", tcpBus(server.port));
    await exercise(unit);
  });

  test("gives bad samples while the server is gone or hangs, and good ones when it is back", async () => {
    await using server = await startLibmodbus({ kind: "tcp" });
    await using unit = await Unit.open("modbus-tcp", tcpBus(server.port));
    expect((await unit.read("holding:3")).values).toEqual([3]);
    await server.process.pause();
    expect((await unit.read("holding:3")).reason).toBe("no_reply");
    server.process.resume();
    await waitFor(async () => ((await unit.read("holding:3")).values[0] === 3 ? true : undefined), {
      what: "the server to answer again",
    });
    await server.process.kill();
    await waitFor(async () => ((await unit.read("holding:3")).reason === "unreachable" ? true : undefined), {
      what: "the connection to be gone",
    });
    await server.process.start();
    await waitFor(async () => ((await unit.read("holding:3")).values[0] === 3 ? true : undefined), {
      what: "the connection to be back",
      deadlineMs: 20_000,
    });
  });
});

const serial =
  [requires.program(LIBMODBUS_HEADER), requires.program("socat")].find(({ skip }) => skip) ??
  requires.program("socat");

describe("Modbus RTU to a unit of libmodbus", serial, () => {
  test("reads, writes and is refused, on a line as slow as a real one", async () => {
    await using line = await startSerialLine({ bitsPerSecond: 115_200 });
    await using server = await startLibmodbus({ kind: "rtu", path: line.b, baud: 115_200, unit: 1 });
    await using unit = await Unit.open("modbus-rtu", serialBus(line), { timeout: "2s" });
    expect(server.process.running).toBe(true);
    await exercise(unit);
  });

  test("has the port alone", async () => {
    await using line = await startSerialLine();
    await using first = await Unit.open("modbus-rtu", serialBus(line));
    await using second = await Unit.open("modbus-rtu", serialBus(line));
    await first.link.connect(never);
    await expect(second.link.connect(never)).rejects.toThrow(
      expect.objectContaining({ code: "hardware.line_down" }),
    );
  });

  test("never takes a wrong value from a line that hurts frames", async () => {
    await using line = await startSerialLine();
    await using server = await startLibmodbus({ kind: "rtu", path: line.b, baud: 115_200, unit: 1 });
    await using unit = await Unit.open("modbus-rtu", serialBus(line), { timeout: "150ms" });
    expect(server.process.running).toBe(true);
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return (seed >> 8) % below;
    };
    line.fault = (bytes, from) => {
      if (from === "a") return [bytes];
      const hurt = Buffer.from(bytes);
      switch (random(6)) {
        case 0:
          hurt[random(hurt.length)] = random(256);
          return [hurt];
        case 1:
          return [Buffer.from([random(256), random(256)]), hurt];
        case 2:
          return [hurt.subarray(0, random(hurt.length))];
        case 3:
          return [];
        default:
          return [bytes];
      }
    };
    let good = 0;
    for (let i = 0; i < 60; i++) {
      const place = random(90) * 20;
      const { values } = await unit.read(`holding:${place}`, `holding:${place + 1}`);
      if (Number.isNaN(values[0])) continue;
      good += 1;
      expect(values).toEqual([place, place + 1]);
    }
    expect(good).toBeGreaterThan(10);
  });

  test("comes back when the adapter was pulled and is plugged in again", async () => {
    await using line = await startSerialLine();
    await using unit = await Unit.open("modbus-rtu", serialBus(line));
    {
      await using server = await startLibmodbus({ kind: "rtu", path: line.b, baud: 115_200, unit: 1 });
      expect(server.process.running).toBe(true);
      expect((await unit.read("holding:3")).values).toEqual([3]);
      await line.unplug("a");
      await waitFor(
        async () => ((await unit.read("holding:3")).reason === "unreachable" ? true : undefined),
        {
          what: "the loss of the port to be noticed",
          deadlineMs: 30_000,
        },
      );
      await line.plug("a");
      await waitFor(async () => ((await unit.read("holding:3")).values[0] === 3 ? true : undefined), {
        what: "the port to be back",
        deadlineMs: 20_000,
      });
    }
  });
});
