import { AppError } from "@myelin/kernel";
import { measureIdle } from "../../measure/idle.js";
import type { Case } from "../../measure/rounds.js";
import { keepsSessions } from "../../measure/session-present.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const CONNECTIONS = 15_000;
const SETTLE_SECONDS = 5;

export const scenario: Scenario = {
  name: "sessions",
  summary: `${CONNECTIONS} idle MQTT connections, each with a persistent session and one subscription of QoS 1`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: {
    listener_bytes_per_connection: "bytes each, listener",
    bytes_per_connection: "bytes each, all",
    connects_per_second: "connects/s",
    system_cores: "cores",
  },
  compared: { bytes_per_connection: "bytes_per_connection" },
  goals: [
    {
      name: "sessions.listener_bytes",
      what: "resident bytes in the listener per idle connection with a persistent session and one subscription",
      atMost: 6_000,
      value: (figure) => figure(SUBJECT, "listener_bytes_per_connection"),
    },
  ],
  cases: ({ driver, systems }) =>
    systems.map(
      (system): Case => ({
        system,
        suffix: "",
        start: { connections: CONNECTIONS },
        async measure(running) {
          if (running.mqttPort === undefined || !(await keepsSessions(running.mqttPort))) {
            throw new AppError("setup.process_failed", "sessions do not outlive their connections here");
          }
          return measureIdle({
            driver,
            running,
            protocol: "mqtt",
            connections: CONNECTIONS,
            settleSeconds: SETTLE_SECONDS,
            more: { filter: "devices/{c}/commands/#", qos: 1, persistent: true },
          });
        },
      }),
    ),
};
