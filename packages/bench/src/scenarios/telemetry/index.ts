import { measureThroughput } from "../../measure/throughput.js";
import { bestRate, ratio } from "../../report/goals.js";
import type { System } from "../../systems/system.js";
import { type Scenario, type ScenarioContext, SUBJECT } from "../scenario.js";

const MANY_TOPICS = 100_000;
const RATE = "messages_per_second";
const CPU = "cpu_us_per_message_whole_run";

export const scenario: Scenario = {
  name: "telemetry",
  summary: "MQTT QoS 0 publishers as fast as the system takes it, counted at the consuming end",
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    messages_per_second: "msg/s",
    messages_per_second_whole_run: "msg/s to the last",
    cpu_us_per_message_whole_run: "CPU µs/msg",
    lost_percent: "lost %",
    rss_mb: "RSS MB",
    messages_per_second_100k_topics: "msg/s, 100k topics",
    messages_per_second_callback: "msg/s, callback",
    driver_cores: "driver cores",
  },
  compared: {
    messages_per_second: RATE,
    messages_per_second_callback: RATE,
    messages_per_second_100k_topics: "messages_per_second_100k_topics",
    messages_per_second_whole_run: "messages_per_second_whole_run",
    [CPU]: CPU,
  },
  goals: [
    {
      name: "telemetry.vs_mosquitto",
      what: "telemetry to an app in batches, in multiples of Mosquitto's QoS 0",
      atLeast: 4,
      value: (figure) => ratio(bestRate(figure, SUBJECT), bestRate(figure, "mosquitto")),
    },
    {
      name: "telemetry.vs_rumqttd",
      what: "telemetry to an app in batches, in multiples of rumqttd's QoS 0",
      atLeast: 1,
      value: (figure) => ratio(bestRate(figure, SUBJECT), bestRate(figure, "rumqttd")),
    },
    {
      name: "telemetry.callback_vs_mosquitto",
      what: "telemetry to an app with a callback per message, in multiples of Mosquitto's QoS 0",
      atLeast: 2,
      value: (figure) => ratio(bestRate(figure, SUBJECT, "callback"), bestRate(figure, "mosquitto")),
    },
    {
      name: "telemetry.100k_topics",
      what: "telemetry over 100,000 topics, as a share of that over one topic per connection",
      atLeast: 0.6,
      value: (figure) => ratio(bestRate(figure, SUBJECT, "100k_topics"), bestRate(figure, SUBJECT)),
    },
    {
      name: "telemetry.cpu_vs_mosquitto",
      what: "CPU per message over all processes of the system, as a share of Mosquitto's",
      atMost: 0.5,
      value: (figure) => ratio(figure(SUBJECT, CPU), figure("mosquitto", CPU)),
    },
  ],
  cases: (context) =>
    context.systems.flatMap((system) => [
      telemetryCase(context, system, "", { topic: "bench/{c}/data" }),
      telemetryCase(context, system, "100k_topics", { topic: "bench/{c}/{t}", topics: MANY_TOPICS }),
      // Only an app has the choice; the driver's subscriber counts as it reads.
      ...(system.name === SUBJECT
        ? [telemetryCase(context, system, "callback", { topic: "bench/{c}/data" })]
        : []),
    ]),
};

function telemetryCase(
  { driver, settings }: ScenarioContext,
  system: System,
  suffix: string,
  topics: Readonly<Record<string, string | number>>,
) {
  return {
    system,
    suffix,
    start: { connections: settings.connections },
    measure: (running: Parameters<typeof measureThroughput>[0]["running"]) =>
      measureThroughput({
        driver,
        running,
        role: "publish",
        load: {
          port: running.mqttPort,
          connections: settings.connections,
          payload: settings.payloadBytes,
          qos: 0,
          ...topics,
        },
        consume: {
          lane: "telemetry",
          mode: suffix === "callback" ? "callback" : "batch",
          stamp: false,
          gather: settings.gather,
        },
        warmUpSeconds: settings.warmUpSeconds,
        seconds: settings.seconds,
      }),
  };
}
