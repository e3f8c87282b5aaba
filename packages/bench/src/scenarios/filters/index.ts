import { measureFilters } from "../../measure/filters.js";
import type { Case } from "../../measure/rounds.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const FILTERS = 1_000_000;
const CONNECTIONS = 10_000;
const SETTLE_SECONDS = 10;

export const scenario: Scenario = {
  name: "filters",
  summary: "a million filters of their own, over ten thousand MQTT connections: how fast, and what one costs",
  protocols: ["mqtt"],
  rounds: 1,
  columns: {
    subscribes_per_second: "subscribes/s",
    cpu_us_per_subscribe: "CPU µs each",
    bytes_per_filter: "bytes each",
    listener_bytes_per_filter: "in the listener",
    core_bytes_per_filter: "in the core",
    rss_bytes_per_filter: "bytes each, RSS",
  },
  compared: {
    subscribes_per_second: "subscribes_per_second",
    bytes_per_filter: "bytes_per_filter",
  },
  goals: [
    {
      name: "filters.bytes",
      what: "resident bytes over all processes per filter, a million of them",
      atMost: 400,
      value: (figure) => figure(SUBJECT, "bytes_per_filter"),
    },
    {
      name: "filters.subscribes",
      what: "filters subscribed to per second until all are acknowledged, a million of them",
      atLeast: 20_000,
      value: (figure) => figure(SUBJECT, "subscribes_per_second"),
    },
  ],
  cases: ({ systems }) =>
    systems.map(
      (system): Case => ({
        system,
        suffix: "",
        start: { connections: CONNECTIONS },
        measure: (running) =>
          measureFilters({
            running,
            connections: CONNECTIONS,
            filters: FILTERS,
            settleSeconds: SETTLE_SECONDS,
          }),
      }),
    ),
};
