import { measureCommands } from "../../measure/commands.js";
import type { Commanded } from "../../systems/system.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const RATE = 1_000;
const DEVICES = 100;

export const scenario: Scenario = {
  name: "commands",
  summary: `commands over HTTP to ${DEVICES} MQTT devices that answer at once, ${RATE} a second, from their schedule to VERIFIED`,
  protocols: ["http"],
  rounds: 3,
  columns: {
    p50_ms: "p50 to VERIFIED, ms",
    p99_ms: "p99",
    p999_ms: "p99.9",
    verified_per_second: "VERIFIED/s",
    failed: "failed",
    system_cores: "cores",
    driver_cores: "driver cores",
  },
  compared: {},
  goals: [
    {
      name: "commands.p99",
      what: "command round trip to VERIFIED at 1,000 a second, p99 in ms",
      atMost: 10,
      value: (figure) => figure(SUBJECT, "p99_ms"),
    },
    {
      name: "commands.rate",
      what: "commands verified per second",
      atLeast: 0.99 * RATE,
      value: (figure) => figure(SUBJECT, "verified_per_second"),
    },
  ],
  cases: ({ systems, settings }) =>
    systems.flatMap((system) => {
      const { startCommanded } = system;
      if (startCommanded === undefined) return [];
      return [
        {
          system,
          suffix: "",
          start: { connections: DEVICES },
          open: () => startCommanded(),
          measure: (running) =>
            measureCommands({
              running: running as Commanded,
              ratePerSecond: RATE,
              devices: DEVICES,
              warmUpSeconds: settings.warmUpSeconds,
              seconds: settings.seconds,
            }),
        },
      ];
    }),
};
