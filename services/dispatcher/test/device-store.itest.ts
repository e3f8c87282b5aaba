import { createConnection } from "node:net";
import { type Bus, createBus } from "@myelin/bus";
import { Secret } from "@myelin/config";
import { AppError, systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import {
  freePorts,
  makeCertificate,
  requires,
  startNats,
  startRedis,
  type TestServer,
  tempDir,
  waitFor,
} from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { RedisDeviceStore, type RedisDeviceStoreOptions } from "../src/registry/redis-store.js";
import { KeyValueDeviceStore, type StoredRecord } from "../src/registry/store.js";
import { describeDeviceStore } from "./device-store.contract.js";
import { PARTITIONS, TestBox } from "./support/box.js";
import { openRegistry, owning } from "./support/steps.js";

const storeOn = ({ url }: TestServer, changes: Partial<RedisDeviceStoreOptions> = {}): RedisDeviceStore =>
  new RedisDeviceStore({ url, topology: "single", prefix: "myelin", replicas: 0, ...changes }, systemClock);

const one = (id: string, text = "x") => [{ tenant: "", id, record: Buffer.from(text), expected: 0 }];

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (thrown: unknown) => AppError.from(thrown).code,
  );

async function all(store: RedisDeviceStore): Promise<StoredRecord[]> {
  const found: StoredRecord[] = [];
  for await (const one of store.read(1, new AbortController().signal)) found.push(one);
  return found;
}

/** Sends commands that answer `+OK` each. */
async function tell({ host, port }: TestServer, ...commands: string[]): Promise<void> {
  const socket = createConnection(port, host);
  let answers = "";
  socket.on("data", (data) => (answers += data));
  socket.write(commands.map((command) => `${command}\r\n`).join(""));
  const wanted = "+OK\r\n".repeat(commands.length);
  await waitFor(() => answers === wanted, { what: `+OK to ${commands.join(", ")}`, deadlineMs: 20_000 });
  socket.destroy();
}

describeDeviceStore("JetStream", async () => {
  const nats = await startNats({ syncInterval: "always" });
  const bus: Bus = createBus({
    ...{ servers: [nats.url], instance: "store", service: "test", logger: silentLogger },
  });
  await bus.start(new AbortController().signal);
  return {
    open: async () => new KeyValueDeviceStore(bus),
    kill: () => nats.kill(),
    async restart() {
      await nats.restart();
      const ready = () =>
        new KeyValueDeviceStore(bus).get(0, "", "x").then(
          () => true,
          () => false,
        );
      await waitFor(ready, { what: "the bus to be back", deadlineMs: 60_000 });
    },
    async [Symbol.asyncDispose]() {
      await bus.stop();
      await nats[Symbol.asyncDispose]();
    },
  };
});

