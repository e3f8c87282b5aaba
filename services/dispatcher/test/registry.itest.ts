import { type DeviceChange, openKeyValue } from "@myelin/bus";
import { BUCKETS, partitionOf, registry, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { openRegistry, owning } from "./support/steps.js";

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (thrown: unknown) => AppError.from(thrown).code,
  );

describe("the registry of devices", () => {
  it("creates, reads, changes and removes, each version once", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    const device = {
      tenant: "",
      id: "boiler 7",
      profile: "boiler",
      tags: { site: "north" },
      groups: ["hall"],
    };
    const made = await client.write({ device, expected: 0 });
    expect(made).toMatchObject(device);
    expect(await codeOf(client.write({ device, expected: 0 }))).toBe("device.exists");
    expect(await client.get("", "boiler 7")).toEqual(made);
    expect(await codeOf(client.get("other", "boiler 7"))).toBe("device.unknown");

    const patched = await client.patch("", "boiler 7", {
      tags: { site: null, floor: "2" },
      description: "x",
    });
    expect(patched).toMatchObject({
      tags: { floor: "2" },
      description: "x",
      profile: "boiler",
      createdAtMs: made?.createdAtMs,
    });
    expect(patched.version).toBeGreaterThan(made?.version ?? 0);
    expect(await codeOf(client.patch("", "boiler 7", {}, made?.version))).toBe("device.version_conflict");
    expect(await codeOf(client.write({ device, expected: made?.version }))).toBe("device.version_conflict");
    expect(await codeOf(client.patch("", "boiler 7", { tags: { floor: 2 } }))).toBe("device.invalid");
    expect(await codeOf(client.write({ device: { tenant: "", id: "a/b" } }))).toBe("device.invalid");

    expect(await codeOf(client.write({ device, remove: true, expected: made?.version }))).toBe(
      "device.version_conflict",
    );
    await client.write({ device, remove: true, expected: patched.version });
    expect(await codeOf(client.get("", "boiler 7"))).toBe("device.unknown");
    expect(await codeOf(client.write({ device, remove: true }))).toBe("device.unknown");
    expect(await client.write({ device, expected: 0 })).toMatchObject(device);
  });

  it("loses no change of many that patch one device at once", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    await client.write({ device: { tenant: "", id: "d" } });
    const names = ["a", "b", "c", "d", "e", "f"];
    await Promise.all(names.map((name) => client.patch("", "d", { tags: { [name]: "1" } })));
    expect(Object.keys((await client.get("", "d")).tags).sort()).toEqual(names);
  });

  it("lists by any conditions, in the order of the ids, page by page", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    const ids = Array.from({ length: 60 }, (_, i) => `${i % 2 === 0 ? "pump" : "ä😀"}-${i}`);
    const changes: DeviceChange[] = ids.map((id, i) => ({
      device: {
        tenant: "",
        id,
        profile: i % 3 === 0 ? "p" : "",
        tags: { floor: String(i % 4) },
        groups: i < 30 ? ["old"] : [],
      },
    }));
    changes.push({ device: { tenant: "other", id: "pump-0" } });
    expect((await client.writeAll(changes)).filter(({ error }) => error !== undefined)).toEqual([]);

    const all = async (more: object = {}): Promise<string[]> => {
      const found: string[] = [];
      for (let after = ""; ; ) {
        const page = await client.list({ tenant: "", limit: 7, after, ...more });
        found.push(...page.devices.map(({ id }) => id));
        if (!page.more) return found;
        after = found.at(-1)!;
      }
    };
    const sorted = (keep: (i: number) => boolean): string[] =>
      ids.filter((_, i) => keep(i)).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(await all()).toEqual(sorted(() => true));
    expect(await all({ profile: "p" })).toEqual(sorted((i) => i % 3 === 0));
    expect(await all({ tags: { floor: "1" }, groups: ["old"] })).toEqual(
      sorted((i) => i % 4 === 1 && i < 30),
    );
    expect(await all({ idPrefix: "pump-1", profile: "p" })).toEqual(
      sorted((i) => i % 3 === 0 && ids[i]!.startsWith("pump-1")),
    );
    expect(await all({ tags: { floor: "9" } })).toEqual([]);
    await client.patch("", "pump-0", { tags: { floor: null }, groups: ["new"], profile: null });
    expect(await all({ groups: ["new"] })).toEqual(["pump-0"]);
    expect(await all({ profile: "p" })).toEqual(sorted((i) => i % 3 === 0 && i > 0));
  });

  it("is the same to the next owner, whatever was done before", async () => {
    await using box = await TestBox.open();
    const first = await box.dispatcher("core-0");
    await owning(first, PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
    await client.writeAll(ids.map((id) => ({ device: { tenant: "", id, groups: ["g"] } })));
    await client.writeAll(ids.slice(0, 10).map((id) => ({ device: { tenant: "", id }, remove: true })));
    await client.writeAll(ids.slice(10, 20).map((id) => ({ device: { tenant: "", id, groups: ["h"] } })));
    const before = await client.list({ tenant: "", limit: 100 });
    await box.stop(first);
    await owning(await box.dispatcher("core-1"), PARTITIONS);
    const next = await openRegistry(await box.connect("asker-2"));
    expect(await next.list({ tenant: "", limit: 100 })).toEqual(before);
    expect(
      (await next.list({ tenant: "", limit: 100, groups: ["g"] })).devices.map(({ id }) => id).sort(),
    ).toEqual(ids.slice(20).sort());
    expect(await next.write({ device: { tenant: "", id: "d0" }, expected: 0 })).toMatchObject({ id: "d0" });
  });

  it("takes what another has written meanwhile, instead of overwriting it", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const bus = await box.connect("asker");
    const client = await openRegistry(bus);
    const made = await client.write({ device: { tenant: "", id: "d", description: "mine" } });
    const bucket = await openKeyValue(bus, BUCKETS.devices);
    const theirs = registry.Device.encode(
      registry.Device.fromPartial({ id: "d", description: "theirs" }),
    ).finish();
    await bucket.put(subjects.deviceKey(partitionOf("", "d", PARTITIONS), "", "d"), theirs, made?.version);
    expect(await codeOf(client.write({ device: { tenant: "", id: "d", description: "again" } }))).toBe(
      "store.conflict",
    );
    expect((await client.get("", "d")).description).toBe("theirs");
    expect(await client.write({ device: { tenant: "", id: "d", description: "again" } })).toMatchObject({
      description: "again",
    });
  });

  it("makes the others of many changes when one is overtaken in the store", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const bus = await box.connect("asker");
    const client = await openRegistry(bus);
    const bucket = await openKeyValue(bus, BUCKETS.devices);
    const theirs = registry.Device.encode(registry.Device.fromPartial({ id: "d7" })).finish();
    await bucket.put(subjects.deviceKey(partitionOf("", "d7", PARTITIONS), "", "d7"), theirs, 0);
    const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
    const outcomes = await client.writeAll(ids.map((id) => ({ device: { tenant: "", id } })));
    expect(outcomes.map(({ error, created }) => error?.code ?? created)).toEqual(
      ids.map((id) => (id === "d7" ? "store.conflict" : true)),
    );
    expect((await client.list({ tenant: "", limit: 100 })).devices).toHaveLength(40);
  });

  it("agrees with a plain map after any changes", async () => {
    await using box = await TestBox.open();
    await owning(await box.dispatcher("core"), PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    const change = fc.record({
      id: fc.constantFrom("a", "b", "c", "d😀"),
      remove: fc.boolean(),
      group: fc.constantFrom("x", "y"),
      create: fc.boolean(),
    });
    const model = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
        const outcomes = await client.writeAll(
          changes.map(({ id, remove, group, create }) => ({
            device: { tenant: "t", id, groups: [group] },
            remove,
            expected: create && !remove ? 0 : undefined,
          })),
        );
        for (const [i, { id, remove, group, create }] of changes.entries()) {
          const code = outcomes[i]?.error?.code;
          if (remove) expect(code).toBe(model.delete(id) ? undefined : "device.unknown");
          else if (create && model.has(id)) expect(code).toBe("device.exists");
          else {
            expect(code).toBeUndefined();
            model.set(id, group);
          }
        }
        for (const group of ["x", "y"]) {
          const { devices } = await client.list({ tenant: "t", limit: 10, groups: [group] });
          expect(devices.map(({ id }) => id).sort()).toEqual(
            [...model]
              .filter(([, own]) => own === group)
              .map(([id]) => id)
              .sort(),
          );
        }
      }),
      { numRuns: 30 },
    );
  });
});
