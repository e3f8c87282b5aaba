/** Memory, processor time and event-loop delay of this process. */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import type { Component } from "@myelin/kernel";
import { defineMetrics } from "./define.js";
import type { MetricsRegistry } from "./registry.js";

// Own code instead of prom-client's collectDefaultMetrics: at each scrape that lists every open file descriptor and
// handle, which stops a listener with 100,000 connections for a tenth of a second. Names are the same, so that stock
// dashboards work.

/** The list; one entry per series of the page. */
export const processMetricsList = defineMetrics({
  resident: { type: "gauge", name: "process_resident_memory_bytes", help: "Resident memory size in bytes." },
  heapUsed: { type: "gauge", name: "nodejs_heap_size_used_bytes", help: "JavaScript heap in use in bytes." },
  heapTotal: {
    type: "gauge",
    name: "nodejs_heap_size_total_bytes",
    help: "JavaScript heap reserved in bytes.",
  },
  external: {
    type: "gauge",
    name: "nodejs_external_memory_bytes",
    help: "Memory of buffers and native objects.",
  },
  cpu: {
    type: "counter",
    name: "process_cpu_seconds_total",
    help: "User and system processor time in seconds.",
  },
  started: { type: "gauge", name: "process_start_time_seconds", help: "Start of the process as Unix time." },
  loopMean: {
    type: "gauge",
    name: "nodejs_eventloop_lag_mean_seconds",
    help: "Mean event-loop delay since the last scrape.",
  },
  loopP50: {
    type: "gauge",
    name: "nodejs_eventloop_lag_p50_seconds",
    help: "Median event-loop delay since the last scrape.",
  },
  loopP99: {
    type: "gauge",
    name: "nodejs_eventloop_lag_p99_seconds",
    help: "99th percentile of the event-loop delay since the last scrape.",
  },
  loopMax: {
    type: "gauge",
    name: "nodejs_eventloop_lag_max_seconds",
    help: "Greatest event-loop delay since the last scrape.",
  },
  loopUtilization: {
    type: "gauge",
    name: "nodejs_eventloop_utilization_ratio",
    help: "Share of time the event loop was busy since the last scrape.",
  },
});

// The sampling timer wakes the process; at 20 ms an idle one stays idle.
const SAMPLE_EVERY_MS = 20;
const NS_PER_SECOND = 1e9;

/** Registers the series at once; the event loop is measured from `start` to `stop`. */
export function createProcessMetrics(registry: MetricsRegistry): Component {
  const metrics = registry.register(processMetricsList);
  let loop: ReturnType<typeof monitorEventLoopDelay> | undefined;
  let utilization = performance.eventLoopUtilization();
  metrics.started.with().set(performance.timeOrigin / 1000);

  metrics.resident.onCollect(() => {
    const memory = process.memoryUsage();
    metrics.resident.with().set(memory.rss);
    metrics.heapUsed.with().set(memory.heapUsed);
    metrics.heapTotal.with().set(memory.heapTotal);
    metrics.external.with().set(memory.external);
    const cpu = process.cpuUsage();
    metrics.cpu.with().value = (cpu.user + cpu.system) / 1e6;
    const now = performance.eventLoopUtilization();
    metrics.loopUtilization.with().set(performance.eventLoopUtilization(now, utilization).utilization);
    utilization = now;
    if (loop === undefined || loop.count === 0) return;
    // The histogram counts the sampling interval in; only what came on top of it is delay.
    const delay = (ns: number): number => Math.max(0, ns / NS_PER_SECOND - SAMPLE_EVERY_MS / 1000);
    metrics.loopMean.with().set(delay(loop.mean));
    metrics.loopP50.with().set(delay(loop.percentile(50)));
    metrics.loopP99.with().set(delay(loop.percentile(99)));
    metrics.loopMax.with().set(delay(loop.max));
    loop.reset();
  });

  return {
    name: "process-metrics",
    async start() {
      loop = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS });
      loop.enable();
    },
    async stop() {
      loop?.disable();
      loop = undefined;
    },
  };
}
