/** What every data store must pass, on the real thing. */
import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Aggregate,
  type DataStore,
  type Page,
  type RangeQuery,
  type Reading,
  ReadingBlock,
  type ReadingQuality,
  type ReadingValue,
} from "../src/index.js";

/** A store on its server or file; the contract uses devices of its own for each case, so one place serves all of them. */
export interface StorePlace extends AsyncDisposable {
  /** Another store on the same readings, not started. */
  open(): DataStore;
}

interface Row {
  readonly path: string;
  readonly point: string;
  readonly timeUs: number;
  readonly ref: number;
  readonly value: ReadingValue;
  readonly quality: ReadingQuality;
  readonly reason?: string | undefined;
}

const YEAR_1970 = 1;
const YEAR_2100 = Date.UTC(2100, 0, 1) * 1000;
const EVER = { fromUs: -1_000_000_000_000_000, toUs: 8_000_000_000_000_000 };
const LONG_MS = 60_000;

let devices = 0;
const freshDevice = (): string => `device ${++devices} "q'%_`;

const blockOf = (device: string, rows: readonly Row[], tenant = ""): ReadingBlock => {
  const block = new ReadingBlock();
  for (const { path, point, timeUs, value, quality, ref, reason } of rows) {
    block.add(block.seriesNumber(tenant, device, path, point), timeUs, value, quality, ref, reason);
  }
  return block;
};

const reading = ({ path, point, timeUs, value, quality, reason }: Row): Reading => ({
  path,
  point,
  timeUs,
  kind: value.kind,
  value: value.value === 0 ? 0 : value.value,
  quality,
  ...(reason !== undefined && { reason }),
});

const number = (timeUs: number, value: number, more: Partial<Row> = {}): Row => ({
  path: "a/b",
  point: "t",
  timeUs,
  ref: 0,
  value: { kind: "number", value },
  quality: "good",
  ...more,
});

async function pages<T>(next: (cursor: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const rows: T[] = [];
  for (let cursor: string | undefined, turn = 0; ; turn++) {
    const page = await next(cursor);
    rows.push(...page.rows);
    cursor = page.cursor;
    if (cursor === undefined) return rows;
    if (turn > 10_000) throw new Error("the pages never end");
  }
}

const times = fc.oneof(
  fc.integer({ min: 0, max: 20 }),
  fc.constantFrom(YEAR_1970, YEAR_2100, YEAR_2100 + 1, -5),
  fc.integer({ min: 0, max: YEAR_2100 }),
);
const texts = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ maxLength: 20 }),
  fc.constantFrom("", "\0", "a\0b", "\ud800", "'; DROP TABLE readings; --", "{}", "null"),
);
const values: fc.Arbitrary<ReadingValue> = fc.oneof(
  fc.record({ kind: fc.constant("number" as const), value: fc.double() }),
  fc.record({ kind: fc.constant("boolean" as const), value: fc.boolean() }),
  fc.record({ kind: fc.constant("text" as const), value: texts }),
  fc.record({ kind: fc.constant("json" as const), value: fc.json() }),
  fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 20 }) }),
  fc.constant({ kind: "none" as const, value: null }),
);
const rows: fc.Arbitrary<Row> = fc.record({
  path: fc.constantFrom("a", "b/c", "ä"),
  point: fc.constantFrom("", "t", "x.y"),
  timeUs: times,
  ref: fc.constantFrom(0, 1, 2, Number.MAX_SAFE_INTEGER - 1),
  value: values,
  quality: fc.constantFrom("good" as const, "uncertain" as const, "bad" as const),
  reason: fc.option(fc.constantFrom("above_range", 'weil\'s so ist: "ä"\\'), { nil: undefined }),
});

const byOrder = (a: Row, b: Row): number => {
  const by = <V>(x: V, y: V): number => (x < y ? -1 : Number(x > y));
  return by(a.timeUs, b.timeUs) || by(a.path, b.path) || by(a.point, b.point) || by(a.ref, b.ref);
};

