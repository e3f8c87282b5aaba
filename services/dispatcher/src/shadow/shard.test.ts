import { shadow as wire } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import type { ShadowKey } from "./api.js";
import type { StoredShadow } from "./records.js";
import { ShadowShard } from "./shard.js";
import type { ShadowRecord, ShadowStore } from "./store.js";

const KEY: ShadowKey = { tenant: "", device: "d", name: "" };
const T = 1_700_000_000_000_000;

/** A store that keeps bytes, counts, and fails as it is told. */
class MemoryStore implements ShadowStore {
  readonly records = new Map<string, { bytes: Uint8Array; revision: number }>();
  writes = 0;
  revision = 0;
  /** Called before (`0`) and behind (`1`) what is done by each write. */
  fault: (stage: 0 | 1, key: string) => void = () => undefined;

  async *read(): AsyncIterable<ShadowRecord> {
    for (const { bytes, revision } of this.records.values())
      yield { record: wire.Record.decode(bytes), revision };
  }

  async ofDevice(): Promise<readonly ShadowRecord[]> {
    return await this.all();
  }

  async all(): Promise<ShadowRecord[]> {
    const found: ShadowRecord[] = [];
    for await (const one of this.read()) found.push(one);
    return found;
  }

  async get(_partition: number, { device, name }: ShadowKey): Promise<ShadowRecord | undefined> {
    const found = this.records.get(`${device}/${name}`);
    return found && { record: wire.Record.decode(found.bytes), revision: found.revision };
  }

  async put(_partition: number, key: ShadowKey, record: wire.Record, expected: number): Promise<number> {
    const id = `${key.device}/${key.name}`;
    this.fault(0, id);
    if ((this.records.get(id)?.revision ?? 0) !== expected)
      throw new AppError("store.conflict", "another one");
    this.writes += 1;
    const revision = ++this.revision;
    this.records.set(id, { bytes: wire.Record.encode(record).finish(), revision });
    this.fault(1, id);
    return revision;
  }

  async remove(): Promise<void> {}
}

function setUp(store = new MemoryStore(), { epoch = 5, memoryBytes = 1e6 } = {}) {
  const clock = new FakeClock();
  const stored: number[] = [];
  const counters = { readings: 0, dropped: 0, loads: 0, writes: 0, evictions: 0 };
  const budget = { bytes: memoryBytes, used: 0 };
  const shard = new ShadowShard({
    partition: 1,
    epoch,
    store,
    clock,
    log: silentLogger,
    budget,
    counters,
    gatherMs: 5_000,
    measured: (_key, { document }, gathered) => {
      document.measure(gathered);
      return () => undefined;
    },
    settle: () => undefined,
    stored: (_key, { document }) => stored.push(document.version),
  });
  shard.start();
  const change = (desired: Record<string, number>, version?: number, key = KEY): Promise<number> =>
    new Promise((resolve, reject) =>
      shard.submit(key, {
        run: ({ document }) => {
          document.update({ desired, version }, T);
          const made = document.version;
          return () => resolve(made);
        },
        refused: reject,
      }),
    );
  const read = (key = KEY): Promise<StoredShadow> =>
    new Promise((resolve, reject) =>
      shard.submit(key, { run: (shadow) => () => resolve(shadow), refused: reject }),
    );
  const sample = (point: string, value: number, at = 0, quality: "good" | "uncertain" = "good") =>
    ({ point, value, quality, timeUs: T + at }) as const;
  const state = async () => (await read()).document.state;
  return { clock, shard, store, stored, change, read, sample, state, counters, budget };
}

async function settled<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  work.then(end, end);
  for (let i = 0; i < 10_000 && !isOver; i++) await clock.advance(50);
  return work;
}

