import type { Bus } from "@myelin/bus";
import type { ResourceStatus, Snapshot } from "@myelin/config";
import { AppError, type Component, FakeClock } from "@myelin/kernel";
import { createLogger, createPluginMeters, MetricsRegistry } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { supervisePlugin } from "./plugin.js";
import { ResourceFeed } from "./resource-feed.js";

const signal = new AbortController().signal;

function context() {
  const lines: { level: string; msg: string; [field: string]: unknown }[] = [];
  const metrics = new MetricsRegistry();
  const pages = new Map<string, () => unknown>();
  return {
    lines,
    pages,
    metrics,
    clock: new FakeClock(),
    bus: { serve: () => () => undefined } as unknown as Bus,
    pluginMeter: createPluginMeters(metrics),
    log: createLogger({ service: "s", instance: "i", write: (line) => lines.push(JSON.parse(line)) }),
    addPage: (path: string, page: () => unknown) => void pages.set(path, page),
  };
}

describe("supervisePlugin", () => {
  it("counts every failed start, logs the first, and shows when the plugin is up", async () => {
    const ctx = context();
    let tries = 0;
    const create = (): Component => ({
      name: "sink",
      async start() {
        if (++tries < 4) throw new AppError("target.unavailable", "away");
      },
      async stop() {},
    });
    const backoff = { initialMs: 100, maxMs: 100, jitter: "none" } as const;
    const plugin = supervisePlugin(ctx, { kind: "file", instance: "main", create, backoff });
    await plugin.start(signal);
    expect(await ctx.metrics.text()).toContain('myelin_plugin_up{kind="file",instance="main"} 0');
    await ctx.clock.advance(300);
    const page = await ctx.metrics.text();
    expect(page).toContain('myelin_plugin_up{kind="file",instance="main"} 1');
    expect(page).toContain('myelin_plugin_starts_total{kind="file",instance="main"} 1');
    expect(page).toContain(
      'myelin_plugin_errors_total{kind="file",instance="main",code="target.unavailable"} 3',
    );
    expect(ctx.lines.map((l) => l.msg)).toEqual(["plugin cannot start", "plugin started after all"]);
    await plugin.stop();
    expect(await ctx.metrics.text()).toContain('myelin_plugin_up{kind="file",instance="main"} 0');
  });
});

describe("ResourceFeed", () => {
  const bad: ResourceStatus = {
    kind: "Route",
    name: "a",
    source: "a.yaml",
    generation: 7,
    state: "stale",
    problems: [{ source: "a.yaml", line: 4, path: "spec.order", value: '"x"', rule: "a whole number" }],
  };

  function feedOf(ctx: ReturnType<typeof context>, apply: (snapshot: Snapshot) => Promise<void> | void) {
    let statuses: readonly ResourceStatus[] = [];
    let report: (s: readonly ResourceStatus[]) => void = () => undefined;
    const feed = new ResourceFeed(ctx, {
      apply,
      openSource: (onStatusChange) => {
        report = onStatusChange;
        return {
          statuses: () => statuses,
          async *watch(end) {
            yield { revision: 1, resources: [] };
            await new Promise<void>((resolve) =>
              end.addEventListener("abort", () => resolve(), { once: true }),
            );
          },
        };
      },
    });
    return {
      feed,
      tell: (s: readonly ResourceStatus[]) => {
        statuses = s;
        report(s);
      },
    };
  }

  it("is usable when the first state is applied", async () => {
    const ctx = context();
    const applied: number[] = [];
    const { feed } = feedOf(ctx, (snapshot) => void applied.push(snapshot.revision));
    await feed.start(signal);
    expect(applied).toEqual([1]);
    await feed.stop();
    await feed.stop();
    expect(ctx.lines.map((l) => l.level)).toEqual(["info"]);
  });

  it("logs each refusal once, counts it, and shows it on the page", async () => {
    const ctx = context();
    const { feed, tell } = feedOf(ctx, () => undefined);
    await feed.start(signal);
    tell([bad]);
    tell([bad]);
    const warnings = ctx.lines.filter((l) => l.level === "warn");
    expect(warnings).toMatchObject([
      { problem: 'a.yaml:4: spec.order: "x" must be a whole number', name: "a" },
    ]);
    expect(ctx.pages.get("/resources")?.()).toEqual([bad]);
    let page = await ctx.metrics.text();
    expect(page).toContain('myelin_config_resources{kind="Route",state="stale"} 1');
    expect(page).toContain('myelin_config_changes_total{outcome="refused"} 1');
    tell([]);
    page = await ctx.metrics.text();
    expect(page).toContain('myelin_config_resources{kind="Route",state="stale"} 0');
    tell([bad]);
    expect(ctx.lines.filter((l) => l.level === "warn")).toHaveLength(2);
    await feed.stop();
  });

  it("does not start when the first state cannot be applied, and says so once", async () => {
    const ctx = context();
    const { feed } = feedOf(ctx, () => Promise.reject(new AppError("route.invalid", "no")));
    await expect(feed.start(signal)).rejects.toMatchObject({ code: "route.invalid" });
    expect(feed.condition()).toEqual({ state: "failed", reason: "no" });
    await feed.stop();
    expect(ctx.lines.filter((l) => l.level === "error")).toHaveLength(1);
  });
});
