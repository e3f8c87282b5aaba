/** What every store of device records must do, on the real server. */
import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeviceStore, StoredRecord, StoreEntry } from "../src/registry/store.js";

/** A store's server; each case uses a partition of its own, so one place serves all of them. */
export interface DeviceStorePlace extends AsyncDisposable {
  /** Another store on the same records. */
  open(): Promise<DeviceStore>;
  /** Ends the server as a crash would. */
  kill(): Promise<unknown>;
  /** Starts it again; resolves when `open` stores work again. */
  restart(): Promise<unknown>;
}

const DEADLINE_MS = 60_000;
const ever = new AbortController().signal;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const entry = (id: string, text: string, expected: number, tenant = ""): StoreEntry => ({
  ...{ tenant, id, record: bytes(text), expected },
});

async function all(store: DeviceStore, partition: number): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { record, version } of store.read(partition, ever, 0))
    found.set(Buffer.from(record).toString(), version);
  return found;
}

const shown = (found: StoredRecord | undefined): [string, number] | undefined =>
  found && [Buffer.from(found.record).toString(), found.version];

const codes = (results: readonly (number | AppError)[]): (string | number)[] =>
  results.map((result) => (typeof result === "number" ? Math.sign(result) : result.code));

async function put(store: DeviceStore, partition: number, one: StoreEntry): Promise<number> {
  const [result] = await store.putAll(partition, [one]);
  if (typeof result === "number") return result;
  throw result ?? new AppError("internal.unexpected", "no result");
}

