import { measureIdle } from "../../measure/idle.js";
import type { Case } from "../../measure/rounds.js";
import type { GoalSpec } from "../../report/goals.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const FEW = 15_000;
const MANY = 100_000;
const SETTLE_SECONDS = 5;

function goalsFor(protocol: "mqtt" | "tcp", connections: number): GoalSpec[] {
  const suffix = `${protocol}_${connections}`;
  const where = `idle ${protocol.toUpperCase()} connections, ${connections} of them`;
  return [
    {
      name: `idle.${suffix}_listener_bytes`,
      what: `resident bytes in the listener per connection, ${where}`,
      atMost: 5_000,
      value: (figure) => figure(SUBJECT, `listener_bytes_per_connection_${suffix}`),
    },
    {
      name: `idle.${suffix}_all_bytes`,
      what: `resident bytes over all processes per connection, ${where}`,
      atMost: 8_000,
      value: (figure) => figure(SUBJECT, `bytes_per_connection_${suffix}`),
    },
  ];
}

export const scenario: Scenario = {
  name: "idle",
  summary: "connections that only keep alive: what one of them costs in resident memory",
  protocols: ["mqtt", "tcp"],
  rounds: 1,
  columns: {
    [`bytes_per_connection_mqtt_${FEW}`]: `bytes each, ${FEW} MQTT`,
    [`bytes_per_connection_mqtt_${MANY}`]: `${MANY} MQTT`,
    [`bytes_per_connection_tcp_${FEW}`]: `${FEW} TCP`,
    [`bytes_per_connection_tcp_${MANY}`]: `${MANY} TCP`,
    [`connects_per_second_mqtt_${FEW}`]: "connects/s",
    [`system_cores_mqtt_${FEW}`]: "cores",
  },
  compared: { [`bytes_per_connection_mqtt_${FEW}`]: `bytes_per_connection_mqtt_${FEW}` },
  goals: [FEW, MANY].flatMap((count) => [...goalsFor("mqtt", count), ...goalsFor("tcp", count)]),
  cases: ({ driver, systems }) =>
    systems.flatMap((system) =>
      (["mqtt", "tcp"] as const)
        .filter((protocol) => system.protocols.includes(protocol))
        .flatMap((protocol) =>
          // The peers are one process each, whose limit of open files ends before the larger number.
          (system.name === SUBJECT ? [FEW, MANY] : [FEW]).map(
            (connections): Case => ({
              system,
              suffix: `${protocol}_${connections}`,
              start: { connections },
              measure: (running) =>
                measureIdle({ driver, running, protocol, connections, settleSeconds: SETTLE_SECONDS }),
            }),
          ),
        ),
    ),
};
