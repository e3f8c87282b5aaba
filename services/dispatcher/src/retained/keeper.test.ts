import { envelope, retained, subjects } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { type KeeperPorts, RetainedKeeper } from "./keeper.js";
import { retainedFrom } from "./message.js";

const PARTITION = 0;
const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** A keeper of one partition and `topics` messages, in a world where everything is answered at once. */
async function rig(topics: readonly string[]) {
  const served = new Map<string, (data: Uint8Array) => Promise<Uint8Array>>();
  const state = { handedOver: 0, told: [] as retained.KeeperState[] };
  const ports: KeeperPorts = {
    instance: "core",
    incarnation: 1,
    partitions: 1,
    clock: new FakeClock(),
    log: SILENT,
    store: {
      store: async () => undefined,
      storeAll: async () => undefined,
      async *read() {
        for (const topic of topics) yield messageOf(topic);
      },
      get: async () => undefined,
    },
    publish: (_subject, data) => state.told.push(retained.KeeperState.decode(data)) > 0,
    serve: (subject, handler) => {
      served.set(subject, handler);
      return () => served.delete(subject);
    },
    request: async () => new Uint8Array(0),
    streamFill: async () => 0,
    eventsRouted: async () => {
      state.handedOver += 1;
    },
    others: () => [],
  };
  const keeper = new RetainedKeeper(ports, { messages: 100, memoryBytes: 1_000_000 });
  keeper.acquire({ partition: PARTITION, epoch: 1, held: true });
  await new Promise((resolve) => setImmediate(resolve));
  const query = async (after: string): Promise<retained.Found> => {
    const wants = [{ tenant: "", filter: "#", after }];
    const request = retained.QueryRequest.encode({ partition: PARTITION, wants, maxBytes: 1 }).finish();
    const answer = await served.get(subjects.retainedQuery(PARTITION))!(request);
    return retained.QueryAnswer.decode(answer).found[0]!;
  };
  return { state, query, keeper };
}

function messageOf(path: string): Buffer {
  const message = { path, payload: Buffer.from("x"), ingestTimeUs: 1, retain: true };
  return Buffer.from(envelope.Envelope.encode(envelope.Envelope.fromPartial(message)).finish());
}

describe("a long answer", () => {
  it("waits for what was routed before it begins, and not again for each piece", async () => {
    const { state, query } = await rig(["a", "b", "c"]);
    expect((await query("")).more).toBe(true);
    expect(state.handedOver).toBe(1);
    const [second, third] = [await query("a"), await query("b")];
    expect([second.batch.length > 0, second.more, third.more]).toEqual([true, true, false]);
    expect(state.handedOver).toBe(1);
    await query("");
    expect(state.handedOver).toBe(2);
  });
});

describe("a keeper that gets full", () => {
  it("says so at once, and once", async () => {
    const { state, keeper } = await rig([]);
    for (let i = 0; i < 95; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(state.told).toEqual([]);
      void keeper.keepHere(PARTITION, [retainedFrom(messageOf(`t${i}`))], {
        stored: true,
        redelivered: false,
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(state.told).toMatchObject([{ full: true, messages: 95 }]);
    const more = [retainedFrom(messageOf("more"))];
    expect(keeper.keepHere(PARTITION, more, { stored: false, redelivered: false })).toBe("kept");
    await new Promise((resolve) => setImmediate(resolve));
    expect(state.told.length).toBe(1);
  });
});