describe("the shadows of a partition", () => {
  it("tell nobody of a change before it is stored, and store those that come together at once", async () => {
    const { clock, store, change } = setUp();
    expect(await settled(clock, Promise.all([change({ a: 1 }), change({ b: 2 })]))).toEqual([1, 2]);
    expect(store.writes).toBe(1);
  });

  it("let one of two writers of the same version win and refuse the other", async () => {
    const { clock, change, state } = setUp();
    await settled(clock, change({ a: 1 }, 0));
    const both = await settled(clock, Promise.allSettled([change({ a: 2 }, 1), change({ a: 3 }, 1)]));
    expect(both).toEqual([
      { status: "fulfilled", value: 2 },
      { status: "rejected", reason: expect.objectContaining({ code: "shadow.version_conflict" }) },
    ]);
    expect(await settled(clock, state())).toEqual({ desired: { a: 2 } });
  });

  it("gather what is measured, store it once and take no older value and no bad one", async () => {
    const { clock, shard, store, sample, counters } = setUp();
    for (let i = 1; i <= 100; i++)
      shard.measure("", "d", [sample("t", i, i), sample("h", 40, i)], undefined, false);
    shard.measure("", "d", [sample("t", 7, 50), sample("x", 1, 0, "uncertain")], undefined, false);
    await clock.advance(4_000);
    expect(store.writes).toBe(0);
    await clock.advance(2_000);
    expect(store.writes).toBe(1);
    const [{ record }] = (await store.all()) as [ShadowRecord];
    expect(record.reported.map(({ path, value, timeUs }) => [path, value, timeUs])).toEqual([
      ["t", "100", T + 100],
      ["h", "40", T + 100],
    ]);
    expect([record.version, counters.readings]).toEqual([1, 202]);
    shard.measure("", "d", [sample("t", 100, 200)], undefined, false);
    await clock.advance(20_000);
    expect(store.writes).toBe(1);
  });

  it("hold what an event has measured back until it is stored", async () => {
    const { clock, shard, store, sample } = setUp();
    store.fault = (stage) => {
      if (stage === 0 && clock.nowMs() < 3_000) throw new AppError("bus.timeout", "away");
    };
    let isStored = false;
    const event = shard.measureStored("", "d", [sample("t", 1)], undefined).then(() => {
      isStored = true;
    });
    await clock.advance(2_000);
    expect(isStored).toBe(false);
    // The same again: it is in the document, and still not stored.
    const again = shard.measureStored("", "d", [sample("t", 1)], undefined);
    await settled(clock, Promise.all([event, again]));
    expect((await store.all())[0]?.record.reported[0]?.value).toBe("1");
  });

  it("make a change once although the answer of the store was lost", async () => {
    const { clock, store, change, state } = setUp();
    await settled(clock, change({ a: 1 }));
    let failures = 1;
    store.fault = (stage) => {
      if (stage === 1 && failures-- > 0) throw new AppError("bus.timeout", "no answer");
    };
    expect(await settled(clock, change({ a: 2 }, 1))).toBe(2);
    expect([await settled(clock, state()), store.writes]).toEqual([{ desired: { a: 2 } }, 2]);
  });

  it("keep what an owner before wrote at the last moment, and refuse what was meant for the version before", async () => {
    const before = setUp(new MemoryStore(), { epoch: 4 });
    await settled(before.clock, before.change({ a: 1 }));
    const { clock, change, state, read } = setUp(before.store, { epoch: 5 });
    await settled(clock, read());
    await settled(before.clock, before.change({ late: 1 }, 1));
    const outcomes = await settled(clock, Promise.allSettled([change({ b: 1 }, 1), change({ c: 1 })]));
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    expect(await settled(clock, state())).toEqual({ desired: { a: 1, late: 1, c: 1 } });
  });

  it("write nothing any more when a newer owner has written", async () => {
    const old = setUp(new MemoryStore(), { epoch: 4 });
    await settled(old.clock, old.change({ a: 1 }));
    const { clock, change } = setUp(old.store, { epoch: 5 });
    await settled(clock, change({ a: 2 }));
    await expect(settled(old.clock, old.change({ a: 3 }))).rejects.toMatchObject({
      code: "request.no_responder",
    });
    expect((await old.store.all())[0]?.record.desired[0]?.value).toBe("2");
  });

  it("let go of shadows that are not used when memory is short, and read them again", async () => {
    const { clock, change, read, counters, budget, shard } = setUp(new MemoryStore(), {
      memoryBytes: 50_000,
    });
    for (let i = 0; i < 200; i++)
      await settled(clock, change({ n: i }, 0, { tenant: "", device: `d${i}`, name: "" }));
    await clock.advance(1_000);
    expect(budget.used).toBeLessThanOrEqual(50_000);
    expect(shard.size).toBeLessThan(60);
    const loads = counters.loads;
    const found = await settled(clock, read({ tenant: "", device: "d0", name: "" }));
    expect(found.document.state).toEqual({ desired: { n: 0 } });
    expect(counters.loads).toBe(loads + 1);
  });

  it("store what was gathered when the partition is given up in peace, and tell who waits when it is not", async () => {
    const { clock, shard, store, sample, change } = setUp();
    shard.measure("", "d", [sample("t", 3)], undefined, false);
    await settled(clock, shard.close(1_000));
    expect((await store.all())[0]?.record.reported[0]?.value).toBe("3");
    const other = setUp(store);
    store.fault = () => {
      throw new AppError("bus.timeout", "away");
    };
    const waiting = other.change({ a: 1 });
    await other.clock.advance(100);
    await Promise.all([
      expect(waiting).rejects.toMatchObject({ retryable: true }),
      settled(other.clock, other.shard.close(0)),
    ]);
    void change;
  });

  it("take no more requests for one shadow than can wait", async () => {
    const { clock, store, change } = setUp();
    store.fault = (stage) => {
      if (stage === 0 && clock.nowMs() < 1_000) throw new AppError("bus.timeout", "away");
    };
    const first = change({ a: 0 });
    await clock.advance(10);
    const many = Array.from({ length: 40 }, (_, i) => change({ a: i }));
    const outcomes = await settled(clock, Promise.allSettled([first, ...many]));
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toHaveLength(8);
    expect(refused[0]).toMatchObject({ reason: { code: "limit.rate" } });
  });
});