/** Runs the contract. */
export function describeDeviceStore(name: string, start: () => Promise<DeviceStorePlace>): void {
  describe(`${name} as a device store`, () => {
    let place: DeviceStorePlace;
    let store: DeviceStore;
    let partition = 0;

    beforeAll(async () => {
      place = await start();
      store = await place.open();
    }, DEADLINE_MS);
    afterAll(async () => {
      await store?.close();
      await place?.[Symbol.asyncDispose]();
    }, DEADLINE_MS);

    it("finds what was written, byte for byte, and nothing else", async () => {
      const at = ++partition;
      expect(await store.get(at, "", "a")).toBeUndefined();
      expect(await all(store, at)).toEqual(new Map());
      const record = Uint8Array.from({ length: 512 }, (_, i) => i % 256);
      const [version] = await store.putAll(at, [{ tenant: "plant", id: "boiler/7 😀", record, expected: 0 }]);
      expect(version).toBeGreaterThan(0);
      const found = await store.get(at, "plant", "boiler/7 😀");
      expect(Buffer.from(found!.record).equals(record)).toBe(true);
      expect(found?.version).toBe(version);
      expect(await store.get(at, "", "boiler/7 😀")).toBeUndefined();
      expect(await store.get(at + 1_00, "plant", "boiler/7 😀")).toBeUndefined();
    });

    it("writes only over the version that is expected, each with a larger one", async () => {
      const at = ++partition;
      const first = await put(store, at, entry("a", "1", 0));
      expect(codes(await store.putAll(at, [entry("a", "x", 0)]))).toEqual(["store.conflict"]);
      expect(codes(await store.putAll(at, [entry("a", "x", first + 1)]))).toEqual(["store.conflict"]);
      expect(codes(await store.putAll(at, [entry("b", "x", first)]))).toEqual(["store.conflict"]);
      const second = await put(store, at, entry("a", "2", first));
      expect(second).toBeGreaterThan(first);
      expect(codes(await store.putAll(at, [entry("a", "x", first)]))).toEqual(["store.conflict"]);
      expect(shown(await store.get(at, "", "a"))).toEqual(["2", second]);
    });

    it("writes the others of a batch when one is overtaken", async () => {
      const at = ++partition;
      const before = await put(store, at, entry("d7", "theirs", 0));
      const ids = Array.from({ length: 800 }, (_, i) => `d${i}`);
      const results = await store.putAll(
        at,
        ids.map((id) => entry(id, `${id} `, 0)),
      );
      expect(codes(results)).toEqual(ids.map((id) => (id === "d7" ? "store.conflict" : 1)));
      const versions = results.filter((result) => typeof result === "number");
      expect(new Set([before, ...versions]).size).toBe(800);
      const found = await all(store, at);
      expect(found).toEqual(
        new Map(ids.map((id, i) => (id === "d7" ? ["theirs", before] : [`${id} `, results[i] as number]))),
      );
    });

    it("lets one of two writers win", async () => {
      const at = ++partition;
      const other = await place.open();
      const both = await Promise.all(
        [store, other].map((one, i) => one.putAll(at, [entry("a", String(i), 0)])),
      );
      expect(codes(both.flat()).sort()).toEqual([1, "store.conflict"]);
      await other.close();
    });

    it("erases only the version that is named, and gives none of its versions again", async () => {
      const at = ++partition;
      const first = await put(store, at, entry("a", "1", 0));
      const second = await put(store, at, entry("a", "2", first));
      await store.erase(at, "", "a", first);
      expect(shown(await store.get(at, "", "a"))).toEqual(["2", second]);
      await store.erase(at, "", "a", second);
      expect(await store.get(at, "", "a")).toBeUndefined();
      expect(await all(store, at)).toEqual(new Map());
      await store.erase(at, "", "a", second);
      expect(await put(store, at, entry("a", "3", 0))).toBeGreaterThan(second);
    });

    it("stops reading when it is told to", async () => {
      const at = ++partition;
      const entries = Array.from({ length: 800 }, (_, i) => entry(`d${i}`, "x".repeat(100), 0));
      for (let round = 0; round < 8; round++)
        await store.putAll(
          at,
          entries.map((one) => ({ ...one, tenant: String(round) })),
        );
      const ending = new AbortController();
      let count = 0;
      for await (const _ of store.read(at, ending.signal, 0)) {
        count += 1;
        ending.abort();
      }
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThan(6_400);
    });

    it("tells of no device what is older after what is newer while they are written", async () => {
      const at = ++partition;
      const ids = Array.from({ length: 800 }, (_, i) => `d${i}`);
      let versions = await store.putAll(
        at,
        ids.map((id) => entry(id, id, 0)),
      );
      const seen = new Map<string, number>();
      let isChanged = false;
      for await (const { record, version } of store.read(at, ever, 0)) {
        const id = Buffer.from(record).toString();
        expect(version).toBeGreaterThan(seen.get(id) ?? 0);
        seen.set(id, version);
        if (isChanged) continue;
        isChanged = true;
        versions = await store.putAll(
          at,
          ids.map((each, i) => entry(each, each, versions[i] as number)),
        );
      }
      expect([...seen.keys()].sort()).toEqual(ids.toSorted());
    });

    it("agrees with a plain map after any writes", async () => {
      const step = fc.record({
        id: fc.constantFrom("a", "b", "c\u{10ffff}"),
        tenant: fc.constantFrom("", "t"),
        kind: fc.constantFrom("put", "stale", "erase"),
        text: fc.string({ minLength: 1 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
          const at = ++partition;
          const model = new Map<string, [string, number]>();
          let last = 0;
          for (const { id, tenant, kind, text } of steps) {
            const key = `${tenant} ${id}`;
            const [, version = 0] = model.get(key) ?? [];
            if (kind === "erase") {
              await store.erase(at, tenant, id, version === 0 ? last : version);
              model.delete(key);
            } else if (kind === "stale") {
              const results = await store.putAll(at, [entry(id, text, version + 1, tenant)]);
              expect(codes(results)).toEqual(["store.conflict"]);
            } else {
              const next = await put(store, at, entry(id, text, version, tenant));
              expect(next).toBeGreaterThan(last);
              last = next;
              model.set(key, [text, next]);
            }
            expect(shown(await store.get(at, tenant, id))).toEqual(model.get(key));
          }
          const found: [string, number][] = [];
          for await (const one of store.read(at, ever, 0)) found.push(shown(one)!);
          expect(found.sort(([, a], [, b]) => a - b)).toEqual(
            [...model.values()].sort(([, a], [, b]) => a - b),
          );
        }),
        { numRuns: 25 },
      );
    });

    it("says that it is away while its server is, and goes on when that is back", {
      timeout: 90_000,
    }, async () => {
      const at = ++partition;
      const first = await put(store, at, entry("a", "1", 0));
      await place.kill();
      const results = await store.putAll(at, [entry("a", "2", first), entry("b", "2", 0)]);
      for (const result of results) expect(result).toMatchObject({ retryable: true });
      await expect(store.get(at, "", "a")).rejects.toMatchObject({ retryable: true });
      await expect(all(store, at)).rejects.toMatchObject({ retryable: true });
      await expect(store.erase(at, "", "a", first)).rejects.toMatchObject({ retryable: true });
      await place.restart();
      expect(shown(await store.get(at, "", "a"))).toEqual(["1", first]);
      expect(await put(store, at, entry("a", "3", first))).toBeGreaterThan(first);
    });
  });
}
