import { ops, subjects } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../test/memory-bus.js";
import { OperationsClient } from "./operations-client.js";

const LIVE = ["a", "b"].map((instance) => ({ service: "listener", instance }));

/** A listener that answers with this after a while; `undefined`: never. */
function answering(hub: MemoryHub, clock: FakeClock, instance: string, report: object | undefined, ms = 1) {
  const bus = new MemoryBus(hub, instance);
  const asked: ops.Question[] = [];
  bus.subscribe(subjects.operations(), (data, _subject, reply) => {
    asked.push(ops.Question.decode(data));
    if (report === undefined) return;
    const answer = ops.Report.fromPartial({ service: "listener", instance, peers: LIVE, ...report });
    clock.setTimeout(() => bus.publish(reply!, ops.Report.encode(answer).finish()), ms);
  });
  return asked;
}

function setup() {
  const hub = new MemoryHub();
  const clock = new FakeClock();
  return { hub, clock, client: new OperationsClient(new MemoryBus(hub, "cli"), clock) };
}

const clients = (listener: string, ...numbers: number[]) =>
  numbers.map((number) => ({ listener, number, device: `${listener}${number}` }));

/** The outcome, once `ms` have passed. */
async function after<T>(clock: FakeClock, ms: number, asked: Promise<T>): Promise<T | "waiting"> {
  let outcome: T | "waiting" = "waiting";
  void asked.then((got) => {
    outcome = got;
  });
  await clock.advance(ms);
  return outcome;
}

describe("OperationsClient", () => {
  it("answers as soon as all have who are known to live", async () => {
    const { hub, clock, client } = setup();
    answering(hub, clock, "b", { clients: clients("b", 1) });
    answering(hub, clock, "a", { clients: clients("a", 5, 9) }, 20);
    const asked = client.clients({});
    expect(await after(clock, 10, asked)).toBe("waiting");
    expect(await after(clock, 15, asked)).toMatchObject({
      entries: [{ device: "a5" }, { device: "a9" }, { device: "b1" }],
      next: undefined,
      missing: [],
    });
  });

  it("waits for a listener that is slower than the home of sessions, which knows of nobody else", async () => {
    const { hub, clock, client } = setup();
    const home = { service: "dispatcher", peers: [{ service: "dispatcher", instance: "core" }] };
    answering(hub, clock, "core", home);
    answering(hub, clock, "a", { clients: clients("a", 5), peers: LIVE.slice(0, 1) }, 900);
    const asked = client.clients({});
    expect(await after(clock, 1_000, asked)).toMatchObject({ entries: [{ device: "a5" }], missing: [] });
  });

  it("names after the deadline who has not answered, or could not", async () => {
    const { hub, clock, client } = setup();
    answering(hub, clock, "a", {
      clients: clients("a", 1),
      peers: [...LIVE, { service: "listener", instance: "c" }],
    });
    answering(hub, clock, "b", undefined);
    answering(hub, clock, "c", { problem: { code: "queue.full", message: "too many", retryable: true } });
    const asked = client.clients({});
    expect(await after(clock, 1_999, asked)).toBe("waiting");
    expect(await after(clock, 2, asked)).toMatchObject({ entries: [{ device: "a1" }], missing: ["b", "c"] });
  });

  it("waits a moment where those who answer have just started and cannot know the others", async () => {
    const { hub, clock, client } = setup();
    answering(hub, clock, "a", { clients: clients("a", 1), peers: [] });
    answering(hub, clock, "b", { clients: clients("b", 1), peers: [] }, 200);
    const asked = client.clients({});
    expect(await after(clock, 450, asked)).toBe("waiting");
    expect(await after(clock, 100, asked)).toMatchObject({ entries: [{ device: "a1" }, { device: "b1" }] });
  });

  it("takes nothing behind an instance that has more, and goes on there", async () => {
    const { hub, clock, client } = setup();
    const asked = answering(hub, clock, "a", { clients: clients("a", 1, 2), more: true });
    answering(hub, clock, "b", { clients: clients("b", 1) });
    const page = await after(clock, 5, client.clients({ limit: 10 }));
    if (page === "waiting") throw new Error("no page");
    expect(page.entries.map(({ device }) => device)).toEqual(["a1", "a2"]);
    void client.clients({ cursor: page.next });
    expect(asked[1]!.question).toMatchObject({ value: { after: { instance: "a", number: 2 } } });
  });

  it("gives a next page exactly when something is behind the last entry", async () => {
    const { hub, clock, client } = setup();
    answering(hub, clock, "a", { clients: clients("a", 1, 2) });
    answering(hub, clock, "b", { clients: clients("b", 1) });
    for (const [limit, more] of [
      [1, true],
      [2, true],
      [3, false],
    ] as const) {
      const page = await after(clock, 5, client.clients({ limit }));
      if (page === "waiting") throw new Error("no page");
      expect([page.entries.length, page.next !== undefined]).toEqual([limit, more]);
    }
  });

  it("fails when nobody answers, and with the problem when nobody can", async () => {
    const { hub, clock, client } = setup();
    const silent = client.clients({}).catch((error: { code: string }) => error.code);
    expect(await after(clock, 2_000, silent)).toBe("request.no_responder");
    answering(hub, clock, "a", {
      peers: [LIVE[0]],
      problem: { code: "queue.full", message: "", retryable: true },
    });
    const full = client.clients({}).catch((error: { code: string }) => error.code);
    expect(await after(clock, 5, full)).toBe("queue.full");
  });

  it("tells the latest end that anybody remembers", async () => {
    const { hub, clock, client } = setup();
    answering(hub, clock, "a", { lastDisconnect: { atMs: 7, reason: "lost", listener: "a" } });
    answering(hub, clock, "b", { lastDisconnect: { atMs: 9, reason: "client", listener: "b" } });
    expect(await after(clock, 5, client.inspect(undefined, "d"))).toMatchObject({
      connections: [],
      lastDisconnect: { atMs: 9, reason: "client", listener: "b" },
    });
  });
});
