/** Runs of flows over a journal in memory: what they do, and what is left of them when their owner dies. */
import { FlowClient } from "@myelin/bus";
import { checkValue, type FlowSpec, flowKind, type Resource } from "@myelin/config";
import type { Outcome } from "@myelin/flows";
import { AppError, systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MemoryLog } from "../../test/support/memory-log.js";
import { FlowModule } from "./flow-module.js";
import { FlowTable } from "./flow-table.js";
import type { StepAction, StepAttempt } from "./steps/step.js";

const PARTITIONS = 2;
const DEADLINE_MS = 20_000;
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const author = { kind: "user", name: "ann" } as const;
const SUCCESS: Outcome = { kind: "succeeded", result: { level: 7 } };
const REFUSAL: Outcome = {
  kind: "failed",
  retryable: false,
  failure: { code: "flow.step_failed", message: "it said no" },
};

/** Lets so much of what is under way go on. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

type Perform = (spec: Readonly<Record<string, unknown>>, attempt: StepAttempt) => Promise<Outcome>;

const call = (method: string, more: object = {}) => ({ do: { app: { name: "x", method } }, ...more });
const undo = (method: string) => ({ undo: { do: { app: { name: "x", method } } } });

/** A deployment of one partition's journal each, and whichever process owns them now. */
class Deployment {
  readonly logs = Array.from({ length: PARTITIONS }, () => new MemoryLog());
  readonly handlers = new Map<string, (data: Uint8Array) => Promise<Uint8Array>>();
  /** Methods in the order in which they were called, with their keys. */
  readonly calls: { readonly method: string; readonly key: string }[] = [];
  perform: Perform = async () => SUCCESS;
  repeats = true;
  devices: string[] = [];
  readonly client = new FlowClient(
    {
      request: async (subject: string, data: Uint8Array) => {
        const handler = this.handlers.get(subject);
        if (handler === undefined) throw new AppError("request.no_responder", "nobody");
        return await handler(data);
      },
    } as never,
    PARTITIONS,
    systemClock,
  );
  #epoch = 0;

  constructor(private readonly flows: Readonly<Record<string, object>>) {}

