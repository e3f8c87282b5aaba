import { checkValue } from "@myelin/config";
import { type Clock, FakeClock } from "@myelin/kernel";
import { QUALITY, reasonOf as reasonAt } from "@myelin/profile";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReadingBuffer } from "../../core/readings.js";
import { SimulatedLink, type SimulatedPeer } from "../../links/simulated/simulated-link.js";
import type { HardwareAdapter, PlannedPoint, ReadOutcome, WriteOutcome } from "../adapter.js";
import type { ModbusAddress } from "./address.js";
import { drivers } from "./index.js";
import { encodeMbap, MbapReader } from "./mbap.js";
import { encodeException } from "./pdu.js";
import { decodeRtu, encodeRtu } from "./rtu.js";
import { modbusSettings } from "./settings.js";
import { TestUnit } from "./testcases/unit.js";

const manners = { timeoutMs: 300, turnaroundMs: 100 };

type Framing = "rtu" | "tcp";

/** What the line does to a reply: all frames that arrive, one after the other; none is silence. */
type Fault = (reply: Uint8Array, request: Uint8Array) => readonly Uint8Array[];
const whole: Fault = (reply) => [reply];

class Bench {
  readonly clock = new FakeClock();
  readonly unit = new TestUnit();
  readonly link: SimulatedLink;
  readonly adapter: HardwareAdapter;
  readonly sent: Uint8Array[] = [];
  fault: Fault = whole;
  answer = (pdu: Uint8Array): Uint8Array => this.unit.answer(pdu);
  say: (bytes: Uint8Array) => void = () => undefined;
  readonly #framing: Framing;

  constructor(framing: Framing, settings: Record<string, unknown> = {}, unit = 9) {
    this.#framing = framing;
    this.link = new SimulatedLink(
      "line",
      { peer: this.#peer, manners, gapMs: framing === "rtu" ? 2 : 0 },
      this.clock,
    );
    const driver = drivers.find(({ name }) => name === `modbus-${framing}`);
    if (driver === undefined) throw new Error(framing);
    this.adapter = driver.open(
      this.link,
      unit,
      checkValue(modbusSettings, settings).value,
      this.clock as Clock,
    );
  }

  readonly #peer: SimulatedPeer = (bytes, answer) => {
    this.sent.push(bytes);
    this.say = answer;
    const reply = this.#framing === "rtu" ? this.#rtu(bytes) : this.#tcp(bytes);
    if (reply !== undefined) for (const one of this.fault(reply, bytes)) answer(one);
  };

  #rtu(bytes: Uint8Array): Uint8Array | undefined {
    const request = decodeRtu(bytes);
    if (request === undefined) return undefined;
    if (request.unit === 0) this.answer(request.pdu);
    return request.unit === 9 ? encodeRtu(9, this.answer(request.pdu)) : undefined;
  }

  #tcp(bytes: Uint8Array): Uint8Array {
    let reply = new Uint8Array(0);
    new MbapReader((transaction, unit, all, start, end) => {
      reply = Uint8Array.from(encodeMbap(transaction, unit, this.answer(all.slice(start, end))));
    }).push(bytes);
    return reply;
  }

  async run<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const ended = work.finally(() => {
      isOver = true;
    });
    for (let ms = 0; ms < 60_000 && !isOver; ms += 50) await this.clock.advance(50);
    return await ended;
  }

  async read(...places: readonly string[]): Promise<{ outcome: ReadOutcome; out: ReadingBuffer }> {
    return await this.readTo(new ReadingBuffer(places.length), places);
  }

  async readTo(
    out: ReadingBuffer,
    places: readonly string[],
  ): Promise<{ outcome: ReadOutcome; out: ReadingBuffer }> {
    const driver = drivers.find(({ name }) => name === `modbus-${this.#framing}`);
    const spec = { type: "number" } as PlannedPoint<ModbusAddress>["spec"];
    const points = places.map((text, number) => ({
      number,
      address: driver?.parseAddress(text, spec),
      spec,
      intervalMs: 1000,
    }));
    const [read] = driver?.plan(9, points, checkValue(modbusSettings, {}).value) ?? [];
    if (read === undefined) throw new Error("no plan");
    const outcome = await this.run(this.adapter.readSensor(read, out, "poll", new AbortController().signal));
    return { outcome, out };
  }

  async write(place: string, value: number | boolean): Promise<WriteOutcome> {
    const spec = {
      type: typeof value === "boolean" ? "boolean" : "number",
    } as PlannedPoint<ModbusAddress>["spec"];
    const address = drivers[0]?.parseAddress(place, spec);
    const signal = new AbortController().signal;
    return await this.run(this.adapter.sendCommand({ address, value, priority: "command" }, signal));
  }
}

