import { measureLatency } from "../../measure/latency.js";
import type { Case } from "../../measure/rounds.js";
import { type Scenario, SUBJECT } from "../scenario.js";

// "Idle" still needs enough messages for a p99 within a run of a few seconds.
const RATES = { idle: 100, "10k": 10_000 } as const;
const LEAST_SECONDS = 10;

export const scenario: Scenario = {
  name: "latency",
  summary:
    "from the scheduled time of a QoS 0 PUBLISH to the consumer, at 100 and at 10,000 messages per second",
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    p50_ms_idle: "p50 idle, ms",
    p99_ms_idle: "p99 idle",
    p999_ms_idle: "p99.9 idle",
    p50_ms_10k: "p50 10k/s, ms",
    p99_ms_10k: "p99 10k/s",
    p999_ms_10k: "p99.9 10k/s",
    system_cores_10k: "cores at 10k/s",
  },
  compared: {
    p50_ms_idle: "p50_ms_idle",
    p99_ms_idle: "p99_ms_idle",
    p50_ms_10k: "p50_ms_10k",
    p99_ms_10k: "p99_ms_10k",
  },
  goals: [
    {
      name: "latency.idle_p99",
      what: "device to app on an idle system, p99 in ms",
      atMost: 3,
      value: (figure) => figure(SUBJECT, "p99_ms_idle"),
    },
    {
      name: "latency.10k_p99",
      what: "device to app at 10,000 messages per second, p99 in ms",
      atMost: 10,
      value: (figure) => figure(SUBJECT, "p99_ms_10k"),
    },
  ],
  cases: ({ driver, systems, settings }) =>
    systems.flatMap((system) =>
      Object.entries(RATES).map(
        ([suffix, ratePerSecond]): Case => ({
          system,
          suffix,
          start: { connections: settings.connections },
          measure: (running) =>
            measureLatency({
              driver,
              running,
              ratePerSecond,
              connections: settings.connections,
              payloadBytes: settings.payloadBytes,
              warmUpSeconds: settings.warmUpSeconds,
              seconds: Math.max(settings.seconds, LEAST_SECONDS),
            }),
        }),
      ),
    ),
};