/** What is left of rows written in this order. */
function kept(written: readonly Row[]): Row[] {
  const byKey = new Map(written.map((row) => [`${row.path} ${row.point} ${row.timeUs} ${row.ref}`, row]));
  return [...byKey.values()].sort(byOrder);
}

function sums(of: readonly Row[], from: number, to: number, every: number | undefined): Aggregate[] {
  const found = new Map<string, { path: string; point: string; startUs: number; numbers: number[] }>();
  for (const { path, point, timeUs, value, quality } of of) {
    if (timeUs < from || timeUs >= to || quality === "bad") continue;
    if (value.kind !== "number" && value.kind !== "boolean") continue;
    if (!Number.isFinite(Number(value.value))) continue;
    const startUs = every === undefined ? from : Math.floor(timeUs / every) * every;
    const key = `${path} ${point} ${startUs}`;
    const stretch = found.get(key) ?? { path, point, startUs, numbers: [] };
    stretch.numbers.push(Number(value.value));
    found.set(key, stretch);
  }
  return [...found.values()].map(({ numbers, ...where }) => {
    const sum = numbers.reduce((a, b) => a + b, 0);
    return {
      ...where,
      count: numbers.length,
      sum,
      mean: sum / numbers.length,
      min: Math.min(...numbers),
      max: Math.max(...numbers),
      first: numbers[0] ?? 0,
      last: numbers.at(-1) ?? 0,
    };
  });
}