const reasonOf = (out: ReadingBuffer, point = 0): string | undefined => reasonAt(out.reason[point] as number);

describe.each<Framing>(["rtu", "tcp"])("a unit on Modbus %s", (framing) => {
  test("is read into columns", async () => {
    const bench = new Bench(framing);
    bench.unit.holding.set([1, 0xfffe, 0x42f6, 0xe979], 10);
    const { outcome, out } = await bench.read("holding:10", "holding:11/int16", "holding:12/float32");
    expect(outcome.answer).toBe("complete");
    expect([...out.values]).toEqual([1, -2, 123.45600128173828]);
    expect([...out.quality]).toEqual([QUALITY.good, QUALITY.good, QUALITY.good]);
    expect(bench.sent).toHaveLength(1);
  });

  test.each([
    [1, "unknown_function"],
    [2, "unknown_address"],
    [3, "refused_value"],
    [4, "unit_fault"],
    [6, "unit_busy"],
    [99, "refused"],
  ])("that refuses with exception %i gives bad samples that say %s", async (code, reason) => {
    const bench = new Bench(framing);
    bench.answer = () => encodeException(3, code);
    const { outcome, out } = await bench.read("holding:0");
    expect([reasonOf(out), out.values[0], outcome.answer]).toEqual([reason, Number.NaN, "complete"]);
    expect(outcome.error?.code).toBe("hardware.refused");
  });

  test("behind a gateway that misses it counts as silent", async () => {
    const bench = new Bench(framing);
    bench.answer = () => encodeException(3, 11);
    const { outcome, out } = await bench.read("holding:0");
    expect([reasonOf(out), outcome.answer]).toEqual(["no_reply", "none"]);
  });

  test("that keeps silent gives a bad sample, and the old value is gone", async () => {
    const bench = new Bench(framing);
    bench.unit.holding[0] = 5;
    const { out } = await bench.read("holding:0");
    bench.fault = () => [];
    await bench.readTo(out, ["holding:0"]);
    expect([out.values[0], out.quality[0], reasonOf(out)]).toEqual([Number.NaN, QUALITY.bad, "no_reply"]);
  });

  test("on a line that is cut gives bad samples, and good ones when it is back", async () => {
    const bench = new Bench(framing);
    bench.link.cut(true);
    const cut = await bench.read("holding:0");
    expect([reasonOf(cut.out), cut.outcome.error?.code]).toEqual(["unreachable", "hardware.line_down"]);
    bench.link.cut(false);
    expect((await bench.read("holding:0")).outcome.answer).toBe("complete");
  });

  test("that is cut off in the middle of a reply gives bad samples at once", async () => {
    const bench = new Bench(framing);
    bench.fault = (reply) => {
      bench.say(reply.subarray(0, 5));
      bench.link.reset("closed by the other side");
      return [];
    };
    expect(reasonOf((await bench.read("holding:0")).out)).toBe("unreachable");
    bench.fault = whole;
    expect((await bench.read("holding:0")).outcome.answer).toBe("complete");
  });

  test("takes writes of every sort, and says so", async () => {
    const bench = new Bench(framing);
    expect(await bench.write("coil:3", true)).toEqual({ outcome: "written" });
    expect(await bench.write("holding:5/int16", -3)).toEqual({ outcome: "written" });
    expect(await bench.write("holding:6/float32", 1.5)).toEqual({ outcome: "written" });
    bench.unit.holding[9] = 0xff00;
    expect(await bench.write("holding:9.1", true)).toEqual({ outcome: "written" });
    expect([
      bench.unit.coils[3],
      bench.unit.holding[5],
      bench.unit.holding[6],
      bench.unit.holding[9],
    ]).toEqual([1, 0xfffd, 0x3fc0, 0xff02]);
    expect(bench.unit.writes).toEqual(["5@3", "6@5", "16@6", "22@9"]);
  });

  test("without masked writes has its bits changed in one turn", async () => {
    const bench = new Bench(framing, { bits: "readModifyWrite", writes: "multiple" });
    bench.unit.holding[9] = 0xff00;
    const both = await Promise.all([bench.write("holding:9.0-3", 5), bench.write("holding:9.8", false)]);
    expect(both).toEqual([{ outcome: "written" }, { outcome: "written" }]);
    expect(bench.unit.holding[9]).toBe(0xfe05);
    expect(bench.unit.writes).toEqual(["16@9", "16@9"]);
  });

  test.each<[string, number | boolean]>([
    ["input:1", 1],
    ["discrete:1", true],
    ["holding:1", 65_536],
    ["holding:1", 0.5],
    ["coil:1", 2],
    ["holding:1.0-1", 4],
  ])("is never sent what %s cannot hold (%s)", async (place, value) => {
    const bench = new Bench(framing);
    const { outcome, error } = await bench.write(place, value);
    expect([outcome, error?.code]).toEqual(["not_written", "hardware.refused"]);
    expect(bench.sent).toEqual([]);
  });

  test("that refuses a write has not done it; one that failed at it, or kept silent, may have", async () => {
    const bench = new Bench(framing);
    await bench.read("holding:0");
    const outcomes: string[] = [];
    for (const code of [2, 6, 4, 5, 11]) {
      bench.answer = (pdu) => encodeException(pdu[0] as number, code);
      outcomes.push((await bench.write("holding:1", 7)).outcome);
    }
    expect(outcomes).toEqual(["not_written", "not_written", "unknown", "unknown", "unknown"]);
    bench.answer = (pdu) => bench.unit.answer(pdu);
    bench.fault = () => [];
    expect((await bench.write("holding:1", 8)).outcome).toBe("unknown");
  });

  test("that answers for another unit, or another function, is not believed", async () => {
    const bench = new Bench(framing);
    bench.fault = (reply) => {
      const wrong = reply.slice();
      wrong[framing === "tcp" ? 6 : 0] = 8;
      return [framing === "tcp" ? wrong : encodeRtu(8, wrong.subarray(1, -2))];
    };
    expect(reasonOf((await bench.read("holding:0")).out)).toBe("bad_reply");
    bench.fault = whole;
    bench.answer = () => Uint8Array.of(4, 2, 0, 1);
    expect(reasonOf((await bench.read("holding:0")).out)).toBe("bad_reply");
  });

  test("is never believed when any byte of its reply is another", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (where, turn) => {
        const bench = new Bench(framing);
        bench.unit.holding.set([0x1234, 0x5678], 3);
        bench.fault = (reply) => {
          const wrong = reply.slice();
          // Bytes of data over TCP are guarded by TCP itself.
          const at = where % (framing === "tcp" ? 9 : wrong.length);
          wrong[at] = (wrong[at] as number) ^ turn;
          return [wrong];
        };
        const { out } = await bench.read("holding:3", "holding:4");
        expect([out.quality[0], out.quality[1]]).toEqual([QUALITY.bad, QUALITY.bad]);
      }),
      { numRuns: 40 },
    );
  });

  test("whose replies come late or twice is never believed about something else", async () => {
    const late = fc.constantFrom<"whole" | "lost" | "late" | "twice">("whole", "lost", "late", "twice");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(9), late), { minLength: 1, maxLength: 12 }),
        async (steps) => {
          const bench = new Bench(framing);
          bench.unit.holding.forEach((_, at, all) => {
            all[at] = 1000 + at;
          });
          const held: Uint8Array[] = [];
          for (const [place, how] of steps) {
            bench.fault = (reply) => {
              // What was late comes first, before the unit says anything new: it answers in order.
              const before = held.splice(0);
              if (how === "late") held.push(reply);
              if (how === "late" || how === "lost") return before;
              return how === "twice" && framing === "tcp" ? [...before, reply, reply] : [...before, reply];
            };
            const { out } = await bench.read(`holding:${place}`);
            if (out.quality[0] === QUALITY.good) expect(out.values[0]).toBe(1000 + place);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("recovers after it was silent", async () => {
    const bench = new Bench(framing);
    bench.fault = () => [];
    for (let i = 0; i < 3; i++) await bench.read("holding:0");
    bench.fault = whole;
    const again = async (): Promise<string> => (await bench.read("holding:0")).outcome.answer;
    // After three silent requests a connection is made anew, and the first request finds it so.
    if ((await again()) !== "complete") expect(await again()).toBe("complete");
  });

  test("is left alone when the caller has gone", async () => {
    const bench = new Bench(framing);
    bench.fault = () => [];
    const gone = new AbortController();
    const address = drivers[0]?.parseAddress("holding:0/float32", { type: "number" } as never);
    const written = bench.adapter.sendCommand({ address, value: 1, priority: "command" }, gone.signal);
    await bench.clock.advance(1);
    gone.abort();
    expect((await bench.run(written)).outcome).toBe("unknown");
    const before = bench.sent.length;
    const late = await bench.adapter.sendCommand({ address, value: 1, priority: "command" }, gone.signal);
    expect([late.outcome, bench.sent.length]).toEqual(["not_written", before]);
    expect(bench.clock.pendingTimers).toBe(0);
  });
});

