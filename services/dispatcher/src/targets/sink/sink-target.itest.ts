import { mkdir } from "node:fs/promises";
import { DeviceRegistryClient } from "@myelin/bus";
import type { Resource } from "@myelin/config";
import type { Reading } from "@myelin/data-store";
import {
  requires,
  startInfluxdb,
  startMariadb,
  startPostgresql,
  type TestServer,
  waitFor,
} from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "../../../test/support/box.js";
import { ledgerOf, owning, route, snapshot, unaccounted } from "../../../test/support/steps.js";
import type { DispatcherService } from "../../index.js";

const LONG = { deadlineMs: 30_000 };

/** A Sink resource with the defaults filled in. */
function sink(name: string, spec: object = {}): Resource<"Sink"> {
  const complete = {
    store: { sqlite: { path: `${name}.db`, maxBytes: 64 * 1024 * 1024 } },
    mapping: { depth: 4 },
    batch: { readings: 20_000, wait: 0 },
    ...spec,
  };
  return { apiVersion: "myelin.dev/v1alpha1", kind: "Sink", metadata: { name }, spec: complete } as never;
}

const BOILER = {
  apiVersion: "myelin.dev/v1alpha1",
  kind: "DeviceProfile",
  metadata: { name: "boiler" },
  spec: {
    payloads: [{ format: "json" }],
    points: { temperature: { type: "number", from: { field: "t" } } },
    commands: {},
  },
};

const state = (...resources: object[]) => snapshot(...(resources as Resource<"Route">[]));
const toHistory = route("r", { targets: [{ sink: "history" }] });

async function stored(dispatcher: DispatcherService, device: string, name = "history"): Promise<Reading[]> {
  const { store } = dispatcher.sinks.get(name)!;
  const { rows } = await store.range({
    tenant: "",
    device,
    fromUs: 0,
    toUs: 9e15,
    order: "ascending",
    limit: 10_000,
  });
  return [...rows];
}

const valuesOf = (rows: readonly Reading[]) => rows.map(({ value }) => value);

const DATABASES = [
  {
    kind: "postgresql",
    program: "pg_createcluster",
    start: () => startPostgresql(),
    where: ({ host, port }: TestServer) => ({ host, port, database: "postgres", user: "myelin" }),
  },
  {
    kind: "mysql",
    program: "mariadbd",
    start: () => startMariadb(),
    where: ({ host, port }: TestServer) => ({ host, port, database: "myelin", user: "myelin" }),
  },
  {
    kind: "influxdb",
    program: "influxd",
    start: () => startInfluxdb(),
    where: ({ url }: TestServer) => ({ url, database: "myelin" }),
  },
] as const;

