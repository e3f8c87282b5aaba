import { EMPTY_HEAD, type Head, Kind, Protocol } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { PlanCompiler, type Subscriber, type TargetRef } from "./plan.js";
import type { RouteMatch, RouteSpec } from "./route.js";

const refs = ["a", "b", "c", "d"].map((name, index): TargetRef => ({ index, kind: "app", name }));
const [a, b, c, d] = refs as [TargetRef, TargetRef, TargetRef, TargetRef];

interface Given {
  readonly order?: number;
  readonly match?: RouteMatch;
  readonly to: readonly TargetRef[];
  readonly stop?: boolean;
}

function compilerOf(routes: Record<string, Given>): PlanCompiler {
  const compiler = new PlanCompiler();
  compiler.setRoutes(
    Object.entries(routes).map(([name, { order = 100, match = {}, to, stop = false }]) => {
      const spec: RouteSpec = { name, order, match, stop, targets: [{}] };
      return { spec, legs: to.map((target) => ({ target, transform: undefined })) };
    }),
  );
  return compiler;
}

const head = (changes: Partial<Head>): Head => ({ ...EMPTY_HEAD, deviceId: "dev", path: "p", ...changes });
const names = (compiler: PlanCompiler, changes: Partial<Head> = {}, outcomes?: string): string => {
  const plan = compiler.compile(head(changes));
  const { legs } = outcomes === undefined ? plan : plan.variant(outcomes);
  return legs.map((leg) => leg.target.name).join("");
};

describe("a plan", () => {
  it("collects the targets of all routes that match, by order and name", () => {
    const compiler = compilerOf({ z: { to: [a] }, y: { to: [b] }, x: { order: 5, to: [c] } });
    expect(names(compiler)).toBe("cba");
  });

  it("ends with a route that stops, also for subscriptions", () => {
    const compiler = compilerOf({
      first: { order: 1, match: { paths: ["p"] }, to: [a], stop: true },
      second: { order: 2, to: [b] },
    });
    compiler.subscribe("#", { target: c, test: undefined });
    expect([names(compiler), names(compiler, { path: "q" })]).toEqual(["a", "bc"]);
  });

  it("has the leg of who looks on beside the routes, whatever they say, aside while nobody knows", () => {
    const compiler = compilerOf({ first: { match: { paths: ["p", "q"] }, to: [a], stop: true } });
    const { generation } = compiler;
    compiler.setOnlooker({
      target: d,
      interest: ({ path }) => (path === "p" ? "yes" : path === "q" ? "maybe" : "no"),
    });
    expect(compiler.generation).toBeGreaterThan(generation);
    const legsOf = (path: string) =>
      compiler.compile(head({ path })).legs.map(({ target, isAside = false }) => [target.name, isAside]);
    expect(["p", "q", "r"].map(legsOf)).toEqual([
      [
        ["a", false],
        ["d", false],
      ],
      [
        ["a", false],
        ["d", true],
      ],
      [],
    ]);
    expect(compiler.compile(head({ path: "p" }))).not.toBe(compiler.compile(head({ path: "q" })));
  });

  it("gives a target named twice the message once, as the first route says", () => {
    const compiler = new PlanCompiler();
    const transform = { name: "t", apply: () => undefined };
    const spec = (name: string): RouteSpec => ({ name, order: 1, match: {}, targets: [{}] });
    compiler.setRoutes([
      { spec: spec("one"), legs: [{ target: a, transform }] },
      { spec: spec("two"), legs: [{ target: a, transform: undefined }] },
    ]);
    compiler.subscribe("p", { target: a, test: undefined });
    expect(compiler.compile(head({})).legs).toEqual([{ target: a, transform }]);
  });

  it.each<[RouteMatch, Partial<Head>, boolean]>([
    [{ protocols: ["mqtt", "udp"] }, { protocol: Protocol.UDP }, true],
    [{ protocols: ["mqtt"] }, { protocol: Protocol.HTTP }, false],
    [{ kinds: ["event"] }, { kind: Kind.EVENT }, true],
    [{ kinds: ["event"] }, { kind: Kind.TELEMETRY }, false],
    [{ ports: ["plant"] }, { port: "plant" }, true],
    [{ ports: ["plant"] }, { port: "" }, false],
    [{ profiles: ["boiler"] }, { profile: "boiler" }, true],
    [{ contentTypes: ["application/json"] }, { contentType: "text/plain" }, false],
    [{ topics: ["x/#", "p"] }, { path: "p" }, true],
    [{ topics: ["#"] }, { path: "$SYS/a" }, false],
    [{ types: ["temperature"] }, { path: "temperature" }, true],
    [{ devices: ["boiler-*", "d?v"] }, { deviceId: "dev" }, true],
    [{ devices: ["boiler-*"] }, { deviceId: "xboiler-1" }, false],
    [{ devices: ["a.b"] }, { deviceId: "aXb" }, false],
    [{ devices: ["dev"], topics: ["q"] }, { path: "p" }, false],
  ])("of a route with %j for %j: %s", (match, changes, matches) => {
    expect(names(compilerOf({ r: { match, to: [a] } }), changes)).toBe(matches ? "a" : "");
  });

  it("leaves header conditions to the message, where a stop counts only if they hold", () => {
    const compiler = compilerOf({
      north: { order: 1, match: { headers: { site: "north", floor: "2" } }, to: [a], stop: true },
      hot: { order: 2, match: { headers: { hot: "yes" } }, to: [b] },
      rest: { order: 3, to: [c] },
    });
    const plan = compiler.compile(head({}));
    expect(plan.conditions?.map(({ name, value }) => `${name}=${value}`)).toEqual([
      "site=north",
      "floor=2",
      "hot=yes",
    ]);
    expect(["fff", "tff", "ttf", "fft", "ttt"].map((o) => names(compiler, {}, o))).toEqual([
      "c",
      "c",
      "a",
      "bc",
      "a",
    ]);
  });

  it("is one object for equal targets, until something changes", () => {
    const compiler = compilerOf({ r: { to: [a, b] } });
    const before = compiler.compile(head({ path: "x" }));
    expect(compiler.compile(head({ path: "y" }))).toBe(before);
    const { generation } = compiler;
    compiler.subscribe("y", { target: d, test: undefined });
    compiler.invalidate();
    expect(compiler.generation).toBeGreaterThan(generation);
    expect([names(compiler, { path: "x" }), names(compiler, { path: "y" })]).toEqual(["ab", "abd"]);
  });

  it("gives a listener the messages of the tenant for which it has subscribed, and an app those of all", () => {
    const compiler = new PlanCompiler();
    compiler.listeners.add("acme", "p", { target: a, test: undefined });
    compiler.listeners.add("", "#", { target: b, test: undefined });
    compiler.subscribe("+", { target: c, test: undefined });
    expect(["acme", "", "other"].map((tenant) => names(compiler, { tenant }))).toEqual(["ca", "cb", "c"]);
  });

  it("asks subscriptions what they want beside the filter, and forgets them when they end", () => {
    const compiler = new PlanCompiler();
    const subscriber: Subscriber = { target: a, test: (h) => h.kind === Kind.EVENT };
    compiler.subscribe("p", subscriber);
    expect([names(compiler, { kind: Kind.EVENT }), names(compiler, { kind: Kind.TELEMETRY })]).toEqual([
      "a",
      "",
    ]);
    compiler.unsubscribe("p", subscriber);
    expect(names(compiler, { kind: Kind.EVENT })).toBe("");
  });
});
