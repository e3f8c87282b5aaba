import { expect, it } from "vitest";
import { commandMetricsList } from "./commands/metrics.js";
import { DROP_REASONS, HOPS } from "./core/ledger.js";
import { dispatcherMetricsList } from "./metrics.js";
import { ruleMetricsList } from "./rules/metrics.js";

it("names of metrics, hops and reasons stay, because dashboards and alerts know them", () => {
  expect(Object.values(dispatcherMetricsList).map((m) => `${m.type} ${m.name}`)).toEqual([
    "gauge myelin_dispatcher_partitions",
    "counter myelin_dispatcher_received_messages_total",
    "counter myelin_dispatcher_forwarded_messages_total",
    "counter myelin_dispatcher_stored_messages_total",
    "counter myelin_dispatcher_expired_messages_total",
    "counter myelin_dispatcher_dropped_messages_total",
    "gauge myelin_dispatcher_queued_messages",
    "gauge myelin_dispatcher_pending_event_batches",
    "gauge myelin_dispatcher_overflowing_queues",
    "gauge myelin_dispatcher_events_accepted",
    "gauge myelin_dispatcher_side_stream_fill_ratio",
    "gauge myelin_dispatcher_retained_messages",
    "gauge myelin_dispatcher_retained_bytes",
    "gauge myelin_dispatcher_retained_accepted",
    "counter myelin_dispatcher_retained_refused_messages_total",
    "counter myelin_dispatcher_sink_readings_total",
    "counter myelin_dispatcher_sink_skipped_messages_total",
    "counter myelin_dispatcher_sink_failed_writes_total",
    "gauge myelin_dispatcher_sink_store_bytes",
    "gauge myelin_dispatcher_connected_devices",
    "gauge myelin_dispatcher_wills",
    "counter myelin_dispatcher_wills_handed_over_total",
    "counter myelin_dispatcher_wills_lost_total",
    "gauge myelin_dispatcher_plan_pages",
    "counter myelin_dispatcher_apps_refused_total",
    "counter myelin_dispatcher_routing_errors_total",
    "counter myelin_dispatcher_device_desk_defects_total",
    "gauge myelin_dispatcher_shadows",
    "gauge myelin_dispatcher_shadow_memory_bytes",
    "gauge myelin_dispatcher_shadows_drifting",
    "counter myelin_dispatcher_shadow_readings_total",
    "counter myelin_dispatcher_shadow_dropped_readings_total",
    "counter myelin_dispatcher_shadow_writes_total",
    "counter myelin_dispatcher_shadow_loads_total",
    "gauge myelin_dispatcher_flow_runs",
    "gauge myelin_dispatcher_filters",
    "counter myelin_dispatcher_filters_refused_total",
    "gauge myelin_dispatcher_plan_generation",
  ]);
  expect(HOPS).toEqual(["route", "fanout", "drain", "unrouted", "sessions"]);
  expect(DROP_REASONS).toEqual([
    "app_deleted",
    "bad_envelope",
    "codec_error",
    "double",
    "lagging",
    "lost_in_transit",
    "no_local",
    "no_session",
    "queue_full",
    "released",
    "requeued",
    "routing_error",
    "session_ended",
    "session_queue_full",
    "target_away",
    "target_error",
    "unrouted",
  ]);
});

it("names of the metrics of rules stay", () => {
  expect(Object.values(ruleMetricsList).map((m) => `${m.type} ${m.name}`)).toEqual([
    "gauge myelin_dispatcher_rules",
    "counter myelin_dispatcher_rule_evaluations_total",
    "counter myelin_dispatcher_rule_firings_total",
    "counter myelin_dispatcher_rule_passed_over_total",
    "counter myelin_dispatcher_rule_actions_total",
    "gauge myelin_dispatcher_rule_pending_firings",
    "gauge myelin_dispatcher_open_alarms",
    "gauge myelin_dispatcher_rule_devices",
  ]);
});

it("names of the metrics of commands stay", () => {
  expect(Object.values(commandMetricsList).map((m) => `${m.type} ${m.name}`)).toEqual([
    "counter myelin_dispatcher_commands_ended_total",
    "counter myelin_dispatcher_command_safety_denials_total",
    "histogram myelin_dispatcher_command_step_seconds",
    "gauge myelin_dispatcher_commands_open",
    "gauge myelin_dispatcher_commands_waiting",
  ]);
});
