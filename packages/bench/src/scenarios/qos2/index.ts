import { exactly, mqttCase, rateColumns, vsMosquitto, WINDOW } from "../mqtt-rates.js";
import type { Scenario } from "../scenario.js";

export const scenario: Scenario = {
  name: "qos2",
  summary: "MQTT publishers to one MQTT subscriber, QoS 2 all the way",
  protocols: ["mqtt"],
  rounds: 3,
  columns: { ...rateColumns("", ""), doubled: "doubled", driver_cores: "driver cores" },
  compared: { messages_per_second_whole_run: "messages_per_second_whole_run" },
  goals: [
    vsMosquitto("qos2", "", "MQTT publishers to one MQTT subscriber at QoS 2", 2),
    exactly("qos2", "", "lost"),
    exactly("qos2", "", "doubled"),
  ],
  cases: (context) =>
    context.systems.map((system) =>
      mqttCase(context, system, {
        suffix: "",
        load: { connections: context.settings.connections, qos: 2, window: WINDOW },
        subscribers: { options: { connections: 1, qos: 2 }, copies: 1 },
      }),
    ),
};
