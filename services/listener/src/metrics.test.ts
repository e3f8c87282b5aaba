import { FakeClock } from "@myelin/kernel";
import { MetricsRegistry } from "@myelin/observability";
import { expect, it } from "vitest";
import { mqttRig } from "../test/mqtt-rig.js";
import { foldMetrics, listenerMetricsList } from "./metrics.js";

it("shows what happened on the metrics page", async () => {
  const rig = mqttRig();
  const clock = new FakeClock();
  const registry = new MetricsRegistry();
  foldMetrics(registry.register(listenerMetricsList), {
    connections: rig.manager,
    protocols: rig.metrics,
    ingress: rig.ingress,
    telemetry: { ...rig.telemetry.counters, dropped: { bus_down: 2 } },
    events: rig.events.counters,
    sessions: rig.sessions,
    subscriptions: rig.table,
    unconfirmedSubscribes: () => 2,
    congestionMs: () => clock.nowMs() + 1500,
    bridges: { records: () => [] },
  });
  rig.admission.refusedPaths.add("no");
  const client = rig.connected("a");
  client.send({ cmd: "publish", topic: "t", payload: "x", qos: 0, dup: false, retain: false });
  client.send({ cmd: "publish", topic: "no", payload: "x", qos: 0, dup: false, retain: false });
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "x", qos: 0 }] });
  rig.connected("c", 5);
  const broken = rig.connected("b");
  broken.raw(Buffer.of(0, 0));
  broken.lose();
  rig.manager.draining = true;
  rig.manager.refusalOf("10.0.0.1");
  const page = await registry.text();
  const lines = page.split("\n").filter((line) => line.startsWith("myelin_listener_") && !/ 0$/.test(line));
  expect(
    lines.map((line) => line.replace(/_bytes_total(.*) \d+$/, "_bytes_total$1 N")).sort(),
  ).toMatchInlineSnapshot(`
    [
      "myelin_listener_clients{protocol="mqtt",version="3.1.1"} 1",
      "myelin_listener_clients{protocol="mqtt",version="5"} 1",
      "myelin_listener_congestion_seconds_total 1.5",
      "myelin_listener_connections_accepted_total{protocol="mqtt"} 3",
      "myelin_listener_connections_active{protocol="mqtt"} 2",
      "myelin_listener_disconnects_total{protocol="mqtt",reason="malformed"} 1",
      "myelin_listener_ingress_dropped_total{lane="telemetry",reason="auth.not_authorized"} 1",
      "myelin_listener_ingress_dropped_total{lane="telemetry",reason="bus_down"} 2",
      "myelin_listener_ingress_messages_total{lane="telemetry"} 1",
      "myelin_listener_malformed_total{protocol="mqtt",reason="packet_type"} 1",
      "myelin_listener_received_bytes_total{protocol="mqtt"} N",
      "myelin_listener_received_messages_total{protocol="mqtt"} 2",
      "myelin_listener_sent_bytes_total{protocol="mqtt"} N",
      "myelin_listener_sessions 2",
      "myelin_listener_subscribes_unconfirmed_total 2",
      "myelin_listener_subscriptions 1",
      "myelin_listener_transports_refused_total{reason="draining"} 1",
    ]
  `);
});

it("counts what is on the way to clients and waits for them, and forgets it with them", async () => {
  const rig = mqttRig({ maxInflight: 2 });
  const registry = new MetricsRegistry();
  foldMetrics(registry.register(listenerMetricsList), {
    connections: rig.manager,
    protocols: rig.metrics,
    ingress: rig.ingress,
    telemetry: { ...rig.telemetry.counters },
    events: rig.events.counters,
    sessions: rig.sessions,
    subscriptions: rig.table,
    unconfirmedSubscribes: () => 2,
    congestionMs: () => 0,
    bridges: { records: () => [] },
  });
  const of = async (name: string) =>
    (await registry.text()).split("\n").filter((line) => line.startsWith(`myelin_listener_${name}{`));
  const client = rig.connected("a", 5);
  for (const topic of ["1", "2", "3"]) {
    const message = { path: topic, bytes: Buffer.alloc(0), payloadStart: 0, payloadEnd: 0, qos: 1 };
    const rest = { contentType: "", retain: false, tenant: "", deviceId: "x", extras: () => undefined };
    client.connection.deliver({ ...message, ...rest }, [1]);
  }
  expect(await of("inflight_messages")).toEqual(['myelin_listener_inflight_messages{protocol="mqtt"} 2']);
  expect(await of("client_queued_messages")).toEqual([
    'myelin_listener_client_queued_messages{protocol="mqtt"} 1',
  ]);
  expect(await of("clients")).toEqual(['myelin_listener_clients{protocol="mqtt",version="5"} 1']);
  client.lose();
  expect(await of("inflight_messages")).toEqual(['myelin_listener_inflight_messages{protocol="mqtt"} 0']);
  expect(await of("clients")).toEqual(['myelin_listener_clients{protocol="mqtt",version="5"} 0']);
});