describe("a sink", () => {
  it("keeps events and telemetry as readings, and the books are even", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await dispatcher.applyResources(state(sink("history"), toHistory));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    for (let i = 0; i < 20; i++)
      await producer.event("d", "boiler", JSON.stringify({ t: i, room: { on: i > 9 } }));
    for (let i = 0; i < 20; i++) producer.send("e", "boiler/t", String(i));
    await waitFor(async () => (await stored(dispatcher, "e")).length === 20, { what: "telemetry", ...LONG });
    const rows = await stored(dispatcher, "d");
    expect(valuesOf(rows.filter(({ point }) => point === "t"))).toEqual([...Array(20).keys()]);
    expect(valuesOf(rows.filter(({ point }) => point === "room.on"))).toHaveLength(20);
    expect(valuesOf(await stored(dispatcher, "e"))).toEqual([...Array(20).keys()]);
    expect(dispatcher.sinks.get("history")?.counts.readings).toBe(60);
    const books = await ledgerOf(box);
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
  });

  it("keeps what a profile has made of payloads, what is wrong as bad and with the reason", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    const transform = [{ codec: "profile", profile: "boiler", to: "json" }];
    const throughProfile = route("r", { transform, targets: [{ sink: "history" }] });
    await dispatcher.applyResources(state(sink("history"), BOILER, throughProfile));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    await producer.event("d", "boiler", '{"t":21.5}');
    await producer.event("d", "boiler", '{"t":"warm"}');
    await waitFor(async () => (await stored(dispatcher, "d")).length === 2, { what: "both", ...LONG });
    const rows = (await stored(dispatcher, "d")).map((row) => [
      row.point,
      row.value,
      row.quality,
      row.reason,
    ]);
    expect(rows).toEqual([
      ["temperature", 21.5, "good", undefined],
      ["temperature", null, "bad", "wrong_type"],
    ]);
  });

  it("reads payloads by the profile that the registry has for their device, without any route that says so", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await dispatcher.applyResources(state(sink("history"), BOILER, toHistory));
    await owning(dispatcher, PARTITIONS);
    const registry = new DeviceRegistryClient(await box.connect("asker"), PARTITIONS);
    const isWritten = () =>
      registry.write({ device: { tenant: "", id: "b", profile: "boiler" } }).then(
        () => true,
        () => false,
      );
    await waitFor(isWritten, { what: "the registry", ...LONG });
    const producer = await box.producer();
    for (const device of ["b", "other"]) await producer.event(device, "boiler", '{"t":"warm"}');
    await producer.event("b", "boiler", '{"t":21.5}');
    const all = async () => [...(await stored(dispatcher, "b")), ...(await stored(dispatcher, "other"))];
    await waitFor(async () => (await all()).length === 3, { what: "all three", ...LONG });
    expect((await all()).map(({ point, value, reason }) => [point, value, reason])).toEqual([
      ["temperature", null, "wrong_type"],
      ["temperature", 21.5, undefined],
      ["t", "warm", undefined],
    ]);
  });

  it("loses no event while its store is broken, and stores each once when it is mended", async () => {
    await using box = await TestBox.open();
    // A folder where the file should be.
    await mkdir(box.dir.join("x"));
    const dispatcher = await box.dispatcher("dispatcher-0");
    const broken = { store: { sqlite: { path: "x", maxBytes: 64 * 1024 * 1024 } } };
    await dispatcher.applyResources(state(sink("history", broken), toHistory));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    const fanout = dispatcher.core.ledger.account("fanout", "event", "sink:history");
    let sent = 0;
    // What the sink has in its hands when it fails stays there; what comes behind goes to the overflow.
    while (fanout.stored < 10) {
      await producer.event(`d${sent % 3}`, "t", String(sent));
      sent += 1;
      expect(sent).toBeLessThan(10_000);
    }
    expect(dispatcher.sinks.get("history")?.counts).toMatchObject({ readings: 0 });
    const ready = () =>
      dispatcher.sinks.conditions().map(({ type, status, reason }) => [type, status, reason]);
    expect(ready()).toEqual([["Ready", false, "store.unavailable"]]);
    await dispatcher.applyResources(state(sink("history"), toHistory));
    const all = async () =>
      (await Promise.all([0, 1, 2].map((d) => stored(dispatcher, `d${d}`)))).map(valuesOf);
    await waitFor(async () => (await all()).flat().length >= sent, { what: "all to be stored", ...LONG });
    const expected = [0, 1, 2].map((d) => [...Array(sent).keys()].filter((i) => i % 3 === d));
    expect(await all()).toEqual(expected);
    expect(ready()).toEqual([["Ready", true, "InForce"]]);
    const books = await ledgerOf(box);
    expect(unaccounted(books)).toEqual(books.accounts.map(() => 0));
  });

  it("keeps events in the overflow while its store is full, until what is old has been removed", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    const small = (retention?: number) =>
      sink("history", {
        store: { sqlite: { path: "h.db", maxBytes: 8 * 1024 * 1024 } },
        mapping: { depth: 4, time: { field: "at", unit: "s" } },
        ...(retention !== undefined && { retention }),
      });
    await dispatcher.applyResources(state(small(), toHistory));
    await owning(dispatcher, PARTITIONS);
    const producer = await box.producer();
    const text = "x".repeat(100_000);
    const fanout = dispatcher.core.ledger.account("fanout", "event", "sink:history");
    let sent = 0;
    // Measured in 1970, all of it.
    while (fanout.stored === 0) {
      await producer.event("d", "p", JSON.stringify({ at: sent, text }));
      sent += 1;
      expect(sent).toBeLessThan(1_000);
    }
    const nowS = Math.floor(Date.now() / 1_000);
    await producer.event("d", "p", JSON.stringify({ at: nowS, text: "new" }));
    await dispatcher.applyResources(state(small(3_600_000), toHistory));
    const newest = async () => {
      const { store } = dispatcher.sinks.get("history")!;
      return valuesOf((await store.latest({ tenant: "", device: "d", limit: 10 })).rows);
    };
    await waitFor(async () => (await newest())[0] === "new", { what: "the newest to be stored", ...LONG });
    const drain = dispatcher.core.ledger.account("drain", "event", "sink:history");
    await waitFor(() => drain.queued() === 0 && fanout.queued() === 0, { what: "the end", ...LONG });
    expect(unaccounted(await ledgerOf(box))).toEqual((await ledgerOf(box)).accounts.map(() => 0));
  });

  it("loses no acknowledged event when the dispatcher is killed, and stores none twice", async () => {
    await using box = await TestBox.open();
    const resources = [sink("history", { batch: { readings: 50, wait: 5 } }), toHistory];
    const child = await box.child("dispatcher-0", resources);
    const producer = await box.producer();
    const numbers = [...Array(400).keys()];
    const sending = Promise.all(numbers.map((i) => producer.event(`d${i % 4}`, "t", String(i))));
    await producer.event("first", "t", "1");
    await child.kill("SIGKILL");
    await child.start();
    await sending;
    await child.kill("SIGKILL");
    await child.start();
    const reader = await box.dispatcher("dispatcher-1");
    await reader.applyResources(state(sink("history")));
    const all = async () => (await Promise.all([0, 1, 2, 3].map((d) => stored(reader, `d${d}`)))).flat();
    await waitFor(async () => (await all()).length >= 400, { what: "every event to be stored", ...LONG });
    expect(valuesOf(await all()).sort((a, b) => Number(a) - Number(b))).toEqual(numbers);
  });

  describe.each(DATABASES)("in $kind", ({ program, start, kind, where }) => {
    it("loses no event while its database is killed and comes back", requires.program(program), async () => {
      await using database = await start();
      await using box = await TestBox.open();
      const dispatcher = await box.dispatcher("dispatcher-0");
      const store = { [kind]: where(database) };
      await dispatcher.applyResources(state(sink("history", { store }), toHistory));
      await owning(dispatcher, PARTITIONS);
      const producer = await box.producer();
      const counts = dispatcher.sinks.get("history")!.counts;
      let sent = 0;
      const send = () => producer.event(`d${sent % 3}`, "t", String(sent++));
      while (counts.readings < 50) await send();
      await database.kill();
      const fanout = dispatcher.core.ledger.account("fanout", "event", "sink:history");
      while (fanout.stored < 10) await send();
      await database.restart();
      const all = async () =>
        (await Promise.all([0, 1, 2].map((d) => stored(dispatcher, `d${d}`)))).map(valuesOf);
      await waitFor(
        async () =>
          await all().then(
            (rows) => rows.flat().length >= sent,
            () => false,
          ),
        { what: "all to be stored", ...LONG },
      );
      expect(await all()).toEqual([0, 1, 2].map((d) => [...Array(sent).keys()].filter((i) => i % 3 === d)));
    });
  });

  it("that does not exist refuses the route that names it", async () => {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await dispatcher.applyResources(state(toHistory));
    expect([...dispatcher.core.targets.refs()].map(({ kind }) => kind)).not.toContain("sink");
    await dispatcher.applyResources(state(sink("history"), toHistory));
    expect([...dispatcher.core.targets.refs()].map(({ kind }) => kind)).toContain("sink");
  });
});
