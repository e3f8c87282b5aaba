import type { Bus } from "@myelin/bus";
import type { ResourceStatus } from "@myelin/config";
import { subjects, resource as wire } from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { ResourceAnswers, type ResourceCondition, type ResourceFigures } from "./resource-answers.js";

type Handler = (data: Uint8Array) => Promise<Uint8Array> | Uint8Array;

const TRUE = wire.ConditionStatus.TRUE;
const FALSE = wire.ConditionStatus.FALSE;

function status(name: string, state: ResourceStatus["state"] = "active"): ResourceStatus {
  const problems = [{ source: "a.yaml", line: 4, path: "spec.order", value: '"x"', rule: "a whole number" }];
  const { length } = name;
  return {
    kind: "Route",
    name,
    source: "a.yaml",
    generation: length,
    state,
    problems: state === "active" ? [] : problems,
  };
}

function world(conditions: readonly ResourceCondition[] = [], figures: readonly ResourceFigures[] = []) {
  const served = new Map<string, Handler>();
  const clock = new FakeClock();
  let statuses: readonly ResourceStatus[] = [];
  const answers = new ResourceAnswers({
    bus: {
      instance: "core",
      incarnation: 5,
      serve: (subject: string, handler: Handler) => {
        served.set(subject, handler);
        return () => served.delete(subject);
      },
    } as unknown as Bus,
    clock,
    statuses: () => statuses,
    conditions: () => conditions,
    figures: () => figures,
    check: async (resources) =>
      resources
        .filter(({ metadata }) => metadata.name === "bad")
        .map(({ kind, metadata: { name } }) => ({ kind, name, error: new AppError("route.invalid", "no") })),
  });
  return {
    answers,
    clock,
    served,
    set: (now: readonly ResourceStatus[]) => {
      statuses = now;
      answers.note(now);
    },
    ask: (query: Partial<wire.Query> = {}) => answers.report(wire.Query.fromPartial(query)),
  };
}

const route = (name: string, spec: unknown = { match: {}, targets: [{ app: "a" }] }): Buffer =>
  Buffer.from(JSON.stringify({ apiVersion: "myelin.dev/v1alpha1", kind: "Route", metadata: { name }, spec }));

describe("what became of resources", () => {
  it("is told with the reason, the generation, and since when", async () => {
    const { set, ask, clock } = world();
    set([status("one")]);
    const atUs = clock.wallUs();
    await clock.advance(1_000);
    set([status("one"), status("two!", "stale")]);
    const [one, two] = ask().resources;
    expect(one?.conditions).toMatchObject([
      { type: "Accepted", status: TRUE, reason: "Valid", observedGeneration: 3, sinceUs: atUs },
    ]);
    expect(two?.conditions).toMatchObject([
      {
        type: "Accepted",
        status: FALSE,
        reason: "Invalid",
        observedGeneration: 4,
        sinceUs: atUs + 1_000_000,
      },
    ]);
    expect(two?.conditions[0]?.message).toBe(
      'a.yaml:4: spec.order: "x" must be a whole number; an earlier version is in force',
    );
  });

  it("says what those that act on it say, with codes as words", () => {
    const said = { kind: "Route", type: "Ready", status: false, message: "no file", generation: 3 } as const;
    const { set, ask } = world([{ ...said, name: "one", reason: "route.invalid", sinceMs: 12 }]);
    set([status("one"), status("two")]);
    const [one, two] = ask().resources;
    expect(one?.conditions[1]).toEqual({
      type: "Ready",
      status: FALSE,
      reason: "RouteInvalid",
      message: "no file",
      observedGeneration: 3,
      sinceUs: 12_000,
    });
    expect(two?.conditions).toHaveLength(1);
  });

  it("holds what those that act on one in force count of it", () => {
    const of = (name: string) => ({
      kind: "Route",
      name,
      figures: { queuedMessages: 3, droppedMessages: 0 },
    });
    const { set, ask } = world([], [of("a"), of("gone"), of("bad")]);
    set([status("a"), status("b"), status("bad", "refused")]);
    expect(ask().resources.map(({ name, figures }) => [name, figures])).toEqual([
      [
        "a",
        [
          { name: "queuedMessages", value: 3 },
          { name: "droppedMessages", value: 0 },
        ],
      ],
      ["b", []],
      ["bad", []],
    ]);
  });

  it("keeps to the kind and the name that are asked for", () => {
    const { set, ask } = world();
    set([status("one"), status("two"), { ...status("one"), kind: "Bridge" }]);
    expect(ask({ name: "one" }).resources).toHaveLength(2);
    expect(ask({ kind: "Route" }).resources.map(({ name }) => name)).toEqual(["one", "two"]);
  });

  it("comes in pages that a message can hold, with nothing left out", () => {
    const { set, ask } = world();
    const names = Array.from({ length: 6_000 }, (_, i) => `route-${String(i).padStart(5, "0")}`);
    set(names.map((name) => status(name, "stale")));
    const seen: string[] = [];
    let after = "";
    let pages = 0;
    do {
      const page = ask({ after });
      expect(wire.Report.encode(page).finish().length).toBeLessThan(512 * 1024);
      seen.push(...page.resources.map(({ name }) => name));
      after = page.next;
      pages++;
    } while (after !== "");
    expect(seen).toEqual(names);
    expect(pages).toBeGreaterThan(1);
  });

  it("is answered from the start to the stop", () => {
    const { answers, served } = world();
    answers.start();
    expect([...served.keys()]).toEqual([subjects.resourceQuery(), subjects.resourceCheck()]);
    answers.stop();
    answers.stop();
    expect(served.size).toBe(0);
  });
});

describe("a check of what is to be declared", () => {
  it("refuses what cannot be put in force here, and what this version does not know", async () => {
    const { answers, served } = world();
    answers.start();
    const resources = [
      route("good"),
      route("bad"),
      route("worse", {}),
      Buffer.from("{"),
      Buffer.from("null"),
    ];
    const handler = served.get(subjects.resourceCheck()) as Handler;
    const verdict = wire.Verdict.decode(await handler(wire.Check.encode({ resources }).finish()));
    expect(verdict.refusals.map(({ name, code }) => [name, code])).toEqual([
      ["worse", "config.invalid_resource"],
      ["", "config.invalid_resource"],
      ["", "config.invalid_resource"],
      ["bad", "route.invalid"],
    ]);
  });
});
