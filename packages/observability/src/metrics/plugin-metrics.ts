/** The four metrics that every plugin instance gets from its host. */
import type { ErrorCode } from "@myelin/kernel";
import { type CounterCell, type GaugeCell, type HistogramCell, LATENCY_BUCKETS_SECONDS } from "./cells.js";
import { bounded, defineMetrics } from "./define.js";
import type { MetricsRegistry } from "./registry.js";

const labels = { kind: bounded(64), instance: bounded(256) };

/** The list, the same in every service. */
export const pluginMetricsList = defineMetrics({
  up: { type: "gauge", name: "myelin_plugin_up", help: "1 while the plugin instance runs, else 0.", labels },
  starts: {
    type: "counter",
    name: "myelin_plugin_starts_total",
    help: "Starts of the plugin instance that succeeded.",
    labels,
  },
  errors: {
    type: "counter",
    name: "myelin_plugin_errors_total",
    help: "Errors of the plugin instance by code.",
    labels: { ...labels, code: bounded(256) },
  },
  opDuration: {
    type: "histogram",
    name: "myelin_plugin_op_duration_seconds",
    help: "Duration of the plugin instance's operations.",
    labels,
    buckets: LATENCY_BUCKETS_SECONDS,
  },
});

/** What the host of one plugin instance counts on. */
export interface PluginMeter {
  readonly up: GaugeCell;
  readonly starts: CounterCell;
  readonly opDuration: HistogramCell;
  countError(code: ErrorCode): void;
}

/** Registers the four once per process; the result makes a meter per plugin instance. */
export function createPluginMeters(
  registry: MetricsRegistry,
): (kind: string, instance: string) => PluginMeter {
  const metrics = registry.register(pluginMetricsList);
  return (kind, instance) => ({
    up: metrics.up.with({ kind, instance }),
    starts: metrics.starts.with({ kind, instance }),
    opDuration: metrics.opDuration.with({ kind, instance }),
    countError: (code) => metrics.errors.with({ kind, instance, code }).inc(),
  });
}
