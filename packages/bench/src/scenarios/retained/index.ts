import { measureRetained } from "../../measure/retained.js";
import type { Case } from "../../measure/rounds.js";
import { ratio } from "../../report/goals.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const MESSAGES = 10_000;
const LEVELS = [0, 1] as const;

export const scenario: Scenario = {
  name: "retained",
  summary: `${MESSAGES} retained messages to a new subscriber of a wildcard, from its SUBSCRIBE to the last of them, when some had them before`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    all_ms_qos0: "ms, QoS 0",
    all_ms_qos1: "ms, QoS 1",
    first_ms_qos0: "first one",
    store_per_second_qos0: "stored/s",
  },
  compared: { all_ms_qos0: "all_ms_qos0", all_ms_qos1: "all_ms_qos1" },
  goals: LEVELS.map((qos) => ({
    name: `retained.qos${qos}_vs_mosquitto`,
    what: `${MESSAGES} retained messages to a new wildcard subscriber at QoS ${qos}, Mosquitto's time divided by ours`,
    atLeast: 1,
    value: (figure) => ratio(figure("mosquitto", `all_ms_qos${qos}`), figure(SUBJECT, `all_ms_qos${qos}`)),
  })),
  cases: ({ driver, systems, settings }) =>
    systems.flatMap((system) =>
      LEVELS.map(
        (qos): Case => ({
          system,
          suffix: `qos${qos}`,
          start: { connections: 10 },
          measure: (running) =>
            measureRetained({
              driver,
              running,
              messages: MESSAGES,
              payloadBytes: settings.payloadBytes,
              qos,
            }),
        }),
      ),
    ),
};
