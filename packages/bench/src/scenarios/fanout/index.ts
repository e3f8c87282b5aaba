import { mqttCase, vsMosquitto } from "../mqtt-rates.js";
import type { Scenario } from "../scenario.js";

const SUBSCRIBERS = 1_000;

export const scenario: Scenario = {
  name: "fanout",
  summary: `one MQTT publisher to ${SUBSCRIBERS} MQTT subscribers, QoS 0; every delivery counts`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    messages_per_second: "deliveries/s",
    messages_per_second_whole_run: "to the last",
    cpu_us_per_message_whole_run: "CPU µs",
    lost_percent: "lost %",
    least_per_subscriber: "least",
    most_per_subscriber: "most",
    driver_cores: "driver cores",
  },
  compared: { messages_per_second_whole_run: "messages_per_second_whole_run" },
  goals: [vsMosquitto("fanout", "", `deliveries from one publisher to ${SUBSCRIBERS} subscribers`, 2)],
  cases: (context) =>
    context.systems.map((system) =>
      mqttCase(context, system, {
        suffix: "",
        load: { connections: 1, qos: 0 },
        subscribers: { options: { connections: SUBSCRIBERS, qos: 0 }, copies: SUBSCRIBERS },
      }),
    ),
};
