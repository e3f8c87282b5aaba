import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openKeyValue } from "@myelin/bus";
import { BUCKETS, partitionOf, registry, subjects } from "@myelin/contract";
import { expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { openRegistry, owning } from "./support/steps.js";

const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
const partition = (id: string): number => partitionOf("", id, PARTITIONS);
const record = (fields: Partial<registry.Device>): Uint8Array =>
  registry.Device.encode(registry.Device.fromPartial(fields)).finish();

/** A box whose dispatcher has kept forty devices, and has stopped. */
async function stopped(): Promise<TestBox> {
  const box = await TestBox.open();
  const first = await box.dispatcher("core");
  await owning(first, PARTITIONS);
  const client = await openRegistry(await box.connect("asker"));
  await client.writeAll(ids.map((id) => ({ device: { tenant: "", id, groups: ["g"] } })));
  await box.stop(first);
  return box;
}

async function again(box: TestBox) {
  await owning(await box.dispatcher("core"), PARTITIONS);
  return await openRegistry(await box.connect("asker-again"));
}

const file = (box: TestBox, id: string): string => join(box.dir.path, "registry-core", `${partition(id)}.db`);

it("reads only what is newer when it starts again", async () => {
  await using box = await stopped();
  const bucket = await openKeyValue(await box.connect("other"), BUCKETS.devices);
  await bucket.put(subjects.deviceKey(partition("d1"), "", "d1"), record({ id: "d1", description: "newer" }));
  // Nobody else writes to the file: what stands there and nowhere else shows that it is not read from the store.
  const table = new DatabaseSync(file(box, "d0"));
  table
    .prepare("UPDATE devices SET record = ? WHERE id = 'd0'")
    .run(record({ id: "d0", description: "kept" }));
  table.close();
  const client = await again(box);
  expect((await client.get("", "d0")).description).toBe("kept");
  expect((await client.get("", "d1")).description).toBe("newer");
  const { devices } = await client.list({ tenant: "", limit: 100, groups: ["g"] });
  expect(devices.map(({ id }) => id).sort()).toEqual(ids.filter((id) => id !== "d1").sort());
});

it("makes a table that is damaged anew", async () => {
  await using box = await stopped();
  await writeFile(file(box, "d0"), "this is no table".repeat(1_000));
  const client = await again(box);
  expect((await client.list({ tenant: "", limit: 100 })).devices).toHaveLength(ids.length);
  expect((await client.get("", "d0")).groups).toEqual(["g"]);
});

it("believes the store, not its table, when the store was made anew", async () => {
  await using box = await stopped();
  const other = await box.connect("other");
  await other.request(`$JS.API.STREAM.DELETE.KV_${BUCKETS.devices.name}`, new Uint8Array(0), 5_000);
  const bucket = await openKeyValue(other, BUCKETS.devices);
  await bucket.put(subjects.deviceKey(partition("d0"), "", "d0"), record({ id: "d0", description: "new" }));
  const client = await again(box);
  const { devices } = await client.list({ tenant: "", limit: 100 });
  expect(devices.map(({ id, description }) => [id, description])).toEqual([["d0", "new"]]);
});

it("lists many terms right while they change, gathered or not", async () => {
  await using box = await stopped();
  const client = await again(box);
  const listed = async (group: string): Promise<string[]> =>
    (await client.list({ tenant: "", limit: 100, groups: [group] })).devices.map(({ id }) => id).sort();
  for (const groups of [["h"], ["g", "h"], [], ["g"]]) {
    await client.writeAll(ids.slice(0, 10).map((id) => ({ device: { tenant: "", id, groups: ["x"] } })));
    await client.writeAll(ids.slice(0, 10).map((id) => ({ device: { tenant: "", id, groups } })));
    expect(await listed("x")).toEqual([]);
    expect(await listed("h")).toEqual(groups.includes("h") ? ids.slice(0, 10) : []);
    expect(await listed("g")).toEqual((groups.includes("g") ? ids : ids.slice(10)).toSorted());
  }
});
