import { exactly, mqttCase, rateColumns, vsMosquitto, WINDOW } from "../mqtt-rates.js";
import type { Scenario } from "../scenario.js";

const PUBLISHERS = 1_000;
const MEMBERS = 4;
const LEVELS = [0, 1] as const;

export const scenario: Scenario = {
  name: "shared",
  summary: `${PUBLISHERS} MQTT publishers to one shared subscription with ${MEMBERS} members, QoS 0 and QoS 1`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    ...rateColumns("qos0", "QoS 0"),
    ...rateColumns("qos1", "QoS 1"),
    doubled_qos1: "doubled, QoS 1",
    least_per_subscriber_qos1: "least, QoS 1",
    most_per_subscriber_qos1: "most, QoS 1",
  },
  compared: {
    messages_per_second_whole_run_qos0: "messages_per_second_whole_run_qos0",
    messages_per_second_whole_run_qos1: "messages_per_second_whole_run_qos1",
  },
  goals: [
    ...LEVELS.map((qos) =>
      vsMosquitto(
        "shared",
        `qos${qos}`,
        `${PUBLISHERS} publishers to a group of ${MEMBERS} at QoS ${qos}`,
        2,
      ),
    ),
    exactly("shared", "qos1", "lost"),
    exactly("shared", "qos1", "doubled"),
  ],
  cases: (context) =>
    context.systems.flatMap((system) =>
      LEVELS.map((qos) =>
        mqttCase(context, system, {
          suffix: `qos${qos}`,
          load: { connections: PUBLISHERS, qos, window: WINDOW },
          subscribers: { options: { connections: MEMBERS, qos, filter: "$share/group/bench/#" }, copies: 1 },
        }),
      ),
    ),
};
