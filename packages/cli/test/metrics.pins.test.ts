import { bridgeMetricsList } from "@myelin/ipc-bridge";
import { type MetricSpec, pluginMetricsList, processMetricsList } from "@myelin/observability";
import { hostMetricsList, resourceMetricsList } from "@myelin/service-host";
import { expect, it } from "vitest";

/** Type, name and labels with their closed values: what dashboards and alerts are written against. */
function lines(list: Readonly<Record<string, MetricSpec>>): string[] {
  return Object.values(list).map(
    ({ type, name, labels = {} }) => `${type} ${name}{${Object.keys(labels).join(",")}}`,
  );
}

it("keeps the metrics that every process has", () => {
  expect(
    [processMetricsList, hostMetricsList, pluginMetricsList, resourceMetricsList].flatMap(lines),
  ).toMatchInlineSnapshot(`
    [
      "gauge process_resident_memory_bytes{}",
      "gauge nodejs_heap_size_used_bytes{}",
      "gauge nodejs_heap_size_total_bytes{}",
      "gauge nodejs_external_memory_bytes{}",
      "counter process_cpu_seconds_total{}",
      "gauge process_start_time_seconds{}",
      "gauge nodejs_eventloop_lag_mean_seconds{}",
      "gauge nodejs_eventloop_lag_p50_seconds{}",
      "gauge nodejs_eventloop_lag_p99_seconds{}",
      "gauge nodejs_eventloop_lag_max_seconds{}",
      "gauge nodejs_eventloop_utilization_ratio{}",
      "gauge myelin_component_up{component}",
      "gauge myelin_plugin_up{kind,instance}",
      "counter myelin_plugin_starts_total{kind,instance}",
      "counter myelin_plugin_errors_total{kind,instance,code}",
      "histogram myelin_plugin_op_duration_seconds{kind,instance}",
      "gauge myelin_config_resources{kind,state}",
      "counter myelin_config_changes_total{outcome}",
    ]
  `);
});

it("keeps the metrics of the ipc-bridge", () => {
  expect(lines(bridgeMetricsList)).toMatchInlineSnapshot(`
    [
      "gauge myelin_ipc_bridge_sessions{app}",
      "gauge myelin_ipc_bridge_streams{}",
      "gauge myelin_ipc_bridge_unhealthy_sessions{app}",
      "counter myelin_ipc_bridge_sessions_opened_total{}",
      "counter myelin_ipc_bridge_errors_sent_total{code}",
      "counter myelin_ipc_bridge_delivered_messages_total{app,lane}",
      "counter myelin_ipc_bridge_dropped_messages_total{app,lane,reason}",
      "gauge myelin_ipc_bridge_queued_messages{app,lane}",
      "gauge myelin_ipc_bridge_held_bytes{}",
      "counter myelin_ipc_bridge_batches_total{}",
      "counter myelin_ipc_bridge_malformed_batches_total{}",
      "counter myelin_ipc_bridge_stale_batches_total{}",
    ]
  `);
});
