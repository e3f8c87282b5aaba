import { measureShadows } from "../../measure/shadows.js";
import type { Metered } from "../../systems/system.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const DEVICES = 10_000;
const POINTS = 10;
const RATE = 100_000;
const COST = "cpu_us_per_reading";
const PLAIN = "plain";

export const scenario: Scenario = {
  name: "shadow",
  summary: `${DEVICES} devices with ${POINTS} points report ${RATE} readings a second: without a profile, with shadows, and with shadows beside telemetry as fast as it goes`,
  protocols: ["mqtt"],
  rounds: 2,
  columns: {
    absorbed_per_second: "readings/s in shadows",
    dropped_percent: "dropped %",
    [COST]: "CPU µs/reading",
    [`${COST}_${PLAIN}`]: "without shadows",
    writes_per_second: "stored shadows/s",
    absorbed_per_second_beside: "readings/s beside telemetry",
    dropped_percent_beside: "dropped %",
    beside_per_second: "telemetry msg/s",
    beside_lost_percent: "lost %",
    driver_cores: "driver cores",
  },
  compared: {},
  goals: [
    {
      name: "shadow.cost",
      what: "CPU of a reading with shadows beyond the same one without, over all processes, in µs",
      atMost: 2,
      value: (figure) => {
        const whole = figure(SUBJECT, COST);
        const plain = figure(SUBJECT, `${COST}_${PLAIN}`);
        return whole === undefined || plain === undefined ? undefined : whole - plain;
      },
    },
    {
      name: "shadow.absorbed",
      what: "readings per second that come into shadows beside telemetry as fast as it goes",
      atLeast: 0.99 * RATE,
      value: (figure) => figure(SUBJECT, "absorbed_per_second_beside"),
    },
  ],
  cases: ({ driver, systems, settings }) =>
    systems.flatMap((system) => {
      const { startMetered } = system;
      if (startMetered === undefined) return [];
      return [false, true].map((isProfiled) => ({
        system,
        suffix: isProfiled ? "" : PLAIN,
        start: { connections: DEVICES },
        open: () => startMetered(),
        measure: (running) =>
          measureShadows({
            running: running as Metered,
            devices: DEVICES,
            points: POINTS,
            ratePerSecond: RATE,
            isProfiled,
            ...(isProfiled && {
              beside: {
                driver,
                load: {
                  port: running.mqttPort,
                  connections: settings.connections,
                  payload: settings.payloadBytes,
                  qos: 0,
                  topic: "bench/{c}/data",
                },
              },
            }),
            warmUpSeconds: settings.warmUpSeconds,
            seconds: settings.seconds,
          }),
      }));
    }),
};
