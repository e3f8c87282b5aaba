/** Flows on a real nats-server, with servers that count what they are asked, and owners that are killed in between. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { DeviceRegistryClient, FlowClient } from "@myelin/bus";
import { checkValue, deviceProfileKind, flowKind, type Resource } from "@myelin/config";
import { systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { PARTITIONS, TestBox } from "./support/box.js";
import { owning, snapshot } from "./support/steps.js";

const DEADLINE_MS = 60_000;
const author = { kind: "user", name: "ann" } as const;

function resource(kind: "Flow" | "DeviceProfile", name: string, spec: object): Resource<"Route"> {
  const { value, problems } = checkValue(
    (kind === "Flow" ? flowKind : deviceProfileKind).spec as never,
    spec,
  );
  expect(problems).toEqual([]);
  return { apiVersion: "myelin.dev/v1alpha1", kind, metadata: { name }, spec: value } as never;
}

/** Counts requests by path and key. */
class Counting implements AsyncDisposable {
  readonly requests = new Map<string, number>();
  private constructor(private readonly server: Server) {}

  static async open(): Promise<Counting> {
    const counting = new Counting(
      createServer((request, response) => {
        const key = `${request.url} ${String(request.headers["idempotency-key"])}`;
        counting.requests.set(key, (counting.requests.get(key) ?? 0) + 1);
        request.resume();
        const isBad = request.url === "/bad";
        response.writeHead(isBad ? 422 : 200, { "content-type": "application/json" });
        response.end('{"order":17}');
      }),
    );
    await new Promise<void>((resolve) => counting.server.listen(0, "127.0.0.1", resolve));
    return counting;
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${path}`;
  }

  /** How many keys were seen on a path. */
  keysOf(path: string): number {
    return [...this.requests.keys()].filter((key) => key.startsWith(`/${path} `)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const post = (url: string, more: object = {}) => ({ do: { http: { url, body: { a: "b" } } }, ...more });

async function clientOf(box: TestBox): Promise<FlowClient> {
  const client = new FlowClient(await box.connect("asker"), PARTITIONS, systemClock);
  await waitFor(
    () =>
      client.flows("").then(
        (flows) => flows.length > 0,
        () => false,
      ),
    { what: "the flows", deadlineMs: DEADLINE_MS },
  );
  return client;
}

async function allEnded(client: FlowClient, count: number) {
  let runs = (await client.list({ tenant: "", limit: 500 })).runs;
  await waitFor(
    async () => {
      ({ runs } = await client.list({ tenant: "", limit: 500 }));
      return runs.length === count && runs.every(({ isOver }) => isOver);
    },
    { what: `the end of ${count} runs`, deadlineMs: DEADLINE_MS },
  );
  return runs;
}

describe("flows", () => {
  it("ask servers, wait for what devices say and measure, and give what they learned", async () => {
    await using box = await TestBox.open();
    await using server = await Counting.open();
    const dispatcher = await box.dispatcher("core");
    await dispatcher.applyResources(
      snapshot(
        resource("DeviceProfile", "tank", {
          payloads: [{ format: "json", topics: ["levels/#"] }],
          points: { level: { from: { field: "l" } } },
        }),
        resource("Flow", "refill", {
          input: { tank: {} },
          steps: {
            order: post(server.url("order"), { outputs: { number: "result.body.order" } }),
            gate: {
              do: { wait: { event: { device: "gate", topics: ["gate/+"], when: "payload.open" } } },
              outputs: { topic: "result.topic" },
            },
            full: {
              do: { wait: { point: { device: `\${input.tank}`, when: "level > 80" } } },
              outputs: { level: "result.level" },
            },
          },
          outputs: { number: "steps.order.number", topic: "steps.gate.topic", level: "steps.full.level" },
        }),
      ),
    );
    await owning(dispatcher, PARTITIONS);
    const client = await clientOf(box);
    const registry = new DeviceRegistryClient(await box.connect("registrar"), PARTITIONS);
    await registry.write({ device: { tenant: "", id: "t1", profile: "tank" }, expected: 0 });
    const producer = await box.producer();
    const { id } = await client.start({ tenant: "", flow: "refill", input: { tank: "t1" }, author });
    // What does not fit is passed over; what fits is sent until somebody waits for it.
    await waitFor(
      async () => {
        await producer.event("gate", "gate/1", '{"open":false}');
        await producer.event("gate", "gate/2", '{"open":true}');
        producer.send("t1", "levels/1", '{"l":12}');
        producer.send("t1", "levels/1", '{"l":81.5}');
        return (await client.get("", id)).isOver;
      },
      { what: "the end of the run", deadlineMs: DEADLINE_MS },
    );
    const run = await client.get("", id);
    expect([run.status, run.failure, run.outputs]).toEqual([
      "succeeded",
      undefined,
      { number: 17, topic: "gate/2", level: 81.5 },
    ]);
  });

  it("start each other once, and undo what they did when a step is refused", async () => {
    await using box = await TestBox.open();
    await using server = await Counting.open();
    const dispatcher = await box.dispatcher("core");
    await dispatcher.applyResources(
      snapshot(
        resource("Flow", "inner", { steps: { a: post(server.url("inner")) }, outputs: { n: "1 + 1" } }),
        resource("Flow", "outer", {
          steps: {
            sub: { do: { flow: { name: "inner" } }, outputs: { n: "result.n" } },
            paid: post(server.url("pay"), {
              dependsOn: ["sub"],
              undo: { do: { http: { url: server.url("refund") } } },
            }),
            bad: post(server.url("bad"), { dependsOn: ["paid"], when: "steps.sub.n == 2" }),
          },
        }),
      ),
    );
    await owning(dispatcher, PARTITIONS);
    const client = await clientOf(box);
    await client.start({ tenant: "", flow: "outer", author, idempotencyKey: "one" });
    const runs = await allEnded(client, 2);
    expect(runs.map(({ flow, status }) => [flow, status]).sort()).toEqual([
      ["inner", "succeeded"],
      ["outer", "failed"],
    ]);
    expect(Object.fromEntries(["inner", "pay", "bad", "refund"].map((p) => [p, server.keysOf(p)]))).toEqual({
      inner: 1,
      pay: 1,
      bad: 1,
      refund: 1,
    });
  });

  it("go on with another owner when theirs is killed in the middle, and NATS too: every run ends, no effect is doubled", {
    timeout: 240_000,
  }, async () => {
    await using box = await TestBox.open();
    await using server = await Counting.open();
    const flows = [
      resource("Flow", "keyed", {
        limits: { runs: 8 },
        steps: {
          first: {
            do: { http: { url: server.url("k1"), repeats: "keyed" } },
            retry: { attempts: 5, wait: "50ms" },
          },
          nap: { dependsOn: ["first"], do: { wait: { for: "30ms" } } },
          last: {
            dependsOn: ["nap"],
            do: { http: { url: server.url("k2"), repeats: "keyed" } },
            retry: { attempts: 5, wait: "50ms" },
          },
        },
      }),
      resource("Flow", "once", {
        limits: { runs: 8 },
        steps: {
          first: post(server.url("o1"), {
            undo: { do: { http: { url: server.url("u1"), repeats: "keyed" } } },
          }),
          nap: { dependsOn: ["first"], do: { wait: { for: "30ms" } } },
          last: post(server.url("o2"), { dependsOn: ["nap"] }),
        },
      }),
    ];
    let owner = await box.child("core", flows);
    const client = await clientOf(box);
    const RUNS = 60;
    for (let i = 0; i < RUNS; i++)
      await client.start({
        tenant: "",
        flow: i % 2 === 0 ? "keyed" : "once",
        author,
        idempotencyKey: `${i}`,
      });
    for (let death = 0; death < 3; death++) {
      const before = server.requests.size;
      const left = async (): Promise<boolean> =>
        (await client.list({ tenant: "", limit: 500 })).runs.every(({ isOver }) => isOver);
      await waitFor(async () => server.requests.size > before + 5 || (await left()), {
        what: "some more requests",
        deadlineMs: DEADLINE_MS,
      });
      await owner.kill("SIGKILL");
      if (death === 1) await box.nats.restart();
      owner = await box.child("core", flows);
    }
    const runs = await allEnded(client, RUNS);
    const keyed = runs.filter(({ flow }) => flow === "keyed");
    expect(keyed.map(({ status }) => status)).toEqual(keyed.map(() => "succeeded"));
    // A key is an effect: once each, however often it was asked for.
    expect([server.keysOf("k1"), server.keysOf("k2")]).toEqual([keyed.length, keyed.length]);
    for (const [key, count] of server.requests)
      if (/^\/o\d /.test(key)) expect([key, count]).toEqual([key, 1]);
    // What may have been done and is not known to be is undone.
    const bad = runs.filter(({ flow, status }) => flow === "once" && status !== "succeeded");
    for (const { id, failure } of bad) {
      expect(failure?.code).toBe("flow.outcome_unknown");
      const { steps } = await client.get("", id);
      expect(steps[0]?.tasks[0]?.undo).toBe("succeeded");
    }
    expect(server.keysOf("u1")).toBe(bad.length);
  });
});