  /** A process takes all partitions; the one before does not know of it. */
  async take(): Promise<FlowModule> {
    const table = new FlowTable(quiet, systemClock);
    table.apply(
      Object.entries(this.flows).map(([name, spec]) => {
        const { value, problems } = checkValue(flowKind.spec, spec);
        expect(problems).toEqual([]);
        return { kind: "Flow", metadata: { name }, spec: value as FlowSpec } as Resource<"Flow">;
      }),
    );
    const action: StepAction = {
      repeats: () => this.repeats,
      perform: async (spec, attempt) => {
        this.calls.push({ method: String(spec.method), key: attempt.key });
        return await this.perform(spec, attempt);
      },
    };
    const module = new FlowModule({
      clock: systemClock,
      log: quiet,
      partitions: PARTITIONS,
      flows: table,
      actions: new Map([["app", action]]),
      registry: {
        list: async () =>
          ({ devices: this.devices.map((id) => ({ id, enabled: true })), more: false }) as never,
      },
      openJournal: (partition) => this.logs[partition] as MemoryLog,
      serve: (subject, handler) => {
        this.handlers.set(subject, handler);
        return () => {
          if (this.handlers.get(subject) === handler) this.handlers.delete(subject);
        };
      },
      onInterest: () => undefined,
    });
    this.#epoch += 1;
    for (let partition = 0; partition < PARTITIONS; partition++)
      await module.acquire({ partition, epoch: this.#epoch, held: true }, new AbortController().signal);
    return module;
  }

  async ended(id: string) {
    let run = await this.client.get("", id);
    await waitFor(
      async () => {
        run = await this.client.get("", id);
        return run.isOver;
      },
      { what: "the end of the run", deadlineMs: DEADLINE_MS },
    );
    return run;
  }

  get methods(): readonly string[] {
    return this.calls.map(({ method }) => method);
  }
}

describe("a run of a flow", () => {
  it("goes from step to step and gives what it was asked for", async () => {
    const box = new Deployment({
      refill: {
        input: { tank: {} },
        steps: {
          look: call("look", { outputs: { level: "result.level" } }),
          skip: call("skip", { dependsOn: ["look"], when: "steps.look.level > 9" }),
          open: call(`open-\${input.tank}`, { dependsOn: ["look", "skip"] }),
        },
        outputs: { level: "steps.look.level", skipped: "steps.skip.state" },
      },
    });
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "refill", input: { tank: "t1" }, author });
    const run = await box.ended(id);
    expect(box.methods).toEqual(["look", "open-t1"]);
    expect([run.status, run.outputs]).toEqual(["succeeded", { level: 7, skipped: "skipped" }]);
    expect(run.steps.map(({ name, status }) => [name, status])).toEqual([
      ["look", "succeeded"],
      ["skip", "skipped"],
      ["open", "succeeded"],
    ]);
  });

  it("undoes what it did in reverse when a step fails, and says which", async () => {
    const box = new Deployment({
      f: {
        steps: {
          a: call("a", undo("un-a")),
          b: call("b", { dependsOn: ["a"], ...undo("un-b") }),
          c: call("c", { dependsOn: ["b"] }),
        },
      },
    });
    box.perform = async ({ method }) => (method === "c" ? REFUSAL : SUCCESS);
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    const run = await box.ended(id);
    expect(box.methods).toEqual(["a", "b", "c", "un-b", "un-a"]);
    expect([run.status, run.failure]).toEqual([
      "failed",
      { code: "flow.step_failed", message: "step c: it said no" },
    ]);
    expect(run.steps[0]?.tasks[0]).toMatchObject({ status: "succeeded", undo: "succeeded" });
  });

  it("tries again as often as the step says, each time under another key", async () => {
    const box = new Deployment({
      f: { steps: { a: call("a", { retry: { attempts: 3, wait: "1ms", maxWait: "1ms" } }) } },
    });
    box.perform = async () => (box.calls.length < 3 ? { ...REFUSAL, retryable: true } : SUCCESS);
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    expect((await box.ended(id)).status).toBe("succeeded");
    expect(box.calls.map(({ key }) => key)).toEqual([`${id}/a/0/1`, `${id}/a/0/2`, `${id}/a/0/3`]);
  });

  it("ends an attempt that takes too long, and is undone, since it may have been done", async () => {
    const box = new Deployment({ f: { steps: { a: call("a", { timeout: "20ms", ...undo("un-a") }) } } });
    box.perform = async ({ method }, { signal }) => {
      if (method === "un-a") return SUCCESS;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return { kind: "unknown", failure: AppError.from(signal.reason) };
    };
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    const run = await box.ended(id);
    expect([run.status, run.failure?.code, box.methods]).toEqual(["failed", "flow.timeout", ["a", "un-a"]]);
  });

  it("does a step for each device of a group, so many at once", async () => {
    const box = new Deployment({
      f: {
        steps: {
          all: {
            do: {
              each: {
                devices: { group: "lamps" },
                atOnce: 2,
                failures: 1,
                do: { app: { name: "x", method: `\${device}` } },
              },
            },
            outputs: { n: "result.succeeded", bad: "result.failed" },
          },
        },
        outputs: { n: "steps.all.n", bad: "steps.all.bad" },
      },
    });
    box.devices = ["l1", "l2", "l3", "l4", "l5"];
    let now = 0;
    let most = 0;
    box.perform = async ({ method }) => {
      now += 1;
      most = Math.max(most, now);
      await turns(2);
      now -= 1;
      return method === "l3" ? REFUSAL : SUCCESS;
    };
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    const run = await box.ended(id);
    expect([run.status, run.outputs, most]).toEqual(["succeeded", { n: 4, bad: ["l3"] }, 2]);
    expect([...box.methods].sort()).toEqual(box.devices);
  });

  it("waits until there is room, the larger priority first", async () => {
    const box = new Deployment({
      f: {
        input: { n: { type: "integer" } },
        limits: { runs: 1, waiting: 2 },
        steps: { a: call(`\${string(input.n)}`) },
      },
    });
    const gate = Promise.withResolvers<void>();
    box.perform = async () => {
      await gate.promise;
      return SUCCESS;
    };
    await box.take();
    const start = (n: number, priority: number) =>
      box.client.start({ tenant: "", flow: "f", input: { n }, priority, author });
    const runs = [await start(1, 0), await start(2, 0), await start(3, 5)];
    expect(runs.map(({ status }) => status)).toEqual(["running", "waiting", "waiting"]);
    await expect(start(4, 9)).rejects.toMatchObject({ code: "queue.full" });
    expect(await box.client.flows("")).toMatchObject([{ name: "f", waiting: 2, running: 1 }]);
    gate.resolve();
    for (const { id } of runs) await box.ended(id);
    expect(box.methods.map((method) => Number(method))).toEqual([1, 3, 2]);
  });

  it("is cancelled: nothing further is begun, and what was done is undone", async () => {
    const box = new Deployment({
      f: {
        steps: {
          a: call("a", undo("un-a")),
          b: call("b", { dependsOn: ["a"] }),
          c: call("c", { dependsOn: ["b"] }),
        },
      },
    });
    box.perform = async ({ method }, { signal }) => {
      if (method !== "b") return SUCCESS;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return REFUSAL;
    };
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    await waitFor(() => box.methods.includes("b"), { what: "the second step", deadlineMs: DEADLINE_MS });
    await box.client.cancel("", id, author);
    const run = await box.ended(id);
    expect([run.status, run.failure?.message, box.methods]).toEqual([
      "cancelled",
      "cancelled by ann",
      ["a", "b", "un-a"],
    ]);
    await expect(box.client.cancel("", id, author)).rejects.toMatchObject({ code: "flow.ended" });
  });

  it("is one for one idempotency key, and none for what the flow does not take", async () => {
    const box = new Deployment({ f: { input: { n: { type: "integer" } }, steps: { a: call("a") } } });
    await box.take();
    const wish = { tenant: "", flow: "f", input: { n: 1 }, idempotencyKey: "k", author };
    const first = await box.client.start(wish);
    await box.ended(first.id);
    expect((await box.client.start(wish)).id).toBe(first.id);
    expect(box.calls.length).toBe(1);
    for (const [more, code] of [
      [{ input: { n: 2 } }, "flow.key_reused"],
      [{ input: { m: 2 }, idempotencyKey: "l" }, "flow.invalid"],
      [{ priority: 101, idempotencyKey: "l" }, "flow.invalid"],
      [{ flow: "g" }, "flow.unknown"],
    ] as const)
      await expect(box.client.start({ ...wish, ...more } as never)).rejects.toMatchObject({ code });
    await expect(box.client.get("other", first.id)).rejects.toMatchObject({ code: "flow.unknown" });
  });

  it("is listed, the newest first, page by page", async () => {
    const box = new Deployment({ f: { steps: { a: call("a") } }, g: { steps: { a: call("a") } } });
    await box.take();
    const ids: string[] = [];
    for (const flow of ["f", "g", "f"]) {
      const { id } = await box.client.start({ tenant: "", flow, author });
      await box.ended(id);
      ids.unshift(id);
    }
    const page = await box.client.list({ tenant: "", limit: 2 });
    expect([page.runs.map(({ id }) => id), page.more]).toEqual([ids.slice(0, 2), true]);
    const rest = await box.client.list({ tenant: "", limit: 2, after: page.runs[1] });
    expect([rest.runs.map(({ id }) => id), rest.more]).toEqual([ids.slice(2), false]);
    expect((await box.client.list({ tenant: "", flow: "g", limit: 9 })).runs.map(({ id }) => id)).toEqual([
      ids[1],
    ]);
    expect((await box.client.list({ tenant: "", statuses: ["failed"], limit: 9 })).runs).toEqual([]);
  });
});