/** Describes the suite. @param open makes the place once for all cases */
export function describeDataStore(name: string, open: () => Promise<StorePlace>): void {
  describe(`${name} as a data store`, () => {
    let place: StorePlace;
    let store: DataStore;
    beforeAll(async () => {
      place = await open();
      store = place.open();
      await store.start(AbortSignal.timeout(LONG_MS));
    });
    afterAll(async () => {
      await store?.stop();
      await place?.[Symbol.asyncDispose]();
    });

    const ascending = (device: string, more: Partial<RangeQuery> = {}): Promise<Reading[]> =>
      pages((cursor) =>
        store.range({ tenant: "", device, ...EVER, order: "ascending", limit: 1_000, ...more, cursor }),
      );

    it("gives back what was written, in order, page by page, both ways, whatever the values and the order of writing", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(rows, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
          fc.integer({ min: 1, max: 7 }),
          times,
          times,
          async (blocks, limit, one, other) => {
            const device = freshDevice();
            for (const block of blocks) await store.write(blockOf(device, block));
            const all = kept(blocks.flat());
            const query = { limit, fromUs: Math.min(one, other), toUs: Math.max(one, other) + 1 };
            const expected = all
              .filter((r) => r.timeUs >= query.fromUs && r.timeUs < query.toUs)
              .map(reading);
            expect(await ascending(device, query)).toEqual(expected);
            expect(await ascending(device, { ...query, order: "descending" })).toEqual(expected.reverse());
          },
        ),
        { numRuns: 40 },
      );
    });

    it("gives numbers back to the last bit, short ones too", async () => {
      const device = freshDevice();
      const numbers = [9057588891.179325, 0.1, -0.3, 123456.7, 1.005, 8.41e21, 5e-324, Number.MAX_VALUE];
      await store.write(
        blockOf(
          device,
          numbers.map((value, i) => number(i, value)),
        ),
      );
      expect((await ascending(device)).map(({ value }) => value)).toEqual(numbers);
    });

    it("sums up as arithmetic does, over the whole and over stretches, page by page", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(rows, { maxLength: 40 }),
          fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
          fc.integer({ min: 1, max: 5 }),
          async (written, everyUs, limit) => {
            const device = freshDevice();
            // Numbers whose sums are exact, so that the order of adding them does not count.
            const whole = written.map((row, i) =>
              row.value.kind === "number" && Number.isFinite(row.value.value)
                ? { ...row, value: { kind: "number" as const, value: i - 3 } }
                : row,
            );
            await store.write(blockOf(device, whole));
            const [fromUs, toUs] = [-10, YEAR_2100 + 1];
            const found = await pages((cursor) =>
              store.aggregate({ tenant: "", device, fromUs, toUs, everyUs, limit, cursor }),
            );
            expect(found).toEqual(
              sums(kept(whole), fromUs, toUs, everyUs).sort(
                (a, b) =>
                  byOrder(
                    { ...number(a.startUs, 0), timeUs: 0, path: a.path, point: a.point },
                    { ...number(0, 0), path: b.path, point: b.point },
                  ) || a.startUs - b.startUs,
              ),
            );
          },
        ),
        { numRuns: 40 },
      );
    });

    it("does not store twice what comes twice, and keeps what differs in its reference only", async () => {
      const device = freshDevice();
      const twice = [number(5, 1, { ref: 7 }), number(5, 2, { ref: 8 })];
      await store.write(blockOf(device, twice));
      await store.write(blockOf(device, twice));
      expect(await ascending(device)).toEqual(twice.map(reading));
    });

    it("keeps the last of what has no reference", async () => {
      const device = freshDevice();
      await store.write(blockOf(device, [number(5, 1), number(5, 2)]));
      await store.write(blockOf(device, [number(5, 3)]));
      expect(await ascending(device)).toEqual([reading(number(5, 3))]);
    });

    it("takes names of any length, and tells those apart that differ at their end only", async () => {
      const device = freshDevice();
      // No two characters alike for long, so that no store can make it short.
      const path = Array.from({ length: 8_000 }, (_, i) => ((i * 7919) % 99_991).toString(36))
        .join("/")
        .slice(0, 30_000);
      const all = [
        number(1, 1, { path }),
        number(2, 2, { path: `${path} ` }),
        number(3, 3, { path: `${path}X` }),
      ];
      await store.write(blockOf(device, [...all, number(4, 4, { path: `${path}x` })]));
      expect(await ascending(device)).toEqual([...all, number(4, 4, { path: `${path}x` })].map(reading));
      expect(await ascending(device, { path })).toEqual([reading(all[0]!)]);
    });

    it("keeps tenants, devices, paths and points apart", async () => {
      const device = freshDevice();
      await store.write(
        blockOf(device, [number(1, 1), number(1, 2, { point: "u" }), number(1, 3, { path: "c" })]),
      );
      await store.write(blockOf(device, [number(1, 4)], "north"));
      await store.write(blockOf(`${device}x`, [number(1, 5)]));
      const numbers = async (more: Partial<RangeQuery>) =>
        (await ascending(device, more)).map(({ value }) => value);
      expect(await numbers({})).toEqual([1, 2, 3]);
      expect(await numbers({ path: "a/b" })).toEqual([1, 2]);
      expect(await numbers({ point: "t" })).toEqual([1, 3]);
      expect(await numbers({ path: "a/b", point: "u" })).toEqual([2]);
      expect(await numbers({ tenant: "north" })).toEqual([4]);
      expect(await numbers({ path: "none" })).toEqual([]);
    });

    it("knows the newest of each point", async () => {
      const device = freshDevice();
      const newest = [number(9, 3), number(YEAR_2100, 4, { point: "u" })];
      await store.write(blockOf(device, [number(8, 1), ...newest, number(YEAR_1970, 2, { point: "u" })]));
      expect(await store.latest({ tenant: "", device, limit: 9 })).toEqual({ rows: newest.map(reading) });
      const paged = await pages((cursor) => store.latest({ tenant: "", device, limit: 1, cursor }));
      expect(paged).toEqual(newest.map(reading));
      await expect(store.latest({ tenant: "", device, limit: 0 })).rejects.toMatchObject({
        code: "history.bad_query",
      });
    });

    it("keeps deep JSON and long text", async () => {
      const device = freshDevice();
      const deep: Row = number(1, 0, {
        value: { kind: "json", value: `${"[".repeat(10_000)}${"]".repeat(10_000)}` },
      });
      const long: Row = number(2, 0, { value: { kind: "text", value: "ü".repeat(500_000) } });
      await store.write(blockOf(device, [deep, long]));
      expect(await ascending(device)).toEqual([reading(deep), reading(long)]);
    });

    it("ends a page early when its values are large", async () => {
      const device = freshDevice();
      const large = Array.from({ length: 8 }, (_, i) =>
        number(i, 0, { value: { kind: "text", value: String(i).repeat(1024 * 1024) } }),
      );
      await store.write(blockOf(device, large));
      const query = { tenant: "", device, ...EVER, order: "ascending" as const, limit: 8 };
      const { rows: first, cursor } = await store.range(query);
      expect(first.length).toBeLessThan(8);
      expect(cursor).toBeDefined();
      expect((await store.range({ ...query, maxBytes: 2.5 * 1024 * 1024 })).rows).toHaveLength(2);
      expect((await store.range({ ...query, maxBytes: 10 })).rows).toHaveLength(1);
      expect(await ascending(device, { maxBytes: 10 })).toEqual(large.map(reading));
    });

    it("still has everything after it was closed and opened", async () => {
      const device = freshDevice();
      await store.write(blockOf(device, [number(1, 1)]));
      await store.stop();
      await store.stop();
      store = place.open();
      await store.start(AbortSignal.timeout(LONG_MS));
      expect(await ascending(device)).toEqual([reading(number(1, 1))]);
    });

    it("takes writes of two stores on the same readings at the same time", async () => {
      const other = place.open();
      await other.start(AbortSignal.timeout(LONG_MS));
      const device = freshDevice();
      const all = Array.from({ length: 40 }, (_, i) => number(i, i, { point: `p${i % 4}`, ref: i + 1 }));
      await Promise.all(all.map((row, i) => (i % 2 === 0 ? store : other).write(blockOf(device, [row]))));
      expect(await ascending(device)).toEqual(all.map(reading));
      await other.stop();
    });

    it("removes what is older, and nothing else", async () => {
      const device = freshDevice();
      const other = freshDevice();
      const all = Array.from({ length: 500 }, (_, i) => number(-1_000_000 + i, i, { point: `p${i % 3}` }));
      await store.write(blockOf(device, [...all, number(YEAR_2100, 1)]));
      await store.write(blockOf(other, [number(-2_000_000, 1)]));
      await store.removeBefore(-1_000_000 + 400, AbortSignal.timeout(LONG_MS));
      expect(await ascending(device)).toEqual([...all.slice(400), number(YEAR_2100, 1)].map(reading));
      expect(await ascending(other)).toEqual([]);
      await store.write(blockOf(other, [number(7, 1)]));
      expect(await ascending(other)).toEqual([reading(number(7, 1))]);
    });

    it("refuses queries that make no sense", async () => {
      const base = { tenant: "", device: "d", ...EVER, order: "ascending" as const, limit: 10 };
      const wrong = [
        { ...base, fromUs: 5, toUs: 4 },
        { ...base, limit: 0 },
        { ...base, limit: 1_000_000 },
        { ...base, fromUs: Number.NaN },
        { ...base, cursor: "nonsense" },
        { ...base, cursor: Buffer.from("[1]").toString("base64url") },
      ];
      for (const query of wrong) {
        await expect(store.range(query)).rejects.toMatchObject({ code: "history.bad_query" });
        await expect(store.aggregate(query)).rejects.toMatchObject({ code: "history.bad_query" });
      }
      await expect(store.aggregate({ ...base, everyUs: 0 })).rejects.toMatchObject({
        code: "history.bad_query",
      });
    });

    it("refuses a query of too many points", async () => {
      const device = freshDevice();
      await store.write(
        blockOf(
          device,
          Array.from({ length: 1_001 }, (_, i) => number(1, i, { point: `p${i}` })),
        ),
      );
      const error = await store
        .latest({ tenant: "", device, limit: 10_000 })
        .catch((thrown: unknown) => AppError.from(thrown));
      expect(error).toMatchObject({ code: "history.too_many_series", retryable: false });
      const { rows: one } = await store.latest({ tenant: "", device, point: "p7", limit: 10 });
      expect(one).toEqual([reading(number(1, 7, { point: "p7" }))]);
    });
  });
}