describe("a line that gives back what is sent on it", () => {
  const echo: Fault = (reply, request) => [request, reply];
  const onlyEcho: Fault = (_, request) => [request];

  test("is read as any other", async () => {
    const bench = new Bench("rtu");
    bench.fault = echo;
    bench.unit.holding[3] = 77;
    expect((await bench.read("holding:3")).out.values[0]).toBe(77);
    expect(await bench.write("holding:3", 78)).toEqual({ outcome: "written" });
  });

  test("never acknowledges a write in the place of a unit that is dead", async () => {
    for (const reads of [0, 1]) {
      const bench = new Bench("rtu");
      bench.fault = echo;
      for (let i = 0; i < reads; i++) await bench.read("holding:0");
      bench.fault = onlyEcho;
      expect((await bench.write("coil:3", true)).outcome).not.toBe("written");
      expect((await bench.write("holding:3", 1)).outcome).not.toBe("written");
    }
  });

  test("is not taken for a unit that has answered a read", async () => {
    const bench = new Bench("rtu");
    bench.fault = onlyEcho;
    expect(reasonOf((await bench.read("holding:0")).out)).toBe("no_reply");
    // The request for these coils looks like a reply of three bytes.
    expect(reasonOf((await bench.read("coil:768", "coil:769")).out)).toBe("no_reply");
  });
});

test("all units at once are written to, and nobody says that they did it", async () => {
  const bench = new Bench("rtu", {}, 0);
  expect((await bench.write("holding:3", 9)).outcome).toBe("unknown");
  expect(bench.unit.holding[3]).toBe(9);
});

test("a line is spoken in one way only", () => {
  const clock = new FakeClock();
  const settings = checkValue(modbusSettings, {}).value;
  const link = new SimulatedLink("line", { manners }, clock);
  drivers[0]?.open(link, 1, settings, clock);
  drivers[0]?.open(link, 2, settings, clock);
  expect(() => drivers[1]?.open(link, 3, settings, clock)).toThrow(
    expect.objectContaining({ code: "hardware.unfit" }),
  );
  const wide = new SimulatedLink("wide", { manners, concurrency: 2 }, clock);
  expect(() => drivers[0]?.open(wide, 1, settings, clock)).toThrow(
    expect.objectContaining({ code: "hardware.unfit" }),
  );
});