describe("a run whose owner dies", () => {
  const spec = {
    f: {
      steps: {
        a: call("a", undo("un-a")),
        b: call("b", { dependsOn: ["a"], ...undo("un-b") }),
        c: call("c", { dependsOn: ["b"] }),
      },
    },
  };

  /** Dies while `method` is under way. */
  async function dyingAt(method: string, repeats: boolean): Promise<{ box: Deployment; id: string }> {
    const box = new Deployment(spec);
    box.repeats = repeats;
    let isDead = false;
    box.perform = async (given) => {
      if (!isDead && given.method === method) await new Promise(() => undefined);
      return SUCCESS;
    };
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    await waitFor(() => box.methods.includes(method), { what: method, deadlineMs: DEADLINE_MS });
    isDead = true;
    await box.take();
    return { box, id };
  }

  it("goes on where it was, under the same key where that can be done once", async () => {
    const { box, id } = await dyingAt("b", true);
    expect((await box.ended(id)).status).toBe("succeeded");
    expect(box.methods).toEqual(["a", "b", "b", "c"]);
    expect(new Set(box.calls.map(({ key }) => key)).size).toBe(3);
  });

  it("does nothing twice that cannot be done twice: it fails, and what may have been done is undone", async () => {
    const { box, id } = await dyingAt("b", false);
    const run = await box.ended(id);
    expect([run.status, run.failure?.code]).toEqual(["failed", "flow.outcome_unknown"]);
    expect(box.methods).toEqual(["a", "b", "un-b", "un-a"]);
  });

  it("is not carried on by the one who was taken for dead", async () => {
    const box = new Deployment(spec);
    const gate = Promise.withResolvers<void>();
    let owner = 1;
    box.perform = async () => {
      if (owner === 1) await gate.promise;
      return SUCCESS;
    };
    await box.take();
    const { id } = await box.client.start({ tenant: "", flow: "f", author });
    await waitFor(() => box.calls.length === 1, { what: "the first step", deadlineMs: DEADLINE_MS });
    owner = 2;
    await box.take();
    gate.resolve();
    expect((await box.ended(id)).status).toBe("succeeded");
    expect(box.methods).toEqual(["a", "a", "b", "c"]);
  });

  it("ends all the same however often that happens, with each effect once per key", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ ms: fc.nat(24), repeats: fc.boolean() }), { maxLength: 4 }),
        fc.array(fc.nat(9), { minLength: 40, maxLength: 40 }),
        async (deaths, luck) => {
          const box = new Deployment(spec);
          let drawn = 0;
          const effects = new Map<string, number>();
          box.perform = async (_spec, { key }) => {
            const n = luck[drawn++ % luck.length] as number;
            await turns(n % 3);
            if (n === 9) return REFUSAL;
            effects.set(key, 1);
            return SUCCESS;
          };
          await box.take();
          const { id } = await box.client.start({ tenant: "", flow: "f", author });
          for (const { ms, repeats } of deaths) {
            await turns(ms);
            box.repeats = repeats;
            await box.take();
          }
          const run = await box.ended(id);
          const undone = run.steps.flatMap(({ name, tasks }) =>
            tasks.flatMap(({ undo: how }) => (how === undefined ? [] : [name])),
          );
          if (run.status === "succeeded") {
            expect(undone).toEqual([]);
            expect([...effects.keys()].filter((key) => !key.includes("!")).length).toBe(3);
          } else
            for (const { name, tasks, status } of run.steps)
              if (
                name !== "c" &&
                status !== "dropped" &&
                tasks.some((task) => task.status === "succeeded" || task.status === "unknown")
              )
                expect(undone).toContain(name);
        },
      ),
      { numRuns: 25 },
    );
  });
});
