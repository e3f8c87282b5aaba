import { describe, expect, it } from "vitest";
import { bounded, defineMetrics } from "./define.js";
import { createPluginMeters } from "./plugin-metrics.js";
import { createProcessMetrics } from "./process-metrics.js";
import { MetricsRegistry, mergeSnapshots } from "./registry.js";

const list = defineMetrics({
  received: {
    type: "counter",
    name: "myelin_test_messages_received_total",
    help: "Messages received.",
    labels: { protocol: ["mqtt", "http"], app: bounded(2) },
  },
  connections: { type: "gauge", name: "myelin_test_connections", help: "Open connections." },
  duration: {
    type: "histogram",
    name: "myelin_test_match_duration_seconds",
    help: "Time to match.",
    buckets: [0.1, 1],
  },
});

describe("MetricsRegistry", () => {
  it("writes cells as a Prometheus page", async () => {
    const registry = new MetricsRegistry();
    const metrics = registry.register(list);
    metrics.received.with({ protocol: "mqtt", app: 'a"\\\n' }).inc(3);
    metrics.connections.with().set(7);
    metrics.duration.with().observe(0.05, 2);
    metrics.duration.with().observe(0.1);
    metrics.duration.with().observe(5);
    expect(await registry.text()).toMatchInlineSnapshot(`
      "# HELP myelin_test_messages_received_total Messages received.
      # TYPE myelin_test_messages_received_total counter
      myelin_test_messages_received_total{protocol="mqtt",app="a\\"\\\\\\n"} 3

      # HELP myelin_test_connections Open connections.
      # TYPE myelin_test_connections gauge
      myelin_test_connections 7

      # HELP myelin_test_match_duration_seconds Time to match.
      # TYPE myelin_test_match_duration_seconds histogram
      myelin_test_match_duration_seconds_bucket{le="0.1"} 3
      myelin_test_match_duration_seconds_bucket{le="1"} 3
      myelin_test_match_duration_seconds_bucket{le="+Inf"} 4
      myelin_test_match_duration_seconds_sum 5.2
      myelin_test_match_duration_seconds_count 4
      "
    `);
  });

  it("gives the same cell for the same labels whatever their order", () => {
    const { received } = new MetricsRegistry().register(list);
    expect(received.with({ app: "a", protocol: "mqtt" })).toBe(received.with({ protocol: "mqtt", app: "a" }));
  });

  it("counts under other when an open label has its fill", async () => {
    const registry = new MetricsRegistry();
    const { received } = registry.register(list);
    for (const app of ["a", "b", "c", "d", "a"]) received.with({ protocol: "http", app }).inc();
    const page = await registry.text();
    expect(page).toContain('{protocol="http",app="a"} 2');
    expect(page).toContain('{protocol="http",app="other"} 2');
    expect(page).not.toContain('app="c"');
  });

  it("refuses a value outside a closed set and a name that is taken", () => {
    const registry = new MetricsRegistry();
    const { received } = registry.register(list);
    expect(() => received.with({ protocol: "coap" as "mqtt", app: "a" })).toThrowError(/cannot be coap/);
    expect(() => registry.register(list)).toThrowError(/registered already/);
  });

  it("asks collectors before each scrape and forgets removed series", async () => {
    const registry = new MetricsRegistry();
    const { connections, received } = registry.register(list);
    let scrapes = 0;
    connections.onCollect(async () => {
      await Promise.resolve();
      connections.with().set(++scrapes);
    });
    received.with({ protocol: "mqtt", app: "gone" }).inc();
    received.remove({ protocol: "mqtt", app: "gone" });
    await registry.text();
    expect(await registry.text()).toMatch(/myelin_test_connections 2\n/);
    expect(await registry.text()).not.toContain("gone");
  });

  it("merges the pages of several processes by summing", async () => {
    const snapshots = [1, 2].map((n) => {
      const registry = new MetricsRegistry();
      const metrics = registry.register(list);
      metrics.connections.with().set(n);
      metrics.duration.with().observe(0.5);
      return registry.snapshot();
    });
    const page = await mergeSnapshots(structuredClone(await Promise.all(snapshots)));
    expect(page).toContain("myelin_test_connections 3");
    expect(page).toContain('myelin_test_match_duration_seconds_bucket{le="1"} 2');
  });
});

describe("defineMetrics", () => {
  it.each([
    ["a name of another project", { type: "gauge", name: "listener_connections" }],
    ["a counter without _total", { type: "counter", name: "myelin_listener_messages" }],
    ["a gauge with _total", { type: "gauge", name: "myelin_listener_messages_total" }],
    ["capital letters", { type: "gauge", name: "myelin_Listener" }],
  ] as const)("refuses %s", (_, spec) => {
    expect(() => defineMetrics({ wrong: { ...spec, help: "x" } })).toThrowError(/convention/);
  });
});

describe("the metrics that come for nothing", () => {
  it("measures memory, processor time and the event loop while it runs", async () => {
    const registry = new MetricsRegistry();
    const component = createProcessMetrics(registry);
    await component.start(new AbortController().signal);
    const page = await registry.text();
    await component.stop();
    await component.stop();
    expect(Number(/process_resident_memory_bytes (\d+)/.exec(page)?.[1])).toBeGreaterThan(1e7);
    expect(Number(/process_cpu_seconds_total ([\d.]+)/.exec(page)?.[1])).toBeGreaterThan(0);
    expect(page).toContain("nodejs_eventloop_lag_p99_seconds");
  });

  it("gives a plugin instance its four", async () => {
    const registry = new MetricsRegistry();
    const meter = createPluginMeters(registry)("mqtt", "main");
    meter.up.set(1);
    meter.starts.inc();
    meter.countError("bus.timeout");
    meter.opDuration.observe(0.002);
    const page = await registry.text();
    expect(page).toContain('myelin_plugin_up{kind="mqtt",instance="main"} 1');
    expect(page).toContain('myelin_plugin_errors_total{kind="mqtt",instance="main",code="bus.timeout"} 1');
    expect(page).toContain('myelin_plugin_op_duration_seconds_count{kind="mqtt",instance="main"} 1');
  });
});
