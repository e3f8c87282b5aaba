import type { Case } from "../../measure/rounds.js";
import { measureStorm } from "../../measure/storm.js";
import { ratio } from "../../report/goals.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const CONNECTIONS = 15_000;
const RATE = 1_000;
const LOADED = "beside_traffic";

export const scenario: Scenario = {
  name: "storm",
  summary: `${CONNECTIONS} MQTT clients connect as fast as they are let in, alone and beside ${RATE} messages per second from MQTT to MQTT`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    connects_per_second: "connects/s",
    refused_tries: "refused",
    [`connects_per_second_${LOADED}`]: "connects/s beside traffic",
    [`refused_tries_${LOADED}`]: "refused",
    [`p50_ms_${LOADED}`]: "p50 of messages, ms",
    [`p99_ms_${LOADED}`]: "p99",
    [`max_ms_${LOADED}`]: "longest",
  },
  compared: { connects_per_second: "connects_per_second", [`p99_ms_${LOADED}`]: `p99_ms_${LOADED}` },
  goals: [
    {
      name: "storm.vs_mosquitto",
      what: "connects per second, in multiples of Mosquitto's",
      atLeast: 0.5,
      value: (figure) =>
        ratio(figure(SUBJECT, "connects_per_second"), figure("mosquitto", "connects_per_second")),
    },
    {
      name: "storm.connects",
      what: "connects per second",
      atLeast: 10_000,
      value: (figure) => figure(SUBJECT, "connects_per_second"),
    },
    {
      name: "storm.refused",
      what: "connections that were refused and came again, alone and beside traffic",
      atMost: 0,
      value: (figure) => {
        const [alone, loaded] = [
          figure(SUBJECT, "refused_tries"),
          figure(SUBJECT, `refused_tries_${LOADED}`),
        ];
        return alone === undefined || loaded === undefined ? undefined : alone + loaded;
      },
    },
    {
      name: "storm.p99",
      what: "messages of connected clients while others connect, p99 in ms",
      atMost: 100,
      value: (figure) => figure(SUBJECT, `p99_ms_${LOADED}`),
    },
  ],
  cases: ({ driver, systems, settings }) =>
    systems.flatMap((system) =>
      ["", LOADED].map(
        (suffix): Case => ({
          system,
          suffix,
          start: { connections: CONNECTIONS },
          measure: (running) =>
            measureStorm({
              driver,
              running,
              connections: CONNECTIONS,
              ...(suffix === LOADED ? { ratePerSecond: RATE } : {}),
              payloadBytes: settings.payloadBytes,
              warmUpSeconds: settings.warmUpSeconds,
            }),
        }),
      ),
    ),
};
