import { expect, it } from "vitest";
import { listenerMetricsList } from "./metrics.js";

it("keeps the names and labels of its metrics", () => {
  const lines = Object.values(listenerMetricsList).map((spec) => {
    const labels = "labels" in spec ? Object.keys(spec.labels).join(",") : "";
    return `${spec.type} ${spec.name}{${labels}}`;
  });
  expect(lines).toMatchInlineSnapshot(`
    [
      "gauge myelin_listener_connections_active{protocol}",
      "counter myelin_listener_connections_accepted_total{protocol}",
      "counter myelin_listener_transports_refused_total{reason}",
      "counter myelin_listener_connects_refused_total{protocol,code}",
      "counter myelin_listener_disconnects_total{protocol,reason}",
      "counter myelin_listener_lost_bytes_total{protocol}",
      "counter myelin_listener_malformed_total{protocol,reason}",
      "counter myelin_listener_received_bytes_total{protocol}",
      "counter myelin_listener_received_messages_total{protocol}",
      "counter myelin_listener_sent_bytes_total{protocol}",
      "counter myelin_listener_sent_messages_total{protocol}",
      "counter myelin_listener_undelivered_messages_total{protocol,reason}",
      "counter myelin_listener_ingress_messages_total{lane}",
      "counter myelin_listener_ingress_dropped_total{lane,reason}",
      "gauge myelin_listener_ingress_queued{lane}",
      "counter myelin_listener_congestion_seconds_total{}",
      "gauge myelin_listener_clients{protocol,version}",
      "gauge myelin_listener_inflight_messages{protocol}",
      "gauge myelin_listener_client_queued_messages{protocol}",
      "gauge myelin_listener_sessions{}",
      "gauge myelin_listener_subscriptions{}",
      "counter myelin_listener_subscribes_unconfirmed_total{}",
      "gauge myelin_listener_certificate_expiry_timestamp_seconds{port}",
      "counter myelin_listener_certificate_reloads_total{port,outcome}",
      "counter myelin_listener_shared_channels_evicted_total{}",
      "gauge myelin_listener_bridge_up{bridge}",
      "counter myelin_listener_bridge_connects_total{bridge,outcome}",
      "counter myelin_listener_bridge_messages_total{bridge,direction}",
      "counter myelin_listener_bridge_dropped_total{bridge,direction,reason}",
      "gauge myelin_listener_bridge_queued_messages{bridge}",
      "gauge myelin_listener_bridge_queued_bytes{bridge}",
      "gauge myelin_listener_bridge_queued_age_seconds{bridge}",
    ]
  `);
});
