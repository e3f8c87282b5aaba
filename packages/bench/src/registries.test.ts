import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { scenarios } from "./scenarios/registry.js";
import { systems } from "./systems/registry.js";

function folders(name: string): string[] {
  return readdirSync(new URL(`${name}/`, import.meta.url), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

describe("the registries", () => {
  it("have a line for every folder", () => {
    expect(Object.keys(systems).sort()).toEqual(folders("systems"));
    expect(Object.keys(scenarios).sort()).toEqual(folders("scenarios"));
  });

  it.each(Object.entries(systems))("name the system %s as it names itself", async (key, load) => {
    expect((await load()).plugin.name).toBe(key);
  });

  it.each(Object.entries(scenarios))("name the scenario %s as it names itself", async (key, load) => {
    expect((await load()).scenario.name).toBe(key);
  });

  it("hold one goal for each figure to reach, under a name of its own", async () => {
    const all = await Promise.all(
      Object.values(scenarios).map(async (load) => (await load()).scenario.goals),
    );
    const lines = all.flat().map(({ name, atLeast, atMost }) => `${name} ${atLeast ?? ""}..${atMost ?? ""}`);
    expect(lines).toEqual([
      "telemetry.vs_mosquitto 4..",
      "telemetry.vs_rumqttd 1..",
      "telemetry.callback_vs_mosquitto 2..",
      "telemetry.100k_topics 0.6..",
      "telemetry.cpu_vs_mosquitto ..0.5",
      "events.balanced_vs_mosquitto 3.5..",
      "events.strict_vs_mosquitto 2.5..",
      "events.cpu_balanced_vs_mosquitto ..0.7",
      "events.cpu_strict_vs_mosquitto ..0.7",
      "http.ndjson_telemetry 300000..",
      "http.ndjson_event 150000..",
      "http.single_telemetry_vs_fastify 0.8..",
      "http.single_event_vs_fastify 0.8..",
      "latency.idle_p99 ..3",
      "latency.10k_p99 ..10",
      "filters.bytes ..400",
      "filters.subscribes 20000..",
      "idle.mqtt_15000_listener_bytes ..5000",
      "idle.mqtt_15000_all_bytes ..8000",
      "idle.tcp_15000_listener_bytes ..5000",
      "idle.tcp_15000_all_bytes ..8000",
      "idle.mqtt_100000_listener_bytes ..5000",
      "idle.mqtt_100000_all_bytes ..8000",
      "idle.tcp_100000_listener_bytes ..5000",
      "idle.tcp_100000_all_bytes ..8000",
      "base.listener ..90",
      "base.dispatcher ..90",
      "base.ipc-bridge ..90",
      "base.box ..250",
      "recovery.route_edit ..1000",
      "recovery.nats-server ..2000",
      "recovery.core ..2000",
      "recovery.listener-0 ..2000",
      "pubsub.qos0_vs_mosquitto 2..",
      "pubsub.qos1_vs_mosquitto 2..",
      "pubsub.qos1_lost ..0",
      "fanout.vs_mosquitto 2..",
      "shared.qos0_vs_mosquitto 2..",
      "shared.qos1_vs_mosquitto 2..",
      "shared.qos1_lost ..0",
      "shared.qos1_doubled ..0",
      "retained.qos0_vs_mosquitto 1..",
      "retained.qos1_vs_mosquitto 1..",
      "storm.vs_mosquitto 0.5..",
      "storm.connects 10000..",
      "storm.refused ..0",
      "storm.p99 ..100",
      "qos2.vs_mosquitto 2..",
      "qos2.lost ..0",
      "qos2.doubled ..0",
      "sessions.listener_bytes ..6000",
      "registry.import 20000..",
      "registry.lookup ..2",
      "registry.start ..30",
      "stores.sqlite 200000..",
      "stores.sqlite_10000_points 200000..",
      "stores.postgresql 100000..",
      "stores.postgresql_10000_points 100000..",
      "stores.mysql 100000..",
      "stores.mysql_10000_points 100000..",
      "stores.sqlite_newest ..10",
      "stores.sqlite_aggregate ..300",
      "commands.p99 ..10",
      "commands.rate 990..",
      "shadow.cost ..2",
      "shadow.absorbed 99000..",
      "rules.evaluations 200000..",
      "rules.idle ..1.02",
      "backtest.seconds ..60",
      "outbox.kept 100000..",
      "outbox.unsynced ..200",
      "outbox.replayed 20000..",
      "outbox.live_p99 ..2",
      "modbus.tags 100000..",
      "modbus.cores ..1",
      "modbus.vs_tag_loop 10..",
      "modbus.vs_block_loop 0.7..",
      "dead-unit.rate 0.95..",
      "footprint.agent ..120",
    ]);
  });
});
