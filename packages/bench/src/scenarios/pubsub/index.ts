import { exactly, mqttCase, rateColumns, vsMosquitto, WINDOW } from "../mqtt-rates.js";
import type { Scenario } from "../scenario.js";

const LEVELS = [0, 1] as const;

export const scenario: Scenario = {
  name: "pubsub",
  summary: "MQTT publishers to one MQTT subscriber, QoS 0 and QoS 1 all the way",
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    ...rateColumns("qos0", "QoS 0"),
    ...rateColumns("qos1", "QoS 1"),
    driver_cores_qos0: "driver cores",
  },
  compared: {
    messages_per_second_whole_run_qos0: "messages_per_second_whole_run_qos0",
    messages_per_second_whole_run_qos1: "messages_per_second_whole_run_qos1",
  },
  goals: [
    ...LEVELS.map((qos) =>
      vsMosquitto("pubsub", `qos${qos}`, `MQTT publishers to one MQTT subscriber at QoS ${qos}`, 2),
    ),
    exactly("pubsub", "qos1", "lost"),
  ],
  cases: (context) =>
    context.systems.flatMap((system) =>
      LEVELS.map((qos) =>
        mqttCase(context, system, {
          suffix: `qos${qos}`,
          load: { connections: context.settings.connections, qos, window: WINDOW },
          subscribers: { options: { connections: 1, qos }, copies: 1 },
        }),
      ),
    ),
};