describe("Redis", requires.program("redis-server"), () => {
  describeDeviceStore("Redis", async () => {
    const server = await startRedis();
    return {
      open: async () => storeOn(server),
      kill: () => server.kill(),
      restart: () => server.restart(),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  });

  it("waits for a server that does not answer for some seconds only, and finds it when it does", async () => {
    await using server = await startRedis();
    const [store, fresh] = [storeOn(server), storeOn(server)];
    await store.putAll(1, one("a"));
    await server.pause();
    const [result] = await store.putAll(1, one("b"));
    expect(result).toMatchObject({ code: "store.unavailable", retryable: true });
    expect(await codeOf(fresh.get(1, "", "a"))).toBe("store.unavailable");
    server.resume();
    expect(await store.get(1, "", "a")).toBeDefined();
    expect(await fresh.get(1, "", "a")).toBeDefined();
    await store.close();
    await fresh.close();
  }, 60_000);

  it("gives no version again when the server has lost what was written", async () => {
    await using server = await startRedis();
    const store = storeOn(server);
    const [before] = await store.putAll(1, one("a"));
    await tell(server, "FLUSHALL");
    const [after] = await store.putAll(1, one("a"));
    expect(after).toBeGreaterThan(before as number);
    await store.close();
  });

  it("keeps deployments apart by their prefix and by their database", async () => {
    await using server = await startRedis();
    const stores = [
      storeOn(server),
      storeOn(server, { prefix: "b" }),
      storeOn(server, { url: `${server.url}/2` }),
    ];
    for (const store of stores) expect(await store.putAll(1, one("a"))).toEqual([expect.any(Number)]);
    for (const store of stores) await store.close();
  });

  it("says who may not come in without its password, and lets it in with it", async () => {
    await using server = await startRedis({ args: ["--requirepass", "s3cret"] });
    expect(await codeOf(storeOn(server).get(1, "", "a"))).toBe("store.unavailable");
    const wrong = storeOn(server, { password: new Secret("wrong", "test") });
    expect(await codeOf(wrong.get(1, "", "a"))).toBe("store.unavailable");
    const store = storeOn(server, { password: new Secret("s3cret", "test") });
    expect(await codeOf(store.get(1, "", "a"))).toBe("done");
    await store.close();
  });

  it("needs no more rights than the guide says", async () => {
    await using server = await startRedis();
    const rights = ["eval", "hget", "hset", "hdel", "hscan", "get", "set", "time", "info", "client"];
    await tell(server, `ACL SETUSER myelin on >s3cret ~{myelin:* ${rights.map((it) => `+${it}`).join(" ")}`);
    const store = storeOn(server, { user: "myelin", password: new Secret("s3cret", "test") });
    const [version] = await store.putAll(1, one("a"));
    expect(await all(store)).toEqual([{ record: Buffer.from("x"), version }]);
    await store.erase(1, "", "a", version as number);
    expect(await store.get(1, "", "a")).toBeUndefined();
    await store.close();
  });

  it("checks the certificate of the server", async () => {
    await using dir = await tempDir("redis-tls");
    const certificate = await makeCertificate(dir, "localhost");
    const stranger = await makeCertificate(dir, "stranger");
    await using server = await startRedis({ tls: certificate });
    expect(await codeOf(storeOn(server).get(1, "", "a"))).toBe("store.unavailable");
    const misled = storeOn(server, { ca: new Secret(stranger.cert, "test") });
    expect(await codeOf(misled.get(1, "", "a"))).toBe("store.unavailable");
    const store = storeOn(server, { ca: new Secret(certificate.cert, "test") });
    expect(await codeOf(store.get(1, "", "a"))).toBe("done");
    await store.close();
  });

  it("refuses a cache, which would forget devices", async () => {
    await using server = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    const store = storeOn(server);
    expect(await codeOf(store.get(1, "", "a"))).toBe("store.unavailable");
    await tell(server, "CONFIG SET maxmemory-policy noeviction");
    expect(await codeOf(store.get(1, "", "a"))).toBe("done");
    await store.close();
  });

  it("says that the store is full, and writes again when there is room", async () => {
    await using server = await startRedis();
    const store = storeOn(server);
    await store.putAll(1, one("a"));
    await tell(server, "CONFIG SET maxmemory 1");
    expect(await store.putAll(1, one("b"))).toEqual([expect.objectContaining({ code: "store.full" })]);
    expect(await store.get(1, "", "a")).toBeDefined();
    await tell(server, "CONFIG SET maxmemory 0");
    expect(await store.putAll(1, one("b"))).toEqual([expect.any(Number)]);
    await store.close();
  });

  it("finds each partition on its node of a cluster, and goes on when a node was away", async () => {
    const [busA, busB] = await freePorts(2);
    const node = (bus = 0) =>
      startRedis({ args: ["--cluster-enabled", "yes", "--cluster-port", String(bus)] });
    await using a = await node(busA);
    await using b = await node(busB);
    await tell(a, "CLUSTER ADDSLOTSRANGE 0 8191", "CONFIG SET cluster-require-full-coverage no");
    await tell(b, "CLUSTER ADDSLOTSRANGE 8192 16383", "CONFIG SET cluster-require-full-coverage no");
    await tell(a, `CLUSTER MEET 127.0.0.1 ${b.port} ${busB}`);
    const store = storeOn(a, { topology: "cluster" });
    const numbers = Array.from({ length: 16 }, (_, i) => i);
    const codesNow = () => Promise.all(numbers.map((at) => codeOf(store.get(at, "", "a"))));
    const isUp = async () => (await codesNow()).every((code) => code === "done");
    await waitFor(isUp, { what: "the cluster to be up", deadlineMs: 40_000 });
    const results = await Promise.all(numbers.map((at) => store.putAll(at, one("a"))));
    expect(results.flat()).toEqual(numbers.map(() => expect.any(Number)));
    await b.kill();
    const isNoticed = async () => (await codesNow()).includes("store.unavailable");
    await waitFor(isNoticed, { what: "some partitions to be away", deadlineMs: 40_000 });
    await b.restart();
    await waitFor(isUp, { what: "the cluster to be up again", deadlineMs: 40_000 });
    for (const at of numbers) expect((await store.get(at, "", "a"))?.version).toBe(results[at]?.[0]);
    await store.close();
  }, 150_000);

  it("keeps what was acknowledged over a failover to a replica, and acknowledges nothing that none has", async () => {
    await using master = await startRedis();
    await using replica = await startRedis({ args: ["--replicaof", master.host, String(master.port)] });
    const store = storeOn(master, { replicas: 1 });
    let tries = 0;
    const isJoined = async () => typeof (await store.putAll(1, one(`joined-${tries++}`)))[0] === "number";
    await waitFor(isJoined, { what: "the replica to follow", deadlineMs: 60_000 });
    // Writes until the master is dead: the last of them have no answer.
    const kept: string[] = [];
    const writing = (async () => {
      for (let i = 0; ; i++) {
        const [result] = await store.putAll(1, one(`d${i}`));
        if (typeof result !== "number") return;
        kept.push(`d${i}`);
      }
    })();
    await waitFor(() => kept.length >= 200, { what: "some changes", deadlineMs: 60_000 });
    await master.kill();
    await writing;
    await tell(replica, "REPLICAOF NO ONE");
    const next = storeOn(replica);
    const found = await Promise.all(kept.map((id) => next.get(1, "", id)));
    expect(kept.filter((_, i) => found[i] === undefined)).toEqual([]);
    const alone = storeOn(replica, { replicas: 1 });
    expect(await alone.putAll(1, one("alone"))).toMatchObject([{ code: "store.write_failed" }]);
    await Promise.all([store, next, alone].map((opened) => opened.close()));
  }, 150_000);

  it("holds the devices of a dispatcher, also over a restart of both", async () => {
    await using server = await startRedis();
    await using box = await TestBox.open();
    const registry = { store: { kind: "redis", url: server.url } };
    const first = await box.dispatcher("core", { registry });
    await owning(first, PARTITIONS);
    const client = await openRegistry(await box.connect("asker"));
    const ids = Array.from({ length: 40 }, (_, i) => `d${i}`);
    const outcomes = await client.writeAll(ids.map((id) => ({ device: { tenant: "t", id } })));
    expect(outcomes.map(({ created }) => created)).toEqual(ids.map(() => true));
    const before = await client.list({ tenant: "t", limit: 100 });
    expect(before.devices.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    await box.stop(first);
    await server.restart();
    await owning(await box.dispatcher("again", { registry }), PARTITIONS);
    const asked = await openRegistry(await box.connect("other"));
    expect(await asked.list({ tenant: "t", limit: 100 })).toEqual(before);
  }, 60_000);
});
